"""The errors of a ridge on rows that are left out: one at a time, or whole groups.

With the hat matrix H of all rows and the residuals e of the ridge on all rows, a ridge fitted
without the rows B has the errors (I − H_BB)⁻¹ e_B on them (Cook and Weisberg, Residuals and
Influence in Regression, 2.2); for a single row that is e / (1 − h). With weights w of the rows,
the same holds for rows, errors and the mean's part of H that are multiplied by √w. A row that only
fills the shape has no weight.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

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
    root: Float[Array, " rows"],
) -> Float[Array, "alphas targets"]:
    """Weighted sums of squared errors of some rows, each left out alone; `root` is √w."""
    along = _along(fitted, x).astype(jnp.float64)
    leverage = fitted.leverage_of_mean + jnp.square(along) @ fitted.shrinkage
    leverage *= jnp.square(root)[:, None]
    wrong = _residuals(fitted, along, y) / (1 - leverage)[:, :, None]
    squares = jnp.square(root[:, None, None] * wrong)
    return jnp.where(root[:, None, None] > 0, squares, 0).sum(axis=0)


@jax.jit
def hats(
    fitted: Fitted,
    x: Float[Array, "groups rows columns"],
    y: Float[Array, "groups rows targets"],
    root: Float[Array, "groups rows"],
) -> tuple[Float[Array, "alphas groups rows rows"], Float[Array, "alphas groups rows targets"]]:
    """The hat matrices and residuals of some groups' rows, both multiplied by √w."""
    groups, rows, columns = x.shape
    along = _along(fitted, x.reshape(-1, columns))  # all at once: it reads every direction
    errors = _residuals(fitted, along.astype(jnp.float64), y.reshape(groups * rows, -1))
    errors = errors.reshape(groups, rows, *errors.shape[1:]).transpose(2, 0, 1, 3)
    along = along.reshape(groups, rows, -1) * root[:, :, None].astype(along.dtype)
    shrunk = fitted.shrinkage.T.astype(along.dtype)
    found = lax.map(lambda one: (along * one[None, None, :]) @ along.swapaxes(1, 2), shrunk)
    both = (root[:, :, None] * root[:, None, :])[None, :, :, :]
    found = found.astype(jnp.float64) + fitted.leverage_of_mean * both
    return found, root[None, :, :, None] * errors


def groups_left_out(hats: np.ndarray, errors: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Weighted sums of squared errors (alphas, targets) of the scored rows of left-out groups."""
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
    x: ArrayOf, y: ArrayOf, root: np.ndarray, groups: Sequence[HeldOutGroup]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Some groups at a time, padded to the longest, and which of their rows are scored.

    `root` is √w of each row. It is 0 in the padding.
    """
    longest = max(len(group.rows) for group in groups)
    count = min(max(1, GROUP_ROWS // longest), len(groups))
    for start in range(0, len(groups), count):
        some = groups[start : start + count]
        rows = np.zeros((count, longest), int)
        roots, scored = np.zeros((count, longest)), np.zeros((count, longest), bool)
        for place, group in enumerate(some):
            used = len(group.rows)
            rows[place, :used], roots[place, :used] = group.rows, root[group.rows]
            scored[place, :used] = group.scored
        yield np.asarray(x[rows]), np.asarray(y[rows]), roots, scored


def blocks(
    x: ArrayOf, y: ArrayOf, root: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of one size, the last padded, with √w of each row, which is 0 in the padding."""
    size = min(ROWS, x.shape[0])
    parts = x, y, root[:, None]
    for each in zip(*(scaling.padded_blocks(rows, size) for rows in parts), strict=True):
        some, targets, roots = (block for _, block in each)
        yield some, targets, roots[:, 0]
