"""The training of `fit` over rows that are not all on the device: block after block of batches."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxreg.head import fit, mlp
from jaxreg.head.fit import Errors, Steps
from jaxreg.head.rates import Rates, static_config
from jaxreg.head.scaling import ArrayOf, Scalers
from jaxreg.head.state import History, State, in_target_units
from jaxreg.train_config import HeadConfig


class Block(NamedTuple):
    """Some batches of rows; a row or a whole batch that is not real only fills the shape."""

    x: Float[ArrayOf, "batches rows features"]
    y: Float[ArrayOf, "batches rows targets"]  # in std
    weights: Float[ArrayOf, "batches rows targets"]  # 0 for a row that is not real
    real: Bool[ArrayOf, "batches rows"]


@runtime_checkable
class Blocks(Protocol):
    """All rows of a training in blocks: one shape for training rows, another for validation."""

    def empty(self) -> tuple[Block, Block]:
        """A block of either kind without a real row."""
        ...

    def training(self, key: Array, epoch: Array) -> Iterator[Block]:
        """Every training row once, in the order of that epoch; only the last batch is partial."""
        ...

    def validation(self) -> Iterator[Block]:
        """Every validation row once."""
        ...


def make_fit(config: HeadConfig) -> Callable[[State, Blocks, int], tuple[State, History]]:
    """`fit(state, blocks, until_epoch) -> (state, history)`, as `jaxreg.head.fit.make_fit`.

    The epochs are driven from the host; a batch goes through the same functions, so that the same
    order of rows gives the same numbers. The next block may be on its way while one is trained on.
    """
    static = static_config(config)

    def run(state: State, blocks: Blocks, until_epoch: int) -> tuple[State, History]:
        target = jax.device_get(state.scalers.target)
        rates = Rates.of(config, target)
        history = History(*(np.full(config.epochs, np.nan, np.float32) for _ in History._fields))
        if until_epoch == 0:
            return _compile(static, rates, state, blocks), history
        until = min(until_epoch, config.epochs)
        while (done := int(state.epoch)) < until and not state.stopped and state.finite:
            state, row = _run_epoch(static, rates, state, blocks)
            for values, value in zip(history, row, strict=True):
                values[done] = value
        return state, in_target_units(config, history, target)

    return run


def _compile(config: HeadConfig, rates: Rates, state: State, blocks: Blocks) -> State:
    """Compile what an epoch needs, on blocks in which nothing is to be done."""
    train, validation = blocks.empty()
    steps = _train_block(config, rates, state.scalers, state.key, fit.first_steps(state), train)
    _validate_block(config, rates, steps.params, state.scalers, fit.no_errors(), validation)
    return state._replace(params=steps.params, opt_state=steps.opt_state, step=steps.step)


def _run_epoch(
    config: HeadConfig, rates: Rates, state: State, blocks: Blocks
) -> tuple[State, History]:
    scalers, key = state.scalers, state.key
    steps, errors = fit.first_steps(state), fit.no_errors()
    for block in blocks.training(key, state.epoch):
        # waited for, or blocks would pile up on the device faster than they are used
        steps = jax.block_until_ready(_train_block(config, rates, scalers, key, steps, block))
    for block in blocks.validation():
        errors = _validate_block(config, rates, steps.params, scalers, errors, block)
        jax.block_until_ready(errors)
    state = state._replace(params=steps.params, opt_state=steps.opt_state, step=steps.step)
    return _close_epoch(rates, state, steps.total, steps.weight, errors)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=4)
def _train_block(
    config: HeadConfig, rates: Rates, scalers: Scalers, key: Array, steps: Steps, block: Block
) -> Steps:
    def train(i: Array, steps: Steps) -> Steps:
        x, y, weights = block.x[i], block.y[i], block.weights[i]
        return fit.train_batch(config, rates, scalers, key, steps, x, y, weights)

    return lax.fori_loop(0, _batches_in(block), train, steps)


@functools.partial(jax.jit, static_argnums=0)
def _validate_block(
    config: HeadConfig,
    rates: Rates,
    params: mlp.Params,
    scalers: Scalers,
    errors: Errors,
    block: Block,
) -> Errors:
    def add(i: Array, errors: Errors) -> Errors:
        x, y, weights = block.x[i], block.y[i], block.weights[i]
        return fit.add_errors(config, rates, params, scalers, errors, x, y, weights)

    return lax.fori_loop(0, _batches_in(block), add, errors)


_close_epoch = jax.jit(fit.close_epoch, donate_argnums=1)


def _batches_in(block: Block) -> Array:
    """How many batches have a real row; the others come after them."""
    return block.real.any(axis=1).sum()
