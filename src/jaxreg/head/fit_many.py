"""Several trainings on the same features as one program: folds, seeds, or both.

They differ in their training rows and in their first state. On an accelerator they run together. On
a CPU they run one after another inside the program, where `vmap` takes three times as long.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int

from jaxreg.head.fit import train_until
from jaxreg.head.rates import Rates
from jaxreg.head.scaling import ArrayOf
from jaxreg.head.state import Data, History, Rows, State, in_target_units, static_config
from jaxreg.train_config import HeadConfig

Tree = TypeVar("Tree")


def stack(members: Sequence[Tree]) -> Tree:
    """Pytrees of equal shapes as one, with the members as the first axis of every array."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def member(stacked: Tree, number: int) -> Tree:
    """One of the pytrees that were stacked."""
    return jax.tree.map(lambda leaf: leaf[number], stacked)


def stack_data(members: Sequence[Data]) -> Data:
    """The data of members: stacked, but for features that are the same array for all members."""
    first = members[0]
    shared = all(data.x is first.x for data in members)
    return Data(
        first.x if shared else np.stack([data.x for data in members]),
        np.stack([data.y for data in members]),
        _stack_rows([data.train for data in members]),
        _stack_rows([data.validation for data in members]),
        first.views,
        np.stack([data.weights for data in members]),
    )


def make_fit(
    configs: Sequence[HeadConfig], *, together: bool
) -> Callable[[State, Data, int], tuple[State, History]]:
    """`fit` of `head.fit.make_fit` for stacked states and `stack_data`; one program for all.

    Every member goes to `until_epoch` or ends before it; its result does not depend on the others.
    In the history returned the members are the first axis as well.

    Args:
        configs: one for each member. They differ in the thresholds alone; seeds are in the states.
        together: under `vmap`; else one after another.
    """
    static, epochs = static_config(configs[0]), configs[0].epochs

    def fit(states: State, data: Data, until_epoch: int) -> tuple[State, History]:
        target = jax.device_get(states.scalers.target)
        each = [Rates.of(config, member(target, i)) for i, config in enumerate(configs)]
        rates, until = stack(each), np.int32(min(until_epoch, epochs))
        states, history = _fit(static, together, rates, states, data, until)
        return states, in_target_units(configs[0], history, target)

    return fit


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=3)
def _fit(
    config: HeadConfig,
    together: bool,
    rates: Rates,
    states: State,
    data: Data,
    until: Int[Array, ""],
) -> tuple[State, History]:
    own_features = data.x.ndim == 3

    def one(
        state: State,
        rates: Rates,
        y: ArrayOf,
        weights: ArrayOf,
        train: Rows,
        validation: Rows,
        x: ArrayOf | None,
    ) -> tuple[State, History]:
        its = Data(data.x if x is None else x, y, train, validation, data.views, weights)
        return train_until(config, rates, state, its, until)

    features = data.x if own_features else None
    each = states, rates, data.y, data.weights, data.train, data.validation, features
    if together:
        return jax.vmap(one, in_axes=(0, 0, 0, 0, 0, 0, 0 if own_features else None))(*each)
    return lax.map(lambda arguments: one(*arguments), each)


def _stack_rows(members: Sequence[Rows]) -> Rows:
    """Rows of members, all padded to the longest."""
    most = max(len(rows.numbers) for rows in members)
    return stack([Rows.of(rows.real, most) for rows in members])
