"""Several trainings on the same features as one program: folds, seeds, settings, or all of them.

They differ in their rows, in their first state and in their `Rates`. On an accelerator they run
together. On a CPU they run one after another inside the program, where `vmap` takes three times as
long.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from jaxreg.head.fit import train_until
from jaxreg.head.rates import Rates, static_config
from jaxreg.head.scaling import ArrayOf
from jaxreg.head.state import Data, History, Rows, State, in_target_units
from jaxreg.train_config import HeadConfig

Tree = TypeVar("Tree")


class StackedData(NamedTuple):
    """The data of members; but for features and views, the first axis is the members."""

    x: tuple[ArrayOf, ...]  # (rows, features) each: an array once, however many members have it
    which: ArrayOf  # (members,) int32: the array of each
    y: ArrayOf
    train: Rows
    validation: Rows
    views: ArrayOf  # (views,), the same for all
    weights: ArrayOf


def stack(members: Sequence[Tree]) -> Tree:
    """Pytrees of equal shapes as one, with the members as the first axis of every array."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def member(stacked: Tree, number: int) -> Tree:
    """One of the pytrees that were stacked."""
    return jax.tree.map(lambda leaf: leaf[number], stacked)


def stack_data(members: Sequence[Data]) -> StackedData:
    """The data of members; features that are the same array for several members are there once."""
    sets = {id(data.x): data.x for data in members}
    places = {key: place for place, key in enumerate(sets)}
    return StackedData(
        tuple(sets.values()),
        np.array([places[id(data.x)] for data in members], np.int32),
        np.stack([data.y for data in members]),
        _stack_rows([data.train for data in members]),
        _stack_rows([data.validation for data in members]),
        members[0].views,
        np.stack([data.weights for data in members]),
    )


def make_fit(
    configs: Sequence[HeadConfig], *, together: bool
) -> Callable[[State, StackedData, int], tuple[State, History]]:
    """`fit` of `head.fit.make_fit` for stacked states and `stack_data`; one program for all.

    Every member goes to `until_epoch` or ends before it; its result does not depend on the others.
    In the history returned the members are the first axis as well.

    Args:
        configs: one for each member. They may differ in everything that is in `Rates`; seeds are
            in the states.
        together: under `vmap`; else one after another.

    Raises:
        ValueError: the configs are of several architectures.
    """
    static, epochs = one_program(configs), configs[0].epochs

    def fit(states: State, data: StackedData, until_epoch: int) -> tuple[State, History]:
        target = jax.device_get(states.scalers.target)
        each = [Rates.of(config, member(target, i)) for i, config in enumerate(configs)]
        rates, until = stack(each), np.int32(min(until_epoch, epochs))
        states, history = _fit(static, together, rates, states, data, until)
        return states, in_target_units(configs[0], history, target)

    return fit


def one_program(configs: Sequence[HeadConfig]) -> HeadConfig:
    """What `static_config` makes of each of these; ValueError where it is not the same for all.

    Where one of them drops units, the program drops units: in the others with a share of 0.
    """
    dropout = max(config.dropout for config in configs)
    static = {static_config(replace(config, dropout=dropout)) for config in configs}
    if len(static) != 1:
        raise ValueError(f"{len(static)} architectures in one program")
    return static.pop()


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=3)
def _fit(
    config: HeadConfig,
    together: bool,
    rates: Rates,
    states: State,
    data: StackedData,
    until: Int[Array, ""],
) -> tuple[State, History]:
    only = len(data.x) == 1
    x = data.x[0] if only else jnp.stack(data.x)

    def one(
        state: State,
        rates: Rates,
        y: ArrayOf,
        weights: ArrayOf,
        train: Rows,
        validation: Rows,
        which: Int[ArrayOf, ""],
    ) -> tuple[State, History]:
        its = Data(x if only else x[which], y, train, validation, data.views, weights)
        return train_until(config, rates, state, its, until)

    each = states, rates, data.y, data.weights, data.train, data.validation, data.which
    if together:
        return jax.vmap(one)(*each)
    return lax.map(lambda arguments: one(*arguments), each)


def _stack_rows(members: Sequence[Rows]) -> Rows:
    """Rows of members, all padded to the longest."""
    most = max(len(rows.numbers) for rows in members)
    return stack([Rows.of(rows.real, most) for rows in members])
