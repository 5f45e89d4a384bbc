"""A whole training as one pure, jitted function: epochs, steps, early stopping, best weights."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from jaxreg.config import HeadConfig
from jaxreg.heads import mlp, optimizer, scaling, stopping
from jaxreg.heads.losses import huber
from jaxreg.heads.scaling import ArrayOf, Scalers
from jaxreg.heads.state import (
    DROPOUT,
    SHUFFLE,
    Data,
    History,
    Rates,
    State,
    key_for,
    shape_of,
)

_ROWS = 512  # rows at a time where no gradient is taken: bounds the memory, not the result


def make_fit(config: HeadConfig) -> Callable[[State, Data, int], tuple[State, History]]:
    """`fit(state, data, until_epoch) -> (state, history)`, which consumes the state it is given.

    It trains from `state.epoch` to `until_epoch` or `config.epochs` and ends before that when early
    stopping says so or a loss is not finite (that epoch is recorded, and `state.finite` is False).
    How many epochs a call does never changes the result, to the bit. It compiles once per
    architecture, batch size, `epochs` and shapes of data; `until_epoch=0` compiles and no more.
    """
    static, rates = shape_of(config), Rates.of(config)

    def fit(state: State, data: Data, until_epoch: int) -> tuple[State, History]:
        return _fit(static, rates, state, data, np.int32(min(until_epoch, config.epochs)))

    return fit


@functools.partial(jax.jit, static_argnums=0, donate_argnums=2)
def _fit(
    config: HeadConfig, rates: Rates, state: State, data: Data, until: Int[Array, ""]
) -> tuple[State, History]:
    def goes_on(carry: tuple[State, History]) -> Bool[Array, ""]:
        state, _ = carry
        return (state.epoch < until) & ~state.stopped & state.finite

    def epoch(carry: tuple[State, History]) -> tuple[State, History]:
        state, history = carry
        order = jax.random.permutation(
            jax.random.fold_in(key_for(state.key, SHUFFLE), state.epoch), data.x.shape[0]
        )
        after, row = run_epoch(config, rates, state, data, order)
        return after, jax.tree.map(lambda all, one: all.at[state.epoch].set(one), history, row)

    unwritten = History(*(jnp.full(config.epochs, jnp.nan, jnp.float32) for _ in History._fields))
    return lax.while_loop(goes_on, epoch, (state, unwritten))


def run_epoch(
    config: HeadConfig, rates: Rates, state: State, data: Data, order: Int[Array, " rows"]
) -> tuple[State, History]:
    """One epoch over the training rows in the given order, then validation.

    Returns:
        The state after it, and its history as scalars.
    """
    state, loss = _train(config, rates, state, data, order)
    val_loss, val_mae = _evaluate(config, rates, state, data.validation_x, data.validation_y)
    watched, stop = stopping.update(state.stopping, val_loss, rates.patience, rates.min_delta)
    epoch, better = state.epoch + 1, val_loss < state.best_loss
    finite = jnp.isfinite(loss) & jnp.isfinite(val_loss)
    state = state._replace(
        epoch=epoch,
        stopping=watched,
        best_params=jax.tree.map(
            lambda new, old: jnp.where(better, new, old), state.params, state.best_params
        ),
        best_loss=jnp.where(better, val_loss, state.best_loss),
        best_epoch=jnp.where(better, epoch, state.best_epoch),
        stopped=stop & finite,
        finite=finite,
    )
    rate = optimizer.decayed_rate(state.step - 1, *rates[:3])
    return state, History(loss, val_loss, val_mae, rate)


def _train(
    config: HeadConfig, rates: Rates, state: State, data: Data, order: Int[Array, " rows"]
) -> tuple[State, Float[Array, ""]]:
    """Every training row once; a partial last batch is one update on the mean of its real rows."""
    adam = optimizer.adam(rates.learning_rate, rates.decay_steps, rates.decay_rate)
    dropout = key_for(state.key, DROPOUT)

    def step(carry: tuple, batch: tuple) -> tuple[tuple, None]:
        params, opt_state, count, total = carry
        rows, real = batch

        def mean_loss(params: mlp.Params) -> tuple[Array, Array]:
            key = jax.random.fold_in(dropout, count)
            pred = forward(params, state.scalers, config, data.x[rows], key)
            loss = huber(pred, data.y[rows], rates.huber_delta, _loss_scale(state.scalers))
            batch_total = jnp.where(real, loss, 0).sum()
            return batch_total / real.sum(), batch_total

        gradient, batch_total = jax.grad(mean_loss, has_aux=True)(params)
        updates, opt_state = adam.update(gradient, opt_state)
        params = optax.apply_updates(params, updates)
        return (params, opt_state, count + 1, total + batch_total), None

    start = (state.params, state.opt_state, state.step, jnp.zeros((), jnp.float32))
    batches = _batches(order, min(config.batch_size, order.shape[0]))
    (params, opt_state, count, total), _ = lax.scan(step, start, batches)
    return state._replace(params=params, opt_state=opt_state, step=count), total / order.shape[0]


def _evaluate(
    config: HeadConfig, rates: Rates, state: State, x: ArrayOf, y: ArrayOf
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean loss and mean absolute error over all rows, without dropout."""

    def add(sums: tuple, batch: tuple) -> tuple[tuple, None]:
        rows, real = batch
        pred = forward(state.params, state.scalers, config, x[rows])
        loss = huber(pred, y[rows], rates.huber_delta, _loss_scale(state.scalers))
        error = jnp.abs(pred - y[rows]).mean(axis=1)
        return (
            sums[0] + jnp.where(real, loss, 0).sum(),
            sums[1] + jnp.where(real, error, 0).sum(),
        ), None

    count = x.shape[0]
    nothing = (jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32))
    batches = _batches(jnp.arange(count), min(_ROWS, count))
    (loss, error), _ = lax.scan(add, nothing, batches)
    return loss / count, error / count


