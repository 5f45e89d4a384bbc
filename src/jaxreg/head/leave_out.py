"""The errors of a ridge on rows that are left out: one at a time, or whole groups.

With the hat matrix H of all rows and the residuals e of the ridge on all rows, a ridge fitted
without the rows B has the errors (I − H_BB)⁻¹ e_B on them (Cook and Weisberg, Residuals and
Influence in Regression, 2.2); for a single row that is e / (1 − h). With weights w of the rows,
the same holds for rows, errors and the mean's part of H that are multiplied by √w. A row that only
fills the shape has no weight.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxreg.common.threads import threads_for
from jaxreg.head import scaling
from jaxreg.head.scaling import ArrayOf, Scaler
from jaxreg.splits.held_out_groups import HeldOutGroup

ROWS = 2048  # rows at a time
GROUP_ROWS = 512  # of groups at a time, unless a single one is longer


class Fitted(NamedTuple):
    """Ridges of several alphas on all rows, in the rows' principal directions; float64 but one."""

    scaler: Scaler
    center: np.ndarray  # (columns,)
    directions: np.ndarray  # (columns, ranks), in the dtype of the products
    shrinkage: np.ndarray  # (ranks, alphas)
    xty: np.ndarray  # (ranks, targets)
    leverage_of_mean: float  # the part of a leverage that comes from the mean


def rows_left_out(
    fitted: Fitted,
    x: Float[np.ndarray, "rows columns"],
    y: Float[np.ndarray, "rows targets"],
    root: Float[np.ndarray, " rows"],
) -> Float[np.ndarray, "alphas targets"]:
    """Weighted sums of squared errors of some rows, each left out alone; `root` is √w."""
    along = _along(fitted, x).astype(np.float64)
    errors = _residuals(fitted, along, y)
    leverage = np.square(along, out=along) @ fitted.shrinkage
    leverage += fitted.leverage_of_mean
    leverage *= np.square(root)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):  # a row that a ridge knows by heart
        errors *= root[:, None, None] / (1 - leverage)[:, :, None]
    return np.square(errors, out=errors).sum(axis=0)


def hats(
    fitted: Fitted,
    x: Float[np.ndarray, "groups rows columns"],
    y: Float[np.ndarray, "groups rows targets"],
    root: Float[np.ndarray, "groups rows"],
) -> tuple[
    Float[np.ndarray, "alphas groups rows rows"], Float[np.ndarray, "alphas groups rows targets"]
]:
    """The hat matrices and residuals of some groups' rows, both multiplied by √w."""
    groups, rows, columns = x.shape
    along = _along(fitted, x.reshape(-1, columns))  # all at once: it reads every direction
    errors = _residuals(fitted, along.astype(np.float64), y.reshape(groups * rows, -1))
    errors = errors.reshape(groups, rows, *errors.shape[1:]).transpose(2, 0, 1, 3)
    along = along.reshape(groups, rows, -1) * root[:, :, None].astype(along.dtype)
    found = np.empty((fitted.shrinkage.shape[1], groups, rows, rows))
    for hat, shrunk in zip(found, fitted.shrinkage.T.astype(along.dtype), strict=True):
        hat[...] = (along * shrunk[None, None, :]) @ along.swapaxes(1, 2)
    found += fitted.leverage_of_mean * (root[:, :, None] * root[:, None, :])[None, :, :, :]
    return found, root[None, :, :, None] * errors


def groups_left_out(hats: np.ndarray, errors: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Weighted sums of squared errors (alphas, targets) of the scored rows of left-out groups."""
    rows = hats.shape[-1]
    with threads_for(rows):
        wrong = np.linalg.solve(np.eye(rows) - hats, errors)
    return np.square(wrong[:, scored]).sum(axis=1)


def _along(fitted: Fitted, x: Float[np.ndarray, "rows columns"]) -> np.ndarray:
    """(rows, ranks) the centred rows along each direction."""
    centred = scaling.scale_block(fitted.scaler, x).astype(fitted.directions.dtype)
    centred -= fitted.center[None, :].astype(centred.dtype)
    return centred @ fitted.directions


def _residuals(
    fitted: Fitted,
    along: Float[np.ndarray, "rows ranks"],
    y: Float[np.ndarray, "rows targets"],
) -> Float[np.ndarray, "rows alphas targets"]:
    coefficients = fitted.shrinkage[:, :, None] * fitted.xty[:, None, :]
    ranks, alphas, targets = coefficients.shape
    predictions = along @ coefficients.reshape(ranks, alphas * targets)
    return y[:, None, :] - predictions.reshape(-1, alphas, targets)


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
        rows = np.zeros((len(some), longest), int)
        roots, scored = np.zeros((len(some), longest)), np.zeros((len(some), longest), bool)
        for place, group in enumerate(some):
            used = len(group.rows)
            rows[place, :used], roots[place, :used] = group.rows, root[group.rows]
            scored[place, :used] = group.scored
        yield np.asarray(x[rows]), np.asarray(y[rows]), roots, scored


def blocks(
    x: ArrayOf, y: ArrayOf, root: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Some rows at a time, with √w of each."""
    for start in range(0, x.shape[0], ROWS):
        some = slice(start, start + ROWS)
        yield np.asarray(x[some]), np.asarray(y[some]), root[some]
