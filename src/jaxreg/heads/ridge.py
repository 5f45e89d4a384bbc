"""Ridge regression in closed form: one eigendecomposition, then every strength by leave-one-out.

With rows Z (scaled, centred) and Z = U S Vᵀ, the fit of strength a is Σ u s²/(s² + a) uᵀy, and
leaving a row out makes of its residual e the error e / (1 − h), h being its leverage (Hastie,
Tibshirani and Friedman, The Elements of Statistical Learning, 3.4 and 7.10). The same V are the
principal components that a head may have as its input.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxreg.errors import InputError
from jaxreg.heads import scaling
from jaxreg.heads.mlp import Params
from jaxreg.heads.scaling import ArrayOf, Basis, Scaler

STRENGTHS = np.logspace(-2, 7, 28)  # three in each factor of ten, on scaled columns

_ROWS = 2048  # rows at a time


class Spectrum(NamedTuple):
    """Scaled training rows in their principal directions, the strongest first; NumPy, on the host.

    Directions in which the rows do not vary are not among them.
    """

    scaler: Scaler  # of the raw features, without a basis
    center: np.ndarray  # (columns,) float64, mean of the scaled rows
    directions: np.ndarray  # (columns, ranks) orthonormal
    squares: np.ndarray  # (ranks,) float64, sum of squares of the centred rows along each
    moments: np.ndarray  # (ranks, targets) float64, the centred rows along each, times the targets
    target_mean: np.ndarray  # (targets,) float64, target units
    rows: int

    def basis(self, components: int) -> Basis:
        """The first directions, each divided by the root of the deviation along it.

        Raises:
            InputError: the rows vary in fewer directions.
        """
        self.check(components)
        directions = self.directions[:, :components] / self._roots(components)[None, :]
        return Basis(self.center.astype(np.float32), directions.astype(np.float32))

    def check(self, components: int) -> None:
        """Raise InputError if the rows vary in fewer directions."""
        if components > len(self.squares):
            raise InputError(
                f"--components {components}, but {self.rows} training rows of "
                f"{len(self.center)} columns vary in {len(self.squares)} directions",
                expected=f"at most {len(self.squares)}",
            )

    def _roots(self, components: int) -> np.ndarray:
        return (self.squares[:components] / self.rows) ** 0.25

    def head(self, ridge: "Ridge", scalers: scaling.Scalers) -> Params:
        """The ridge as the parameters of a head without hidden layers behind these scalers."""
        if scalers.features.basis is None:
            kernel = self.directions @ ridge.coefficients
            bias = self.target_mean - self.center @ kernel
        else:
            kernel = ridge.coefficients * self._roots(len(ridge.coefficients))[:, None]
            bias = self.target_mean
        deviation = np.asarray(scalers.target.deviation, np.float64)
        kernel, bias = kernel / deviation[None, :], (bias - scalers.target.mean) / deviation
        return {"output": {"kernel": jnp.float32(kernel), "bias": jnp.float32(bias)}}


class Ridge(NamedTuple):
    """A solved ridge: for each target the strength of the lowest leave-one-out error."""

    coefficients: np.ndarray  # (directions, targets) float64, target units along a direction
    strengths: np.ndarray  # (targets,), of STRENGTHS
    errors: np.ndarray  # (strengths, targets), mean squared leave-one-out error, target units²


def decompose(
    scaler: Scaler, x: Float[ArrayOf, "rows columns"], y: Float[ArrayOf, "rows targets"]
) -> Spectrum:
    """The spectrum of the scaled rows: of columns by columns, or of rows by rows if fewer.

    Rows are read a block at a time. Products are in float32 where there are twice as many rows as
    columns, so that no leverage is near 1, else in float64; the eigendecomposition always is.
    """
    rows, columns = x.shape
    dtype = np.float32 if rows >= 2 * columns else np.float64
    target_mean = np.asarray(y, np.float64).mean(axis=0)
    with _float64_on_the_host():
        if rows < columns:
            center, squares, directions = _dual(scaler, x)
        else:
            center, squares, directions = _primal(scaler, x, dtype)
        strong = squares > max(rows, columns) * np.finfo(np.float64).eps * squares.max(initial=0)
        order = np.flatnonzero(strong)[::-1]
        directions = directions[:, order].astype(dtype)
        moments = np.zeros((columns, y.shape[1]))
        for block, targets, real in _blocks(x, y):
            centred = targets - target_mean[None, :]
            moments += np.asarray(_moments(scaler, block, centred, real))
    return Spectrum(
        scaler, center, directions, squares[order], directions.T @ moments, target_mean, rows
    )


def solve(
    spectrum: Spectrum,
    x: Float[ArrayOf, "rows columns"],
    y: Float[ArrayOf, "rows targets"],
    components: int | None = None,
) -> Ridge:
    """The ridge on all directions of the rows that made the spectrum, or on the first few.

    Raises:
        InputError: more components than the rows vary in.
    """
    if components is not None:
        spectrum.check(components)
    squares, moments = spectrum.squares[:components], spectrum.moments[:components]
    directions = spectrum.directions[:, :components]
    shrinkage = 1 / (squares[:, None] + STRENGTHS[None, :])
    total = np.zeros((len(STRENGTHS), y.shape[1]))
    with _float64_on_the_host():
        mean = np.float64(1 / spectrum.rows)
        fixed = jax.device_put(
            (spectrum.scaler, spectrum.center, directions, shrinkage, moments, mean)
        )
        for block, targets, real in _blocks(x, y):
            centred = targets - spectrum.target_mean[None, :]
            total += np.asarray(_left_out(*fixed, block, centred, real))
    best = total.argmin(axis=0)
    return Ridge(moments * shrinkage[:, best], STRENGTHS[best], total / spectrum.rows)


@contextmanager
def _float64_on_the_host() -> Iterator[None]:
    # Not every accelerator has float64, and with the host's every one gives the same bits.
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        yield


def _primal(scaler: Scaler, x: ArrayOf, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of the scaled rows, and eigenvalues (rising) and -vectors of their scatter."""
    rows, columns = x.shape
    total, scatter = np.zeros(columns), np.zeros((columns, columns))
    for block, _, real in _blocks(x, x[:, :0]):
        sums = _scatter(scaler, block, real, dtype)
        total += np.asarray(sums[0])
        scatter += np.asarray(sums[1])
    center = total / rows
    scatter -= rows * np.outer(center, center)
    squares, directions = np.linalg.eigh(scatter)
    return center, squares, directions


