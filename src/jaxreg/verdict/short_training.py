"""Short trainings of a run's head: a few hundred steps from new weights, on the sampled rows.

The verdict tries other learning rates this way: it measures what the same head reaches at another
rate, instead of guessing. `jaxreg diagnose` asks its questions with the same steps.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxreg.common.steps import counted
from jaxreg.entry_weights import relative
from jaxreg.head import mlp, optimizer
from jaxreg.head.apply import activations, forward, predict_outputs, predict_rows
from jaxreg.head.fit import steps_from, train_batch
from jaxreg.head.losses import loss_of
from jaxreg.head.rates import Rates, loss_unit, static_config
from jaxreg.head.row_batches import weight_of, weighted_sum
from jaxreg.head.scaling import Scalers, mean_and_std_of, scale_rows, scale_targets
from jaxreg.head.state import first_params
from jaxreg.head.target_outputs import of_targets, prepared, sizes, together, types_for
from jaxreg.target_numbers import mean_and_std
from jaxreg.target_types import TargetType, difference
from jaxreg.train_config import HeadConfig
from jaxreg.verdict.dead_head import dead_share

FACTORS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
NEAR = (0.1, 1.0, 10.0)  # tried where the head learns: the verdict may take a second there
BETTER = 0.8  # of a validation loss: another rate must get below it
DECAYED = 0.3  # of the first rate: a last rate below it has decayed
IMPROVED = 0.9  # of the run's error for one target: another rate must get below it
STAGES, STEPS = 6, 50  # the validation loss is computed after each stage of so many steps


class Rows(NamedTuple):
    """Rows to train or to validate on, as stored."""

    x: np.ndarray  # (rows, columns)
    y: np.ndarray  # (rows, targets) target units, NaN where a target is missing
    weights: np.ndarray  # (rows, targets) as `entry_weights`


class ShortTraining(NamedTuple):
    """What happened, step by step."""

    losses: np.ndarray  # (steps,) of each batch; all losses are in target units, float64
    gradients: np.ndarray  # (steps, layers) norm of a kernel's gradient; no layers if not asked for
    ratios: np.ndarray  # (steps, layers) norm of a kernel's update over that of the kernel
    val_losses: np.ndarray  # (stages,)
    val_maes: np.ndarray  # (stages,) target units; several targets: the mean, each in its std
    params: mlp.Params  # at the end

    @property
    def loss(self) -> float:
        """The lowest validation loss at the end of a stage; infinite if none is finite."""
        return _lowest(self.val_losses)

    @property
    def mae(self) -> float:
        """The lowest validation MAE at the end of a stage; infinite if none is finite."""
        return _lowest(self.val_maes)


@dataclass(frozen=True)
class Bench:
    """A head, and rows to try it on: all trials have the same shapes, so little is compiled."""

    config: HeadConfig
    scalers: Scalers
    x: np.ndarray  # (rows, inputs) as `fit` takes them
    y: np.ndarray  # (rows, outputs) in std
    weights: np.ndarray  # (rows, outputs) as `fit` takes them
    validation_x: np.ndarray
    validation_y: np.ndarray
    validation_weights: np.ndarray
    stages: int

    @classmethod
    def of(
        cls, config: HeadConfig, scalers: Scalers, train: Rows, validation: Rows, stages: int
    ) -> "Bench":
        """A bench from features as stored, for a head that is trained in steps."""
        x, vx = train.x, validation.x
        if config.components is not None:
            x, vx = scale_rows(scalers.features, x), scale_rows(scalers.features, vx)
        x, vx = x.astype(np.float32), vx.astype(np.float32)
        both = relative(np.concatenate([train.weights, validation.weights]), np.arange(len(x)))
        every = np.concatenate([train.y, validation.y])
        parts = [np.split(one, [len(x)]) for one in prepared(config, scalers.target, every, both)]
        (y, vy), (w, vw) = parts
        return cls(config, scalers, x, y, w, vx, vy, vw, stages)

    @property
    def types(self) -> tuple[TargetType, ...]:
        """The types of the targets."""
        return types_for(self.config, self.y.shape[1])

    @property
    def unit(self) -> np.ndarray:
        """(targets,) what an MAE in std is multiplied by: several targets have no unit but std."""
        _, std = mean_and_std_of(self.scalers.target)
        if len(self.types) == 1:
            return std[:1]
        _, own = mean_and_std(np.where(self.weights > 0, self.y, np.nan))  # of unscaled targets
        own = np.sqrt(of_targets(self.types, together(self.types, np.square(own))))
        return 1 / np.where(own == 0, 1.0, own)

    def run(
        self,
        *,
        rows: int | np.ndarray | None = None,
        seed: int | None = None,
        rates: Rates | None = None,
        dropout: bool = True,
        gradients: bool = False,
    ) -> ShortTraining:
        """Train stages × STEPS steps from new weights.

        Args:
            rows: how many rows to train on, or the numbers of these; None: all.
            seed: of the weights and the order; None: the head's own.
            rates: learning rate and decay; None: the head's own.
            dropout: whether units are dropped, where the head drops any.
            gradients: whether to return gradients and ratios.
        """
        seed = self.config.seed if seed is None else seed
        static = replace(static_config(self.config), epochs=1)
        if not dropout:
            static = replace(static, dropout=0.0)
        key = jax.random.key_data(jax.random.key(seed))
        params = first_params(static, self.x.shape[1], self.y.shape[1], key)
        some = np.arange(len(self.x), dtype=np.int32)
        if isinstance(rows, np.ndarray):
            some = rows.astype(np.int32)
        elif rows is not None:
            some = np.random.default_rng(0).permutation(some)[:rows]
        size = (self.stages, STEPS, min(self.config.batch_size, len(self.x)))
        order = some[np.random.default_rng(seed).integers(len(some), size=size, dtype=np.int32)]
        rates = Rates.of(self.config, self.scalers.target) if rates is None else rates
        data = (self.x, self.y, self.weights)
        data += (self.validation_x, self.validation_y, self.validation_weights)
        found = _run(static, gradients, rates, self.scalers, key, params, data, order)
        *by_step, val_losses, val_maes, params = jax.device_get(found)
        losses, norms, ratios = map(np.concatenate, by_step)  # of all stages
        unit = loss_unit(self.config, self.scalers.target)
        val_maes = (val_maes * self.unit).mean(axis=1)
        return ShortTraining(losses * unit, norms, ratios, val_losses * unit, val_maes, params)


class Probe(NamedTuple):
    """What the head reaches in STAGES × STEPS steps; one value for each of FACTORS.

    The losses of a factor that was not tried are infinite.
    """

    reached: np.ndarray  # lowest validation loss at the end of a stage
    jump: np.ndarray  # highest loss of a batch over the first one
    dead: np.ndarray  # share of dead hidden units at the end, in the worst layer
    run: float  # validation loss of the run's best weights on the same rows
    maes: np.ndarray  # (factors, targets) validation MAE at the end, target units
    run_maes: np.ndarray  # (targets,) of the run's best weights

    def at(self, factor: float) -> int:
        """The index of that factor."""
        return FACTORS.index(factor)

    def improved(self, factor: float, targets: Sequence[str]) -> tuple[str, ...]:
        """The targets of which that factor lowers the error clearly below the run's."""
        lower = self.maes[self.at(factor)] < IMPROVED * self.run_maes
        return tuple(name for name, is_lower in zip(targets, lower, strict=True) if is_lower)


