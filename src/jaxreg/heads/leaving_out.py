"""What a ridge errs by on rows that are left out: one row at a time, or a run of them together."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxreg.heads import scaling
from jaxreg.heads.scaling import ArrayOf, Scaler

ROWS = 2048  # rows at a time


@jax.jit
def left_out(
    scaler: Scaler,
    center: Float[Array, " columns"],
    directions: Float[Array, "columns ranks"],
    shrinkage: Float[Array, "ranks strengths"],
    moments: Float[Array, "ranks targets"],
    leverage_of_mean: Float[Array, ""],
    x: Float[Array, "rows columns"],
    y: Float[Array, "rows targets"],
    real: Bool[Array, " rows"],
) -> Float[Array, "strengths targets"]:
    """Sums of squared leave-one-out errors of some rows."""
    along = _along(scaler, center, directions, x).astype(jnp.float64)
    leverage = leverage_of_mean + jnp.square(along) @ shrinkage
    wrong = _residuals(along, shrinkage, moments, y) / (1 - leverage)[:, :, None]
    return jnp.where(real[:, None, None], jnp.square(wrong), 0).sum(axis=0)


@jax.jit
def hats(
    scaler: Scaler,
    center: Float[Array, " columns"],
    directions: Float[Array, "columns ranks"],
    shrinkage: Float[Array, "ranks strengths"],
    moments: Float[Array, "ranks targets"],
    leverage_of_mean: Float[Array, ""],
    x: Float[Array, "rows columns"],
    y: Float[Array, "rows targets"],
    real: Bool[Array, " rows"],
) -> tuple[Float[Array, "strengths rows rows"], Float[Array, "strengths rows targets"]]:
    """The hat matrix of a run of rows and its residuals, 0 where a row is not real."""
    along = jnp.where(real[:, None], _along(scaler, center, directions, x), 0)
    shrunk = shrinkage.T.astype(along.dtype)
    found = lax.map(lambda one: (along * one[None, :]) @ along.T, shrunk).astype(jnp.float64)
    found = found + leverage_of_mean * (real[:, None] & real[None, :])[None, :, :]
    errors = _residuals(along.astype(jnp.float64), shrinkage, moments, y)
    return found, jnp.where(real[:, None, None], errors, 0).swapaxes(0, 1)


def run_left_out(hats: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Sums of squared errors (strengths, targets) of a run of rows that is left out whole."""
    left_out = np.linalg.solve(np.eye(hats.shape[1])[None, :, :] - hats, errors)
    return np.square(left_out).sum(axis=1)


def _along(
    scaler: Scaler,
    center: Float[Array, " columns"],
    directions: Float[Array, "columns ranks"],
    x: Float[Array, "rows columns"],
) -> Float[Array, "rows ranks"]:
    centred = (scaling.scale(scaler, x) - center[None, :]).astype(directions.dtype)
    return centred @ directions


def _residuals(
    along: Float[Array, "rows ranks"],
    shrinkage: Float[Array, "ranks strengths"],
    moments: Float[Array, "ranks targets"],
    y: Float[Array, "rows targets"],
) -> Float[Array, "rows strengths targets"]:
    coefficients = shrinkage[:, :, None] * moments[:, None, :]
    return y[:, None, :] - jnp.einsum("rk,kst->rst", along, coefficients)


def run_blocks(
    x: ArrayOf, y: ArrayOf, runs: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """One run after the other, all padded to the length of the longest."""
    order = np.argsort(runs, kind="stable")
    each = np.split(order, np.flatnonzero(np.diff(runs[order])) + 1)
    longest = max(map(len, each))
    for rows in each:
        yield next(blocks(x[rows], y[rows], longest))


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