def _dual(scaler: Scaler, x: ArrayOf) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_primal`, from the products of the rows among themselves."""
    z = np.asarray(scaling.scale(scaler, x), np.float64)
    center = z.mean(axis=0)
    z -= center[None, :]
    squares, along = np.linalg.eigh(z @ z.T)
    return center, squares, z.T @ (along / np.sqrt(np.where(squares > 0, squares, np.inf))[None, :])


@functools.partial(jax.jit, static_argnames="dtype")
def _scatter(
    scaler: Scaler, x: Float[Array, "rows columns"], real: Bool[Array, " rows"], dtype: Any
) -> tuple[Float[Array, " columns"], Float[Array, "columns columns"]]:
    z = jnp.where(real[:, None], scaling.scale(scaler, x), 0).astype(dtype)
    return z.sum(axis=0, dtype=jnp.float64), z.T @ z


@jax.jit
def _moments(
    scaler: Scaler,
    x: Float[Array, "rows columns"],
    y: Float[Array, "rows targets"],
    real: Bool[Array, " rows"],
) -> Float[Array, "columns targets"]:
    # The targets are centred, so the rows need not be.
    z = jnp.where(real[:, None], scaling.scale(scaler, x), 0)
    return z.T.astype(jnp.float64) @ y


@jax.jit
def _left_out(
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
    centred = (scaling.scale(scaler, x) - center[None, :]).astype(directions.dtype)
    along = (centred @ directions).astype(jnp.float64)
    leverage = leverage_of_mean + jnp.square(along) @ shrinkage
    coefficients = shrinkage[:, :, None] * moments[:, None, :]
    error = y[:, None, :] - jnp.einsum("rk,kst->rst", along, coefficients)
    left_out = error / (1 - leverage)[:, :, None]
    return jnp.where(real[:, None, None], jnp.square(left_out), 0).sum(axis=0)


def _blocks(x: ArrayOf, y: ArrayOf) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of one size, the last padded, and which rows are real."""
    size = min(_ROWS, x.shape[0])
    for start in range(0, x.shape[0], size):
        pair = [np.asarray(rows[start : start + size]) for rows in (x, y)]
        missing = size - len(pair[0])
        padded = [np.pad(rows, ((0, missing), (0, 0))) for rows in pair]
        yield padded[0], padded[1], np.arange(size) < size - missing
