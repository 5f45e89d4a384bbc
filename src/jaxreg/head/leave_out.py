"""The errors of a ridge on rows that are left out: one at a time, or whole groups.

With the hat matrix H of all rows and the residuals e of the ridge on all rows, a ridge fitted
without the rows B has the errors (I − H_BB)⁻¹ e_B on them (Cook and Weisberg, Residuals and
Influence in Regression, 2.2); for a single row that is e / (1 − h).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxreg.common.threads import threads_for
from jaxreg.head import scaling
from jaxreg.head.scaling import ArrayOf, Scaler
from jaxreg.splits.held_out_groups import HeldOutGroup

ROWS = 2048  # rows at a time
GROUP_ROWS = 512  # of groups at a time, unless a single one is longer


class Fitted(NamedTuple):
    """Ridges of several alphas on all rows, in the rows' principal directions."""

    scaler: Scaler
    center: ArrayOf  # (columns,)
    directions: ArrayOf  # (columns, ranks)
    shrinkage: ArrayOf  # (ranks, alphas)
    xty: ArrayOf  # (ranks, targets)
    leverage_of_mean: ArrayOf  # scalar: the part of a leverage that comes from the mean


@jax.jit
def rows_left_out(
    fitted: Fitted,
    x: Float[Array, "rows columns"],
    y: Float[Array, "rows targets"],
    real: Bool[Array, " rows"],
) -> Float[Array, "alphas targets"]:
    """Sums of squared errors of some rows, each left out alone."""
    along = _along(fitted, x).astype(jnp.float64)
    leverage = fitted.leverage_of_mean + jnp.square(along) @ fitted.shrinkage
    wrong = _residuals(fitted, along, y) / (1 - leverage)[:, :, None]
    return jnp.where(real[:, None, None], jnp.square(wrong), 0).sum(axis=0)


@jax.jit
def hats(
    fitted: Fitted,
    x: Float[Array, "groups rows columns"],
    y: Float[Array, "groups rows targets"],
    real: Bool[Array, "groups rows"],
) -> tuple[Float[Array, "alphas groups rows rows"], Float[Array, "alphas groups rows targets"]]:
    """The hat matrices and residuals of some groups' rows, 0 where a row is not real."""
    groups, rows, columns = x.shape
    along = _along(fitted, x.reshape(-1, columns))  # all at once: it reads every direction
    along = jnp.where(real.reshape(-1, 1), along, 0)
    errors = _residuals(fitted, along.astype(jnp.float64), y.reshape(groups * rows, -1))
    errors = errors.reshape(groups, rows, *errors.shape[1:]).transpose(2, 0, 1, 3)
    along = along.reshape(groups, rows, -1)
    shrunk = fitted.shrinkage.T.astype(along.dtype)
    found = lax.map(lambda one: (along * one[None, None, :]) @ along.swapaxes(1, 2), shrunk)
    both = (real[:, :, None] & real[:, None, :])[None, :, :, :]
    found = found.astype(jnp.float64) + fitted.leverage_of_mean * both
    return found, jnp.where(real[None, :, :, None], errors, 0)


def groups_left_out(hats: np.ndarray, errors: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Sums of squared errors (alphas, targets) of the scored rows of groups that are left out."""
    rows = hats.shape[-1]
    with threads_for(rows):
        wrong = np.linalg.solve(np.eye(rows) - hats, errors)
    return np.square(wrong[:, scored]).sum(axis=1)


def _along(fitted: Fitted, x: Float[Array, "rows columns"]) -> Float[Array, "rows ranks"]:
    centred = scaling.scale(fitted.scaler, x) - fitted.center[None, :]
    return centred.astype(fitted.directions.dtype) @ fitted.directions


def _residuals(
    fitted: Fitted, along: Float[Array, "rows ranks"], y: Float[Array, "rows targets"]
) -> Float[Array, "rows alphas targets"]:
    coefficients = fitted.shrinkage[:, :, None] * fitted.xty[:, None, :]
    return y[:, None, :] - jnp.einsum("rk,kst->rst", along, coefficients)


def group_blocks(
    x: ArrayOf, y: ArrayOf, groups: Sequence[HeldOutGroup]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Some groups at a time, padded to the longest, and which of their rows are real and scored."""
    longest = max(len(group.rows) for group in groups)
    count = min(max(1, GROUP_ROWS // longest), len(groups))
    for start in range(0, len(groups), count):
        some = groups[start : start + count]
        rows = np.zeros((count, longest), int)
        real, scored = np.zeros((2, count, longest), bool)
        for place, group in enumerate(some):
            used = len(group.rows)
            rows[place, :used], real[place, :used] = group.rows, True
            scored[place, :used] = group.scored
        yield np.asarray(x[rows]), np.asarray(y[rows]), real, scored


def blocks(
    x: ArrayOf, y: ArrayOf, size: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of one size, the last padded, and which rows are real."""
    size = size or min(ROWS, x.shape[0])
    for start in range(0, x.shape[0], size):
        pair = [np.asarray(rows[start : start + size]) for rows in (x, y)]
        missing = size - len(pair[0])
        padded = [np.pad(rows, ((0, missing), (0, 0))) for rows in pair]
        yield padded[0], padded[1], np.arange(size) < size - missing
