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
from jaxreg.head.scaling import ArrayOf
from jaxreg.head.state import Data, History, Rates, Rows, State, static_config
from jaxreg.train_config import HeadConfig

Tree = TypeVar("Tree")


def stack(members: Sequence[Tree]) -> Tree:
    """Pytrees of equal shapes as one, with the members as the first axis of every array."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def member(stacked: Tree, number: int) -> Tree:
    """One of the pytrees that were stacked."""
    return jax.tree.map(lambda leaf: leaf[number], stacked)


def stack_data(members: Sequence[Data]) -> Data:
    """The data of members: rows stacked, features too unless all members have the same array."""
    first = members[0]
    shared = all(data.x is first.x for data in members)
    return Data(
        first.x if shared else np.stack([data.x for data in members]),
        first.y,
        _stack_rows([data.train for data in members]),
        _stack_rows([data.validation for data in members]),
        first.views,
    )


def make_fit(
    config: HeadConfig, *, together: bool
) -> Callable[[State, Data, int], tuple[State, History]]:
    """`fit` of `head.fit.make_fit` for stacked states and `stack_data`; one program for all.

    Every member goes to `until_epoch` or ends before it; its result does not depend on the others.
    In the history returned the members are the first axis as well.

    Args:
        config: of all members; seeds are in their states.
        together: under `vmap`; else one after another.
    """
    static, rates = static_config(config), Rates.of(config)

    def fit(states: State, data: Data, until_epoch: int) -> tuple[State, History]:
        until = np.int32(min(until_epoch, config.epochs))
        return _fit(static, together, rates, states, data, until)

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
        state: State, train: Rows, validation: Rows, x: ArrayOf | None
    ) -> tuple[State, History]:
        its = data._replace(train=train, validation=validation, x=data.x if x is None else x)
        return train_until(config, rates, state, its, until)

    each = states, data.train, data.validation, data.x if own_features else None
    if together:
        return jax.vmap(one, in_axes=(0, 0, 0, 0 if own_features else None))(*each)
    return lax.map(lambda arguments: one(*arguments), each)


def _stack_rows(members: Sequence[Rows]) -> Rows:
    """Rows of members, all padded to the longest."""
    most = max(len(rows.numbers) for rows in members)
    return stack([Rows.of(rows.real, most) for rows in members])