def run_probe(
    config: HeadConfig,
    unbounded: bool,
    scalers: Scalers,
    best: mlp.Params,
    train: Rows,
    validation: Rows,
    factors: tuple[float, ...] = FACTORS,
    *,
    own: bool = True,
) -> Probe:
    """Train from the run's first weights on `train`, and evaluate on `validation`.

    Without `own` the run's own rate is tried only if another one is better than the whole run:
    there is nothing else to compare with it.

    With `unbounded` the output is linear: a relu that most targets lie below would hide the effect
    of the rate. The run's best weights are judged with its own settings.
    """
    tried = replace(config, output_activation="linear") if unbounded else config
    bench = Bench.of(tried, scalers, train, validation, STAGES)
    reached = np.full(len(FACTORS), np.inf)
    jump, dead = np.ones(len(FACTORS)), np.zeros(len(FACTORS))
    maes = np.full((len(FACTORS), validation.y.shape[1]), np.inf)

    def mae(params: mlp.Params, of: HeadConfig) -> np.ndarray:
        pred = predict_rows(params, scalers, of, validation.x)
        size = np.abs(difference(bench.types, pred, validation.y))
        known = ~np.isnan(validation.y)
        return np.where(known, size, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)

    pred = scale_targets(scalers.target, predict_outputs(best, scalers, config, validation.x))
    delta = Rates.of(config, scalers.target).huber_delta
    loss = _mean_loss(config.loss, pred, bench.validation_y, delta, bench.validation_weights)
    run = float(loss * loss_unit(config, scalers.target))
    asked = [factor for factor in FACTORS if factor in factors and factor != 1.0]
    for factor in counted("trying other learning rates", [*asked, 1.0], "rates"):
        if factor == 1.0 and not own and reached.min() >= BETTER * run:
            continue
        number = FACTORS.index(factor)
        rate = config.learning_rate * factor
        its = replace(config, learning_rate=rate, decay_rate=1.0)
        trial = bench.run(rates=Rates.of(its, scalers.target))
        reached[number], maes[number] = trial.loss, mae(trial.params, tried)
        if trial.losses[0] > 0:
            jump[number] = float(trial.losses[:STEPS].max()) / float(trial.losses[0])
        hidden = activations(trial.params, scalers, tried, train.x).hidden
        dead[number] = max(map(dead_share, hidden), default=0.0)
    return Probe(reached, jump, dead, run, maes, mae(best, config))


