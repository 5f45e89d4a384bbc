"""The parts of a training: data, state between two epochs, history and rates."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

from jaxreg.entry_weights import entry_weights, relative
from jaxreg.errors import InputError
from jaxreg.head import blend, early_stopping, mlp, optimizer, scaling, target_outputs
from jaxreg.head.early_stopping import Stopping
from jaxreg.head.rates import loss_unit, static_config
from jaxreg.head.scaling import ArrayOf, Basis, Pieces, Scalers, TargetScaler
from jaxreg.head.target_ridges import Solved, solve_targets
from jaxreg.side_columns import NO_SIDE, SideColumns
from jaxreg.train_config import HeadConfig

INIT, SHUFFLE, DROPOUT, VIEW = range(4)  # what a key is for that is folded into the run's own

_PIECE = 1024  # rows, as scaling takes them


class Rows(NamedTuple):
    """Row numbers, padded: sides of different length share one compiled program."""

    numbers: ArrayOf  # (capacity,) int32; those from `used` on only fill the shape
    used: ArrayOf  # int32 scalar, at least 1

    @classmethod
    def of(cls, numbers: np.ndarray, capacity: int | None = None) -> "Rows":
        """These numbers, with room for `capacity` of them."""
        room = len(numbers) if capacity is None else capacity
        # padded with rows that are used: another row may lack a target, and 0 · NaN is NaN
        padded = np.pad(np.asarray(numbers, np.int32), (0, room - len(numbers)), mode="edge")
        return cls(padded, np.array(len(numbers), np.int32))

    @property
    def real(self) -> np.ndarray:
        """The numbers that count, on the host."""
        return np.asarray(self.numbers)[: int(self.used)]


class Data(NamedTuple):
    """Features and targets, and which rows train and which validate.

    `fit` takes what `prepare` makes of it. `jax.device_put` it once, or each call copies it again.
    """

    x: ArrayOf  # (rows, features) float32 or float16; a second view follows the first
    y: ArrayOf  # (rows, targets) target units, NaN: missing; after `prepare` (rows, outputs) in std
    train: Rows
    validation: Rows
    views: ArrayOf  # (views,) int32: how far behind a row of the first view its others stand
    weights: ArrayOf  # (rows, targets) as `entry_weights`; after `prepare` 1 on average, float32

    @classmethod
    def of(
        cls,
        x: ArrayOf,
        y: ArrayOf,
        validation_x: ArrayOf,
        validation_y: ArrayOf,
        weights: np.ndarray | None = None,
    ) -> "Data":
        """Training and validation rows that come as separate arrays.

        Args:
            x, y: the training rows.
            validation_x, validation_y: the validation rows.
            weights: (training rows + validation rows,) of the rows; None: 1.

        Raises:
            InputError: the shapes do not match, or there are no rows.
        """
        for name, some, targets in [("training", x, y), ("validation", validation_x, validation_y)]:
            sizes = some.shape + targets.shape
            if some.ndim != 2 or targets.ndim != 2 or len(some) != len(targets) or 0 in sizes:
                raise InputError(
                    f"{name} features {some.shape} and targets {targets.shape}",
                    expected="(rows, features) and (rows, targets) with as many rows, no size zero",
                )
        for name, a, b in [("features", x, validation_x), ("targets", y, validation_y)]:
            if a.shape[1] != b.shape[1]:
                raise InputError(
                    f"{a.shape[1]} {name} to train on and {b.shape[1]} to validate",
                    expected="the same columns in both",
                )
        rows, validation = len(x), len(validation_x)
        both = np.concatenate([y, validation_y])
        return cls(
            np.concatenate([x, validation_x]),
            both,
            Rows.of(np.arange(rows)),
            Rows.of(np.arange(rows, rows + validation)),
            np.zeros(1, np.int32),
            entry_weights(both, weights).astype(np.float32),
        )

    def pieces(self) -> Iterator[np.ndarray]:
        """The features of the rows to train on, some at a time."""
        rows = self.train.real
        for start in range(0, len(rows), _PIECE):
            yield np.asarray(self.x[rows[start : start + _PIECE]])


class State(NamedTuple):
    """Everything a training holds between two epochs; arrays only, so a checkpoint is this."""

    params: mlp.Params
    opt_state: optax.OptState
    step: jax.Array  # int32, updates done
    epoch: jax.Array  # int32, epochs done
    key: jax.Array  # uint32 key data; with step and epoch it decides every random draw
    scalers: Scalers
    early_stopping: Stopping
    best_params: mlp.Params  # of the lowest validation loss so far; a blend has `blend` beside them
    best_loss: jax.Array  # float32, of targets in std; infinite before the first finite one
    best_epoch: jax.Array  # int32, from 1; 0 before the first finite loss
    stopped: jax.Array  # bool, by early stopping; False where a loss was not finite
    finite: jax.Array  # bool, no loss was NaN or infinite


class History(NamedTuple):
    """One value per epoch, (config.epochs,); NaN for epochs the call did not run.

    Inside the compiled program losses are of targets in std; `in_target_units` has them in the
    unit of the loss: that of a single target, or its square.
    """

    loss: ArrayOf  # training: running mean, dropout on, weights moving
    val_loss: ArrayOf  # at the epoch's end
    val_mae: ArrayOf  # target units; several targets: the mean over them, each in std
    learning_rate: ArrayOf  # of the epoch's last update


def in_target_units(config: HeadConfig, history: History, target: TargetScaler) -> History:
    """The history of losses in std as one of losses in target units, on the host.

    It is float32 where float32 can hold the squares of such targets, else float64.
    """
    unit = loss_unit(config, target)
    kind = np.float32 if ((unit > 1e-25) & (unit < 1e25)).all() else np.float64
    losses = np.asarray(history[:2], np.float64) * unit[..., None]
    return History(*losses.astype(kind), *map(np.asarray, history[2:]))


def init_state(
    config: HeadConfig,
    data: Data,
    solved: Solved | None = None,
    validation_groups: int | None = None,
    side: SideColumns = NO_SIDE,
    even: np.ndarray | None = None,
) -> State:
    """The state before the first epoch; scalers from the training rows (hand those in as NumPy).

    Args:
        config: the head.
        data: features as stored, also with `components`.
        solved: the ridge, where it is known; else solved on the training rows if `components` or a
            blend asks for it.
        validation_groups: of the validation rows, for a blend; None: one per row.
        side: the side columns, which are the last ones of the features.
        even: (outputs,) for a blend, the share that few groups move it to; None: a half.

    Raises:
        InputError: too many components.
    """
    rows = data.train.real
    x = data.pieces if config.components is None or solved is not None else data.x[rows]
    groups = int(data.validation.used) if validation_groups is None else validation_groups
    weights = np.asarray(data.weights)[rows]
    y, features = data.y[rows], data.x.shape[1]
    return first_state(config, x, y, features, solved, groups, side, weights, even)


def first_state(
    config: HeadConfig,
    x: ArrayOf | Pieces,
    y: ArrayOf,
    features: int,
    solved: Solved | None = None,
    validation_groups: int = 1,
    side: SideColumns = NO_SIDE,
    weights: np.ndarray | None = None,
    even: np.ndarray | None = None,
) -> State:
    """`init_state` from the training rows alone; x, of `features` columns, may come in pieces.

    With `components` and nothing solved, x must be an array, and `weights` are those of y.
    """
    types = config.target_types(y.shape[1])
    y = target_outputs.encode(types, np.asarray(y))
    target = target_outputs.scaler_for(config, types, y)
    if config.scale_features and solved is not None:
        scaler = solved.eigen.scaler
    elif config.scale_features or side:
        scaler = scaling.feature_scaler(x, side, scale_features=config.scale_features)
    else:
        scaler = scaling.identity_scaler(features)
    scalers, ridge = Scalers(scaler, target), None
    if config.components is not None:
        if solved is None:
            if callable(x):
                raise ValueError("first_state: components of features in pieces")
            own = None if weights is None else target_outputs.of_outputs(types, weights)
            same = target_outputs.target_of_output(types)
            solved = solve_targets(scaler, x, y, own, same=same, components=True)
        basis = solved.eigen.basis(config.components)
        scalers = scalers._replace(features=scaler._replace(basis=basis))
        if config.head == "blend":
            ridge = blend.start(solved, scalers, validation_groups, even)
    return _init(config, scalers, ridge)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def first_params(config: HeadConfig, inputs: int, targets: int, key: Array) -> mlp.Params:
    """The initial weights of a training with this key."""
    return mlp.init(key_for(key, INIT), inputs, config, targets)


def next_start(config: HeadConfig, start: State) -> State:
    """The state before the first epoch of another training on the same rows, as its seed has it."""
    # from the host, or it would share arrays with `start`, which `fit` consumes
    scalers, ridge = jax.device_get((start.scalers, start.best_params.get("blend")))
    return _init(config, scalers, ridge)


def empty_state(config: HeadConfig, features: int, targets: int, side: int = 0) -> State:
    """A state of the right shapes, into which a checkpoint is read; `side` side columns follow."""
    scaler = scaling.identity_scaler(features, side)
    if config.components is not None:
        directions = np.zeros((features + side, config.components + side), np.float32)
        scaler = scaler._replace(basis=Basis(scaler.mean, directions))
    outputs = target_outputs.outputs_of(config.target_types(targets))
    scalers = Scalers(scaler, scaling.unscaled_targets(outputs))
    ridge = blend.empty(features + side, outputs) if config.head == "blend" else None
    return _init(config, scalers, ridge)


def prepare(
    config: HeadConfig, state: State, data: Data, out_of_fold: np.ndarray | None = None
) -> Data:
    """The rows as `fit` takes them: targets in std and, with `components`, features projected.

    Weights are divided by their mean over the training rows. What has no weight has a target of 0.

    For a blend, the ridge's predictions follow the components. Where the state's own ridge was
    fitted on the validation rows too, `out_of_fold` (rows, outputs), target units, replaces them.
    """
    target = state.scalers.target
    weights = relative(np.asarray(data.weights), data.train.real)
    y, weights = target_outputs.prepared(config, target, np.asarray(data.y), weights)
    data = data._replace(y=y, weights=weights)
    if config.components is None:
        return data
    x = scaling.scale_rows(state.scalers.features, data.x)
    if config.head != "blend":
        return data._replace(x=x)
    if out_of_fold is None:
        linear = blend.ridge_of_rows(state.best_params["blend"], state.scalers, data.x)
    else:  # of the first view; others never validate
        linear = scaling.scale_targets(target, out_of_fold)
        linear = np.pad(linear, ((0, len(x) - len(linear)), (0, 0)))
    linear = np.asarray(target_outputs.limited(config, target, linear, linear=True))
    return data._replace(x=np.concatenate([x, linear], axis=1))


def _init(config: HeadConfig, scalers: Scalers, ridge: mlp.Params | None) -> State:
    key = jax.random.key_data(jax.random.key(config.seed))
    return _jit_init(static_config(config), scalers, key, ridge)


@functools.partial(jax.jit, static_argnums=0)
def _jit_init(config: HeadConfig, scalers: Scalers, key: Array, ridge: mlp.Params | None) -> State:
    inputs, targets = scalers.features.outputs, scalers.target.mean.shape[0]
    params = first_params(config, inputs, targets, key)
    return State(
        params=params,
        opt_state=optimizer.adam(0.0, 1, 1.0).init(params),
        step=jnp.zeros((), jnp.int32),
        epoch=jnp.zeros((), jnp.int32),
        key=key,
        scalers=scalers,
        early_stopping=early_stopping.start(),
        best_params=params if ridge is None else {**params, "blend": ridge},
        best_loss=jnp.array(jnp.inf, jnp.float32),
        best_epoch=jnp.zeros((), jnp.int32),
        stopped=jnp.array(False),
        finite=jnp.array(True),
    )


def key_for(data: Array, purpose: int) -> Key[Array, ""]:
    return jax.random.fold_in(jax.random.wrap_key_data(data), purpose)
