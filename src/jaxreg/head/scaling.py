"""Standardizing features and targets by the training rows; plain arrays of the state."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Share of the largest std to which a smaller one is raised. Measured on a driving recording,
# five folds of contiguous blocks, 60 epochs of the default head on mixed10: R² 0.60 with 0.01, 0.70
# with 0.1, 0.73 with 0.3 (fine-tuned weights); 0.77, 0.77, 0.80 (random weights). A ridge on random
# weights is best with small floors (0.73, 0.71, 0.70), hence the middle.
FLOOR = 0.1
LIMIT = 4.0  # std at which a scaled feature is clipped: trained features are heavy-tailed

_CHUNK = 1024  # rows turned into float64 at a time


ArrayOf = np.ndarray | Array  # on the host, or on the device and while tracing

Pieces = Callable[[], Iterator[np.ndarray]]
"""Rows that are not all in memory: each call gives the same (rows, columns), piece by piece."""


class Basis(NamedTuple):
    """Directions that scaled columns are projected on: `(scaled − center) @ directions`."""

    center: ArrayOf  # (columns,), of the scaled columns
    directions: ArrayOf  # (columns, components)


class Scaler(NamedTuple):
    """`(x − mean) / std`, clipped at ±limit. Arrays are float32, of NumPy or of JAX."""

    mean: ArrayOf  # (columns,)
    std: ArrayOf  # (columns,), above 0
    limit: ArrayOf  # scalar, in std; infinite where nothing is clipped
    basis: Basis | None = None  # with --components: what the scaled columns are projected on

    @property
    def outputs(self) -> int:
        """How many columns `scale` returns."""
        return (self.mean if self.basis is None else self.basis.directions.T).shape[0]


class Scalers(NamedTuple):
    """The two scalers of a head."""

    features: Scaler
    target: Scaler


def feature_scaler(x: Float[ArrayOf, "rows columns"] | Pieces) -> Scaler:
    """Mean and std of each column, floored and with a limit; x is read in chunks as float64.

    An array and its rows in pieces of 1,024 give the same bits.

    The floor is relative to the largest std. An absolute floor would fail: features of random
    weights have a std of 0.0009.
    """
    mean, std = _mean_and_std(x)
    floored = np.maximum(std, FLOOR * std.max(initial=0.0))
    return _scaler(mean, np.where(floored == 0, 1.0, floored), LIMIT)


def target_scaler(y: Float[ArrayOf, "rows columns"]) -> Scaler:
    """Mean and std of each target; a constant one has std 1. Nothing is clipped."""
    mean, std = _mean_and_std(y)
    return _scaler(mean, np.where(std == 0, 1.0, std), np.inf)


def identity_scaler(columns: int) -> Scaler:
    """A scaler that changes nothing."""
    return _scaler(np.zeros(columns), np.ones(columns), np.inf)


def scale(scaler: Scaler, x: Float[ArrayOf, "rows columns"]) -> Float[Array, "rows outputs"]:
    """Columns in std, projected on the basis if there is one.

    The result has the scaler's dtype (features may be stored as float16).
    """
    x = x.astype(scaler.mean.dtype)
    scaled = (x - scaler.mean[None, :]) / scaler.std[None, :]
    cut = jnp.clip(scaled, -scaler.limit, scaler.limit)
    if scaler.basis is None:
        return cut
    return (cut - scaler.basis.center[None, :]) @ scaler.basis.directions


def scale_rows(scaler: Scaler, x: Float[ArrayOf, "rows columns"]) -> Float[np.ndarray, "rows out"]:
    """`scale` for any number of rows, to the host; a chunk at a time, so x may stay there too."""
    chunks = [np.zeros((0, scaler.outputs), np.float32)]
    for start in range(0, x.shape[0], _CHUNK):
        rows = np.asarray(x[start : start + _CHUNK])
        padded = np.pad(rows, ((0, _CHUNK - len(rows)), (0, 0)))
        chunks.append(np.asarray(_scale(scaler, padded))[: len(rows)])
    return np.concatenate(chunks)


_scale = jax.jit(scale)


def unscale(scaler: Scaler, z: Float[Array, "rows columns"]) -> Float[Array, "rows columns"]:
    """The inverse of `scale`, but for the limit."""
    return z * scaler.std[None, :] + scaler.mean[None, :]


def _scaler(mean: np.ndarray, std: np.ndarray, limit: float) -> Scaler:
    return Scaler(mean.astype(np.float32), std.astype(np.float32), np.array(limit, np.float32))


def _mean_and_std(x: ArrayOf | Pieces) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population std of each column, float64, in two passes (one would cancel)."""
    pieces = x if callable(x) else functools.partial(_chunks, x)
    rows, total, squares = 0, np.float64(0), np.float64(0)
    with np.errstate(invalid="ignore"):  # an infinite value shows as a loss that is not finite
        for piece in pieces():
            rows += len(piece)
            total = total + piece.sum(axis=0, dtype=np.float64)
        mean = np.asarray(total / rows)
        for piece in pieces():
            squares = squares + np.square(piece - mean).sum(axis=0)
        std = np.sqrt(squares / rows)
    # float32 cannot tell such a column from a constant one: what is left is rounding.
    constant = std <= np.finfo(np.float32).eps * np.abs(mean)
    return mean, np.where(constant, 0.0, std)


def _chunks(x: ArrayOf) -> Iterator[np.ndarray]:
    for start in range(0, x.shape[0], _CHUNK):
        yield np.asarray(x[start : start + _CHUNK])
