"""A whole training as one pure, jitted function: epochs, steps, early stopping, best weights."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxreg.head import blend, early_stopping, mlp, optimizer
from jaxreg.head.apply import ROWS, forward
from jaxreg.head.dropout import Dropout
from jaxreg.head.losses import loss_of
from jaxreg.head.rates import Rates, static_config
from jaxreg.head.row_batches import batch_of, batches_of, weight_of, weighted_sum
from jaxreg.head.scaling import ArrayOf, Scalers
from jaxreg.head.state import (
    DROPOUT,
    SHUFFLE,
    VIEW,
    Data,
    History,
    Rows,
    State,
    in_target_units,
    key_for,
)
from jaxreg.head.target_outputs import of_targets, sizes, together, types_for
from jaxreg.train_config import HeadConfig


class Steps(NamedTuple):
    """What changes within an epoch."""

    params: mlp.Params
    opt_state: optax.OptState
    step: jax.Array  # int32, updates done
    total: jax.Array  # float32, the weighted sum of the losses of the epoch's rows so far
    weight: jax.Array  # float32, the sum of their weights; both are means over the targets


class Errors(NamedTuple):
    """Weighted sums over the validation rows so far, float32; means over the targets."""

    loss: jax.Array  # of targets in std
    absolute: jax.Array  # target units
    weight: jax.Array
    target_weight: jax.Array  # of `absolute`, which counts a circular target once


def make_fit(config: HeadConfig) -> Callable[[State, Data, int], tuple[State, History]]:
    """`fit(state, data, until_epoch) -> (state, history)`, which consumes the state it is given.

    It trains from `state.epoch` to `until_epoch` or `config.epochs` and ends before that when early
    stopping ends it or a loss is not finite (that epoch is recorded, and `state.finite` is False).
    How many epochs a call does never changes the result, to the bit. It compiles once per
    architecture, batch size, `epochs` and shapes of data; `until_epoch=0` compiles and no more.
    """
    static = static_config(config)

    def fit(state: State, data: Data, until_epoch: int) -> tuple[State, History]:
        target = jax.device_get(state.scalers.target)
        rates, until = Rates.of(config, target), np.int32(min(until_epoch, config.epochs))
        state, history = _fit(static, rates, state, data, until)
        return state, in_target_units(config, history, target)

    return fit


def train_until(
    config: HeadConfig, rates: Rates, state: State, data: Data, until: Int[ArrayOf, ""]
) -> tuple[State, History]:
    """What `make_fit` jits."""

    def goes_on(carry: tuple[State, History]) -> Bool[Array, ""]:
        state, _ = carry
        return (state.epoch < until) & ~state.stopped & state.finite

    def epoch(carry: tuple[State, History]) -> tuple[State, History]:
        state, history = carry
        rows = order_of(state.key, state.epoch, data.train, data.views)
        after, row = run_epoch(config, rates, state, data, rows)
        return after, jax.tree.map(lambda all, one: all.at[state.epoch].set(one), history, row)

    unwritten = History(*(jnp.full(config.epochs, jnp.nan, jnp.float32) for _ in History._fields))
    return lax.while_loop(goes_on, epoch, (state, unwritten))


_fit = jax.jit(train_until, static_argnums=0, donate_argnums=2)


def run_epoch(
    config: HeadConfig, rates: Rates, state: State, data: Data, rows: Rows
) -> tuple[State, History]:
    """One epoch over these rows in their order, then validation; the history is of scalars."""
    steps = _train(config, rates, state, data, rows)
    state = state._replace(params=steps.params, opt_state=steps.opt_state, step=steps.step)
    head = state.params
    if config.head == "blend":
        head = blend.with_share(head, state.best_params, _share(config, state, data))
    errors = _evaluate(config, rates, state.params, state.scalers, data)
    return close_epoch(rates, state, steps.total, steps.weight, errors, head)


def order_of(key: Array, epoch: Int[Array, ""], rows: Rows, views: Int[ArrayOf, " views"]) -> Rows:
    """The rows in the order of an epoch, where all of them can be reached at once.

    Sorted by a number drawn for each; what only fills the shape comes last. Of several views one
    is drawn for each row. Neither depends on the capacity: a draw's bits are its place's own.
    """
    capacity = rows.numbers.shape[0]
    key_of = lambda purpose: jax.random.fold_in(key_for(key, purpose), epoch)  # noqa: E731
    drawn = jax.random.bits(key_of(SHUFFLE), (capacity,), jnp.uint32)
    last = jnp.uint32(2**32 - 1)
    order = jnp.argsort(jnp.where(jnp.arange(capacity) < rows.used, drawn, last))
    numbers = jnp.asarray(rows.numbers)[order]
    if views.shape[0] == 1:
        return Rows(numbers, rows.used)
    view = jax.random.bits(key_of(VIEW), (capacity,), jnp.uint32) % views.shape[0]
    return Rows(numbers + jnp.asarray(views)[view], rows.used)


def close_epoch(
    rates: Rates,
    state: State,
    total: Float[Array, ""],
    weight: Float[Array, ""],
    errors: Errors,
    head: mlp.Params | None = None,
) -> tuple[State, History]:
    """Early stopping and the best weights after an epoch's updates, and its history as scalars.

    `total` and `weight` are sums over the epoch's updates. `head` are the parameters to
    keep, where they are more than the state's.
    """
    loss, val_loss = total / weight, errors.loss / errors.weight
    val_mae = errors.absolute / errors.target_weight
    head = state.params if head is None else head
    after, stop = early_stopping.update(
        state.early_stopping, val_loss, rates.patience, rates.min_delta
    )
    epoch, better = state.epoch + 1, val_loss < state.best_loss
    finite = jnp.isfinite(loss) & jnp.isfinite(val_loss)
    state = state._replace(
        epoch=epoch,
        early_stopping=after,
        best_params=jax.tree.map(functools.partial(jnp.where, better), head, state.best_params),
        best_loss=jnp.where(better, val_loss, state.best_loss),
        best_epoch=jnp.where(better, epoch, state.best_epoch),
        stopped=stop & finite,
        finite=finite,
    )
    rate = optimizer.decayed_rate(state.step - 1, *rates[:3])
    return state, History(loss, val_loss, val_mae, rate)


def _train(config: HeadConfig, rates: Rates, state: State, data: Data, rows: Rows) -> Steps:
    """Every one of the rows once, in batches; the last may be a partial one."""
    indices, real, batches = batches_of(rows, config.batch_size)

    def step(i: Array, steps: Steps) -> Steps:
        x, y, weights = batch_of(data, indices[i], real[i])
        return train_batch(config, rates, state.scalers, state.key, steps, x, y, weights)

    return lax.fori_loop(0, batches, step, first_steps(state))


def first_steps(state: State) -> Steps:
    """The steps at the start of an epoch."""
    return Steps(state.params, state.opt_state, state.step, *_nothing())


def steps_from(params: mlp.Params) -> Steps:
    """The steps with new weights, before any update."""
    opt_state = optimizer.adam(0.0, 1, 1.0).init(params)
    return Steps(params, opt_state, jnp.zeros((), jnp.int32), *_nothing())


def _nothing() -> tuple[Array, Array]:
    return jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32)  # two, so that both are donated


def train_batch(
    config: HeadConfig,
    rates: Rates,
    scalers: Scalers,
    key: Array,
    steps: Steps,
    x: Float[ArrayOf, "rows features"],
    y: Float[ArrayOf, "rows targets"],
    weights: Float[ArrayOf, "rows targets"],
) -> Steps:
    """One update on the sum of the weighted losses over the number of weights above 0.

    As in Keras, the sum is not divided by the sum of the weights of the batch.
    """
    adam = optimizer.adam(rates.learning_rate, rates.decay_steps, rates.decay_rate)

    def mean_loss(params: mlp.Params) -> tuple[Array, Array]:
        dropout = None
        if config.dropout:
            dropout = Dropout(jax.random.fold_in(key_for(key, DROPOUT), steps.step), rates.keep)
        pred = forward(params, scalers, config, x, dropout)
        loss = loss_of(config.loss, pred, y, rates.huber_delta)
        batch_total = weighted_sum(loss, weights)
        numbers = jnp.maximum((weights > 0).sum(), 1)
        return batch_total / (numbers / weights.shape[1]), batch_total

    gradient, batch_total = jax.grad(mean_loss, has_aux=True)(steps.params)
    updates, opt_state = adam.update(gradient, steps.opt_state)
    rate = optimizer.decayed_rate(steps.step, *rates[:3])
    kept = optimizer.decayed_weights(steps.params, rate, rates.weight_decay)
    params: Any = optax.apply_updates(kept, updates)
    weight = steps.weight + weight_of(weights)
    return Steps(params, opt_state, steps.step + 1, steps.total + batch_total, weight)


def _share(config: HeadConfig, state: State, data: Data) -> Float[Array, " targets"]:
    """The ridge's share in a blend, by the validation rows."""
    indices, real, batches = batches_of(data.validation, ROWS)

    def add(i: Array, so_far: tuple[Array, Array]) -> tuple[Array, Array]:
        x, y, weights = batch_of(data, indices[i], real[i])
        each = blend.terms(state.params, state.scalers, x, y, config)
        products, squares = ((weights * term).sum(axis=0) for term in each)
        return so_far[0] + products, so_far[1] + squares

    none = jnp.zeros(state.scalers.target.mean.shape, jnp.float32)
    sums, types = lax.fori_loop(0, batches, add, (none, none)), types_for(config, len(none))
    products, squares = (together(types, each) for each in sums)
    before = state.best_params["blend"]
    return blend.best_share(products, squares, before["prior"], before["even"])