def forward(
    params: mlp.Params,
    scalers: Scalers,
    config: HeadConfig,
    x: Float[ArrayOf, "rows features"],
    dropout_key: Key[Array, ""] | None = None,
) -> Float[Array, "rows targets"]:
    """Rows of `Data` to predictions in target units: un-scaled, then the output activation."""
    inputs = jnp.asarray(x) if config.components else scaling.scale(scalers.features, x)
    raw = mlp.apply(params, inputs, config, dropout_key)
    pred = scaling.unscale(scalers.target, raw)
    return jax.nn.relu(pred) if config.output_activation == "relu" else pred


def predict_rows(
    params: mlp.Params, scalers: Scalers, config: HeadConfig, x: ArrayOf
) -> np.ndarray:
    """Predictions (rows, targets) in target units and the dtype of `params`, for x of any length.

    x are features as stored, also with `components`: the scaler then has the basis.
    x is read in blocks of one size, so it may stay on the host, and every length is one program.
    """
    static = HeadConfig(hidden=config.layers, output_activation=config.output_activation)
    blocks = [np.zeros((0, scalers.target.mean.shape[0]), scalers.target.mean.dtype)]
    for start in range(0, x.shape[0], _ROWS):
        rows = np.asarray(x[start : start + _ROWS])
        padded = np.pad(rows, ((0, _ROWS - len(rows)), (0, 0)))
        blocks.append(np.asarray(_forward(params, scalers, static, padded))[: len(rows)])
    return np.concatenate(blocks)


_forward = jax.jit(forward, static_argnames="config")


def _batches(
    order: Int[Array, " rows"], size: int
) -> tuple[Int[Array, "batches size"], Bool[Array, "batches size"]]:
    """The order cut into batches, the last padded with row 0, and which entries are real rows."""
    rows = order.shape[0]
    padding = jnp.zeros(-rows % size, order.dtype)
    indices = jnp.concatenate([order, padding]).reshape(-1, size)
    return indices, (jnp.arange(indices.size) < rows).reshape(-1, size)


def _loss_scale(scalers: Scalers) -> ArrayOf | None:
    # One target is measured in its own units; deviations are 1 where the target is not scaled.
    return scalers.target.deviation if scalers.target.deviation.shape[0] > 1 else None