def has_decayed(rates: np.ndarray, first: float) -> bool:
    """Whether a training ended at a rate far below its first; the rates are those of its epochs."""
    return bool((rates[-1:] < DECAYED * first).any())


@functools.partial(jax.jit, static_argnums=(0, 1))
def _run(config, gradients, rates, scalers, key, params, data, order):
    x, y, weights, vx, vy, vw = data

    def step(steps, rows) -> Any:
        after = train_batch(config, rates, scalers, key, steps, x[rows], y[rows], weights[rows])
        norms = _norms(steps, after) if gradients else (jnp.zeros(0), jnp.zeros(0))
        loss = (after.total - steps.total) / (after.weight - steps.weight)
        return after, (loss, *norms)

    def stage(steps, rows):
        none = jnp.zeros((), jnp.float32)
        steps, found = lax.scan(step, steps._replace(total=none, weight=none), rows)
        pred = forward(steps.params, scalers, config, vx)
        loss = _mean_loss(config.loss, pred, vy, rates.huber_delta, vw)
        size, own = sizes(config, scalers.target, pred, vy), vw
        if size.shape[1] != vw.shape[1]:
            own = of_targets(types_for(config, vw.shape[1]), vw)
        maes = (own * size).sum(axis=0) / jnp.maximum(own.sum(axis=0), 1e-30)
        return steps, (*found, loss, maes)

    steps, found = lax.scan(stage, steps_from(params), order)
    return *found, steps.params


@functools.partial(jax.jit, static_argnums=0)
def _mean_loss(kind, pred, y, delta, weights):
    return weighted_sum(loss_of(kind, pred, y, delta), weights) / weight_of(weights)


def _norms(before: Any, after: Any) -> tuple[jax.Array, jax.Array]:
    """The norms of each kernel's gradient in one step, and of its update over the kernel."""
    # Adam's mean moves by a tenth of the gradient, so the gradient is not computed twice.
    old_mean, new_mean = before.opt_state[0].mu, after.opt_state[0].mu
    norm = jnp.linalg.norm
    means = zip(_kernels(old_mean), _kernels(new_mean), strict=True)
    gradients = [norm(new - optimizer.B1 * old) / (1 - optimizer.B1) for old, new in means]
    kernels = zip(_kernels(before.params), _kernels(after.params), strict=True)
    ratios = [norm(new - old) / (norm(old) + 1e-30) for old, new in kernels]
    return jnp.stack(gradients), jnp.stack(ratios)


def _kernels(params):
    layers = params.get("hidden", {})
    hidden = [layers[f"layer_{i}"]["kernel"] for i in range(len(layers))]
    return [*hidden, params["output"]["kernel"]]


def _lowest(values: np.ndarray) -> float:
    return float(np.where(np.isfinite(values), values, np.inf).min())