def _evaluate(
    config: HeadConfig, rates: Rates, params: mlp.Params, scalers: Scalers, data: Data
) -> Errors:
    """The errors over all validation rows, without dropout."""
    indices, real, batches = batches_of(data.validation, ROWS)

    def add(i: Array, errors: Errors) -> Errors:
        x, y, weights = batch_of(data, indices[i], real[i])
        return add_errors(config, rates, params, scalers, errors, x, y, weights)

    return lax.fori_loop(0, batches, add, no_errors())


def no_errors() -> Errors:
    """Before the first validation row."""
    return Errors(*(jnp.zeros((), jnp.float32) for _ in Errors._fields))


def add_errors(
    config: HeadConfig,
    rates: Rates,
    params: mlp.Params,
    scalers: Scalers,
    errors: Errors,
    x: Float[ArrayOf, "rows features"],
    y: Float[ArrayOf, "rows targets"],
    weights: Float[ArrayOf, "rows targets"],
) -> Errors:
    """The sums with these rows added."""
    pred = forward(params, scalers, config, x)
    loss = loss_of(config.loss, pred, y, rates.huber_delta)
    size, own = sizes(config, scalers.target, pred, y), weights
    if size.shape[1] != y.shape[1]:
        own = of_targets(types_for(config, y.shape[1]), weights)
    if size.shape[1] == 1:  # several targets have no common unit but their std
        size = size * scalers.target.std[None, :1]
    return Errors(
        errors.loss + weighted_sum(loss, weights),
        errors.absolute + weighted_sum(size, own),
        errors.weight + weight_of(weights),
        errors.target_weight + weight_of(own),
    )
