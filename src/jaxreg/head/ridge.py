"""Ridge regression in closed form: one eigendecomposition serves every alpha.

With rows Z (scaled, centred) and Z = U S Vᵀ, the fit of alpha a is Σ u s²/(s² + a) uᵀy (Hastie,
Tibshirani and Friedman, The Elements of Statistical Learning, 3.4). Rows with weights are centred
on the weighted mean and multiplied by the roots of their weights. leave_out.py computes the errors
on rows that are left out. The same V are the principal components of `--components`.
target_ridges.py has the ridges of targets that are known for different rows.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxreg.common.threads import threads_for
from jaxreg.errors import InputError
from jaxreg.head import scaling
from jaxreg.head.leave_out import Fitted, blocks, group_blocks, groups_left_out, hats, rows_left_out
from jaxreg.head.mlp import Params
from jaxreg.head.scaling import ArrayOf, Basis, Scaler
from jaxreg.head.side_basis import joined, onto, within
from jaxreg.splits.held_out_groups import HeldOutGroup
from jaxreg.target_numbers import mean_and_std

ALPHAS = np.logspace(-2, 7, 28)  # three in each factor of ten, on scaled columns


class Eigendecomposition(NamedTuple):
    """Scaled training rows in their principal directions, the strongest first; NumPy, on the host.

    Directions in which the rows do not vary are not among them.
    """

    scaler: Scaler  # of the raw features
    center: np.ndarray  # (columns,) float64, mean of the scaled rows
    directions: np.ndarray  # (columns, ranks) orthonormal
    squares: np.ndarray  # (ranks,) float64, sum of squares of the centred rows along each
    xty: np.ndarray  # (ranks, targets) float64, the centred rows along each, times the targets
    target_mean: np.ndarray  # (targets,) float64, target units
    rows: int
    weight: float  # the sum of the weights of the rows
    own: "Eigendecomposition | None" = None  # of the features alone, where side columns follow

    def basis(self, components: int) -> Basis:
        """The first directions, each divided by the root of the std along it.

        Side columns follow them as they are: the directions are those of the features alone.

        Raises:
            InputError: the rows vary in fewer directions.
        """
        features = self.of_features
        features.check(components)
        directions = features.directions[:, :components] / features.roots(components)[None, :]
        directions = joined(directions, len(self.center))
        return Basis(self.center.astype(np.float32), directions.astype(np.float32))

    def check(self, components: int) -> None:
        """Raise InputError if the rows vary in fewer directions, without side columns."""
        found = self.of_features.squares
        if components > len(found):
            raise InputError(
                f"--components {components}, but {self.rows} training rows of "
                f"{self.scaler.features} columns vary in {len(found)} directions",
                expected=f"at most {len(found)}",
            )

    @property
    def of_features(self) -> "Eigendecomposition":
        """The decomposition of the features without the side columns that follow them."""
        return self if self.own is None else self.own

    def with_own(self) -> "Eigendecomposition":
        """The same, and that of the features alone; components need it beside side columns."""
        count = self.scaler.features
        if count == len(self.center):
            return self
        squares, directions = within(self.directions[:count], self.squares)
        xty = directions.T @ (self.directions[:count] @ self.xty)
        scaler = Scaler(self.scaler.mean[:count], self.scaler.std[:count], self.scaler.limit)
        found = scaler, self.center[:count], directions, squares, xty, self.target_mean
        return self._replace(own=Eigendecomposition(*found, self.rows, self.weight))

    def beside(self, components: int) -> "Eigendecomposition":
        """The decomposition of the rows in their first components and all side columns."""
        if self.own is None:
            cut = self._replace(directions=self.directions[:, :components])
            return cut._replace(squares=self.squares[:components], xty=self.xty[:components])
        axes = joined(self.own.directions[:, :components], len(self.center)).astype(np.float64)
        squares, inner = within(axes.T @ self.directions, self.squares)
        directions = axes @ inner
        xty = directions.T @ (self.directions @ self.xty)
        return self._replace(directions=directions, squares=squares, xty=xty)

    def roots(self, components: int) -> np.ndarray:
        """(components,) the root of the std along each of the first directions."""
        return (self.squares[:components] / self.rows) ** 0.25

    def head(self, ridge: "Ridge", scalers: scaling.Scalers) -> Params:
        """The ridge as the parameters of a head without hidden layers behind these scalers."""
        basis = scalers.features.basis
        if basis is None:
            kernel = self.directions @ ridge.coefficients
            bias = -self.center @ kernel
        elif self.own is not None:
            components = scalers.features.outputs - (len(self.center) - len(self.own.center))
            kernel = self.beside(components).directions @ ridge.coefficients
            kernel, bias = onto(np.asarray(basis.directions), kernel), np.zeros(kernel.shape[1])
        else:
            kernel = ridge.coefficients * self.roots(len(ridge.coefficients))[:, None]
            bias = np.zeros(len(self.target_mean))
        mean, std = scaling.mean_and_std_of(scalers.target)
        bias += self.target_mean - mean  # a small number of std
        kernel, bias = kernel / std[None, :], bias / std
        return {"output": {"kernel": jnp.float32(kernel), "bias": jnp.float32(bias)}}


class Ridge(NamedTuple):
    """A solved ridge: for each target the alpha of the lowest error on rows left out."""

    coefficients: np.ndarray  # (directions, targets) float64, target units along a direction
    alphas: np.ndarray  # (targets,), of ALPHAS
    errors: np.ndarray  # (alphas, targets), mean squared error on rows left out, target units²


def decompose(
    scaler: Scaler,
    x: Float[ArrayOf, "rows columns"],
    y: Float[ArrayOf, "rows targets"],
    weights: Float[np.ndarray, " rows"] | None = None,
) -> Eigendecomposition:
    """Decompose the scaled rows: columns by columns, or rows by rows if those are fewer.

    y has no NaN. The weights are above 0; None: 1.

    Rows are read a block at a time. Products are in float32 where there are twice as many rows as
    columns, so that no leverage is near 1, else in float64; the eigendecomposition always is.
    """
    rows, columns = x.shape[0], scaler.outputs
    dtype = np.float32 if rows >= 2 * columns else np.float64
    root, total = np.ones(rows), float(rows)
    target_mean, _ = mean_and_std(np.asarray(y))
    if weights is not None:
        root, total = np.sqrt(weights), float(weights.sum())
        apart = np.asarray(y, np.float64) - target_mean[None, :]
        target_mean = target_mean + weights @ apart / total
    centred = np.asarray(y, np.float64) - target_mean[None, :]
    if rows < columns:
        center, squares, directions, xty = _dual(scaler, x, centred, root)
    else:
        center, squares, directions, xty = _primal(scaler, x, centred, root, dtype)
    strong = squares > max(rows, columns) * np.finfo(np.float64).eps * squares.max(initial=0)
    order = np.flatnonzero(strong)[::-1]
    directions = directions[:, order].astype(dtype)
    found = scaler, center, directions, squares[order], directions.T @ xty, target_mean
    return Eigendecomposition(*found, rows, total)


def solve(
    eigen: Eigendecomposition,
    x: Float[ArrayOf, "rows columns"],
    y: Float[ArrayOf, "rows targets"],
    components: int | None = None,
    groups: Sequence[HeldOutGroup] | None = None,
    weights: Float[np.ndarray, " rows"] | None = None,
    same: np.ndarray | None = None,
) -> Ridge:
    """The ridge on all directions of the decomposed rows, or on the first few.

    Args:
        eigen: of the rows.
        x, y: the rows.
        components: how many directions of the features; None: all.
        groups: rows that are left out together while alphas are compared; None: each row alone.
            Near twins of a frame among the rest would favour far too small an alpha.
        weights: of the rows, as `decompose` had them; errors are weighted too.
        same: (targets,) int; targets with one number get one alpha. None: each has its own.

    Raises:
        InputError: more components than the rows vary in.
    """
    if components is not None:
        eigen.check(components)
        eigen = eigen.beside(components)
    squares, xty, directions = eigen.squares, eigen.xty, eigen.directions
    shrinkage = 1 / (squares[:, None] + ALPHAS[None, :])
    total, scored_weight = np.zeros((len(ALPHAS), y.shape[1])), eigen.weight
    root = np.ones(eigen.rows) if weights is None else np.sqrt(weights)
    mean = 1 / eigen.weight
    fitted = Fitted(eigen.scaler, eigen.center, directions, shrinkage, xty, mean)
    centred = np.asarray(y, np.float64) - eigen.target_mean[None, :]
    if groups is None:
        for block, targets, its in blocks(x, centred, root):
            total += rows_left_out(fitted, block, targets, its)
    else:
        scored_weight = sum(np.square(root[one.rows[one.scored]]).sum() for one in groups)
        for block, targets, its, scored in group_blocks(x, centred, root, groups):
            total += groups_left_out(*hats(fitted, block, targets, its), scored)
    if same is not None:
        total = total @ (same[:, None] == same[None, :]).astype(np.float64)
    best = total.argmin(axis=0)
    return Ridge(xty * shrinkage[:, best], ALPHAS[best], total / scored_weight)


def _primal(
    scaler: Scaler, x: ArrayOf, y: np.ndarray, root: np.ndarray, dtype: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean of the scaled rows, eigenvalues (rising) and -vectors of their scatter, and zᵀwy.

    The targets are centred, so the rows need not be.
    """
    columns, weight = scaler.outputs, np.square(root).sum()
    scatter, sums = np.zeros((columns, columns)), np.zeros((columns, y.shape[1] + 1))
    for block, targets, its in blocks(x, y, root):
        z, each = scaling.scale_block(scaler, block), np.square(its)[:, None]
        sums += z.T.astype(np.float64) @ np.concatenate([each * targets, each], axis=1)
        z = z.astype(dtype) * its[:, None].astype(dtype)
        scatter += z.T @ z  # of an array and itself, so NumPy computes half of it
    center = sums[:, -1] / weight
    scatter -= weight * np.outer(center, center)
    with threads_for(columns):
        squares, directions = np.linalg.eigh(scatter)
    return center, squares, directions, sums[:, :-1]


def _dual(
    scaler: Scaler, x: ArrayOf, y: np.ndarray, root: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """As `_primal`, from the products of the rows among themselves."""
    z = scaling.scale_block(scaler, np.asarray(x[:])).astype(np.float64)
    weights = np.square(root)
    xty = z.T @ (weights[:, None] * y)
    center = (weights[:, None] * z).sum(axis=0) / weights.sum()
    z -= center[None, :]
    z *= root[:, None]
    with threads_for(len(z)):
        squares, along = np.linalg.eigh(z @ z.T)
        along /= np.sqrt(np.where(squares > 0, squares, np.inf))[None, :]
        return center, squares, z.T @ along, xty
