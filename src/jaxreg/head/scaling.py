"""Standardizing features and targets by the training rows; plain arrays of the state."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxreg.head.side_scaling import scale_side
from jaxreg.side_columns import NO_SIDE, SideColumns
from jaxreg.target_numbers import mean_and_std

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
    #: with side columns, the last ones: (columns,), the scaled value of a row without a value; NaN
    #: for features
    fill: ArrayOf | None = None

    @property
    def outputs(self) -> int:
        """How many columns `scale` returns."""
        return (self.mean if self.basis is None else self.basis.directions.T).shape[0]

    @property
    def features(self) -> int:
        """How many of the columns are features; side columns follow them. Not while tracing."""
        if self.fill is None:
            return self.mean.shape[0]
        return int(np.isnan(np.asarray(self.fill)).sum())


class TargetScaler(NamedTuple):
    """`(y − mean) / std` in float64. Arrays are float32: those of the state of a training.

    The mean is the sum of two float32 numbers, so it keeps 48 bits. One would round a mean of
    1.7e9 by up to 64, which may be more than the std.
    """

    mean: ArrayOf  # (targets,) target units
    std: ArrayOf  # (targets,) target units, above 0
    rest: ArrayOf  # (targets,) target units: what float32 leaves of the mean


class Scalers(NamedTuple):
    """The two scalers of a head."""

    features: Scaler
    target: TargetScaler


def feature_scaler(
    x: Float[ArrayOf, "rows columns"] | Pieces,
    side: SideColumns = NO_SIDE,
    *,
    scale_features: bool = True,
) -> Scaler:
    """Mean and std of each column, floored and with a limit; x is read in chunks as float64.

    An array and its rows in pieces of 1,024 give the same bits.

    The floor is relative to the largest std. An absolute floor would fail: features of random
    weights have a std of 0.0009. Side columns have a unit of their own, so they have no part in it.

    Args:
        x: the training rows.
        side: the side columns, which are the last ones of x.
        scale_features: whether features change; side columns are always scaled.
    """
    pieces = x if callable(x) else functools.partial(_chunks, x)
    kept: list[np.ndarray] = []

    def features() -> Iterator[np.ndarray]:
        kept.clear()
        for piece in pieces():
            place = piece.shape[1] - side.width
            kept.append(piece[:, place:].copy())  # a view would keep the whole piece
            yield piece[:, :place]

    mean, std = _mean_and_std(features)
    floored = np.maximum(std, FLOOR * std.max(initial=0.0))
    scaler = _scaler(mean, np.where(floored == 0, 1.0, floored), LIMIT)
    if not scale_features:
        scaler = identity_scaler(len(mean))
    if not side:
        return scaler
    own = scale_side(side, np.concatenate(kept))
    fill = np.concatenate([np.full(len(mean), np.nan), own.fill]).astype(np.float32)
    mean = np.concatenate([scaler.mean, own.mean])
    std = np.concatenate([scaler.std, own.std])
    return _scaler(mean, std, float(scaler.limit))._replace(fill=fill)


def identity_scaler(columns: int, side: int = 0) -> Scaler:
    """A scaler that changes nothing; `side` side columns follow the `columns` features."""
    scaler = _scaler(np.zeros(columns + side), np.ones(columns + side), np.inf)
    if not side:
        return scaler
    fill = np.concatenate([np.full(columns, np.nan), np.zeros(side)])
    return scaler._replace(fill=fill.astype(np.float32))


def target_scaler(y: Float[np.ndarray, "rows targets"]) -> TargetScaler:
    """Mean and std of each target; a constant one has std 1."""
    mean, std = mean_and_std(y)
    first = mean.astype(np.float32)
    unit = np.where(std == 0, 1.0, std).astype(np.float32)
    with np.errstate(invalid="ignore"):  # an infinite value shows as a loss that is not finite
        return TargetScaler(first, unit, (mean - first).astype(np.float32))


def unscaled_targets(targets: int) -> TargetScaler:
    """The scaler that changes no target."""
    zeros = np.zeros(targets, np.float32)
    return TargetScaler(zeros, np.ones(targets, np.float32), zeros)


def uncentred_targets(y: Float[np.ndarray, "rows targets"]) -> TargetScaler:
    """The std of each target alone: targets that keep their mean get a common unit."""
    scaler = target_scaler(y)
    zeros = np.zeros_like(scaler.mean)
    return scaler._replace(mean=zeros, rest=zeros)


def scale_targets(
    scaler: TargetScaler, y: Float[np.ndarray, "rows targets"]
) -> Float[np.ndarray, "rows targets"]:
    """Targets in std, float32, as the head learns them; computed in float64 on the host."""
    mean, std = mean_and_std_of(scaler)
    with np.errstate(invalid="ignore"):
        return ((y - mean[None, :]) / std[None, :]).astype(np.float32)


def targets_of(
    scaler: TargetScaler, scaled: Float[ArrayOf, "rows targets"]
) -> Float[np.ndarray, "rows targets"]:
    """The inverse of `scale_targets`: target units, float64, on the host."""
    mean, std = mean_and_std_of(scaler)
    return np.asarray(scaled, np.float64) * std[None, :] + mean[None, :]


def mean_and_std_of(scaler: TargetScaler) -> tuple[np.ndarray, np.ndarray]:
    """Mean and std of a target scaler, float64; with a leading axis if members are stacked."""
    mean, std, rest = (np.asarray(part, np.float64) for part in scaler)
    return mean + rest, std


def scale(scaler: Scaler, x: Float[ArrayOf, "rows columns"]) -> Float[Array, "rows outputs"]:
    """Columns in std, projected on the basis if there is one.

    The result has the scaler's dtype (features may be stored as float16).
    """
    x = x.astype(scaler.mean.dtype)
    scaled = (x - scaler.mean[None, :]) / scaler.std[None, :]
    cut = jnp.clip(scaled, -scaler.limit, scaler.limit)
    if scaler.fill is not None:
        cut = jnp.where(jnp.isnan(cut), scaler.fill[None, :], cut)
    if scaler.basis is None:
        return cut
    return (cut - scaler.basis.center[None, :]) @ scaler.basis.directions


def scale_block(
    scaler: Scaler, x: Float[np.ndarray, "rows columns"]
) -> Float[np.ndarray, "rows outputs"]:
    """`scale` with NumPy alone, in one new array, to a rounding or two."""
    cut = x.astype(scaler.mean.dtype)
    with np.errstate(invalid="ignore"):  # an infinite value shows as a loss that is not finite
        cut -= scaler.mean[None, :]
    cut *= (1 / scaler.std)[None, :]  # as a compiler does
    np.clip(cut, -scaler.limit, scaler.limit, out=cut)
    if scaler.fill is not None:
        np.copyto(cut, scaler.fill[None, :], where=np.isnan(cut))
    if scaler.basis is None:
        return cut
    return (cut - scaler.basis.center[None, :]) @ scaler.basis.directions


def scale_rows(scaler: Scaler, x: Float[ArrayOf, "rows columns"]) -> Float[np.ndarray, "rows out"]:
    """`scale` for any number of rows, to the host; a chunk at a time, so x may stay there too."""
    chunks = [np.zeros((0, scaler.outputs), np.float32)]
    for rows, padded in padded_blocks(x, _CHUNK):
        chunks.append(np.asarray(_scale(scaler, padded))[:rows])
    return np.concatenate(chunks)


def padded_blocks(x: ArrayOf, size: int) -> Iterator[tuple[int, np.ndarray]]:
    """`size` rows at a time, the last block padded, and how many of them are real."""
    for start in range(0, x.shape[0], size):
        rows = np.asarray(x[start : start + size])
        yield len(rows), np.pad(rows, ((0, size - len(rows)), (0, 0)))


_scale = jax.jit(scale)


def _scaler(mean: np.ndarray, std: np.ndarray, limit: float) -> Scaler:
    return Scaler(mean.astype(np.float32), std.astype(np.float32), np.array(limit, np.float32))


def _mean_and_std(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population std of each column, float64, in two passes (one would cancel)."""
    rows, total, squares = 0, np.float64(0), np.float64(0)
    with np.errstate(invalid="ignore"):  # an infinite value shows as a loss that is not finite
        for piece in pieces():
            rows += len(piece)
            total = total + piece.sum(axis=0, dtype=np.float64)
        mean = np.asarray(total / rows)
        for piece in pieces():
            squares = squares + np.square(piece - mean).sum(axis=0)
        std = np.sqrt(squares / rows)
    # float32 cannot tell such a column from a constant one: what is left is rounding, or so small
    # that devices take it for 0 and its inverse overflows, also with a tenth of this std.
    kind = np.finfo(np.float32)
    constant = std <= np.maximum(kind.eps * np.abs(mean), kind.tiny / FLOOR)
    return mean, np.where(constant, 0.0, std)


def _chunks(x: ArrayOf) -> Iterator[np.ndarray]:
    for start in range(0, x.shape[0], _CHUNK):
        yield np.asarray(x[start : start + _CHUNK])
