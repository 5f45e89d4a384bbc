"""The exact parts of a ridge's prediction: cells of grids, other columns, and the intercept.

A ridge is linear in its scaled and clipped features z, so a prediction is
intercept + Σ_j z_j w_j, and the sum can be taken cell by cell. z is 0 where a feature has its
mean over the training rows.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxreg.cache.embeddings import Embeddings
from jaxreg.cache.recipe import Column
from jaxreg.explanation.lattice import Lattice, common_lattice, spread_over
from jaxreg.head.scaling import Scalers, mean_and_std_of, scale_rows
from jaxreg.new_predictions import NewPredictions

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun

ROWS = 256  # whose features are float64 at a time

SIDE = "side columns"
"""The part of side columns."""


class Parts(NamedTuple):
    """What each part of a picture, and all that is no part of it, adds to predictions."""

    lattice: Lattice
    cells: np.ndarray  # (pictures, targets, rows, columns) float64, target units
    others: dict[str, np.ndarray]  # by name (pictures, targets): columns without a grid, side
    intercept: np.ndarray | None  # (targets,); None: the parts have no sum

    @property
    def sums(self) -> np.ndarray | None:
        """(pictures, targets): what the prediction must be; None without an intercept."""
        if self.intercept is None:
            return None
        rest = sum(self.others.values(), np.zeros(self.cells.shape[:2]))
        return self.cells.sum(axis=(2, 3)) + rest + self.intercept


class Block(NamedTuple):
    """Some neighbouring inputs of a head."""

    name: str
    inputs: slice
    grid: tuple[int, int] | None  # None: it has no place in the picture


def why_not_exact(run: "TrainedRun") -> str:
    """Why the parts of the run's predictions cannot be exact; "" where they can."""
    if run.settings.head != "ridge":
        return f"the head {run.settings.head} is not linear"
    if any(kind.circular or kind.bounded for kind in run.types):
        return "the target is circular or bounded"
    if run.settings.output_activation != "linear":
        return f"the output is {run.settings.output_activation}, not linear"
    if not any(column.cells for _, column in run.features.columns):
        return "no column of the run has a grid"
    return ""


def linear_parts(run: "TrainedRun", new: NewPredictions) -> Parts:
    """The parts of the predictions for the new examples that have features.

    Args:
        run: a run of which `why_not_exact` says nothing.
        new: its predictions; at least one.
    """
    blocks = list(_blocks(run, new))
    grids = [block.grid for block in blocks if block.grid]
    lattice = common_lattice(grids)
    x = new.features.x
    if run.side:
        x = np.concatenate([x, new.beside.values[new.features.rows]], axis=1)
    shape = (len(x), len(run.targets))
    cells = np.zeros((*shape, *lattice))
    others = {block.name: np.zeros(shape) for block in blocks if not block.grid}
    intercept = np.zeros(len(run.targets))
    members = [_weights(*head) for head in zip(run.params, run.scalers, strict=True)]
    for scalers, (weights, own) in zip(run.scalers, members, strict=True):
        intercept += own / len(members)
        weights = weights / len(members)
        plain = scalers.features._replace(basis=None)
        for start in range(0, len(x), ROWS):
            rows = slice(start, start + ROWS)
            z = scale_rows(plain, x[rows]).astype(np.float64)
            for block in blocks:
                z_own, w_own = z[:, block.inputs], weights[block.inputs]
                if block.grid is None:
                    others[block.name][rows] += z_own @ w_own
                    continue
                count = block.grid[0] * block.grid[1]
                each = np.einsum(
                    "ncf,cft->ntc",
                    z_own.reshape(len(z), count, -1),
                    w_own.reshape(count, -1, len(run.targets)),
                )
                cells[rows] += spread_over(lattice, block.grid, each)
    return Parts(lattice, cells, others, intercept)


def _weights(params: dict, scalers: Scalers) -> tuple[np.ndarray, np.ndarray]:
    """Weights (inputs, targets) and intercept (targets,) of scaled inputs, in target units."""
    kernel = np.asarray(params["output"]["kernel"], np.float64)
    bias = np.asarray(params["output"]["bias"], np.float64)
    if (basis := scalers.features.basis) is not None:
        kernel = np.asarray(basis.directions, np.float64) @ kernel
        bias = bias - np.asarray(basis.center, np.float64) @ kernel
    mean, std = mean_and_std_of(scalers.target)
    return kernel * std, bias * std + mean


def _blocks(run: "TrainedRun", new: NewPredictions) -> Iterator[Block]:
    """The inputs of the head, column by column, and the side columns last."""
    start = 0
    for feature_set, column in run.features.columns:
        recipe = run.features.recipes[feature_set]
        width = (
            recipe.width
            if isinstance(recipe, Embeddings)
            else new.store.layout(feature_set, column, ()).size
        )
        name = column.short_name
        if feature_set != run.features.feature_set:
            name = f"{feature_set}/{name}"
        yield Block(name, slice(start, start + width), _grid(recipe, column))
        start += width
    if run.side:
        yield Block(SIDE, slice(start, start + run.side.width), None)


def _grid(recipe: object, column: Column) -> tuple[int, int] | None:
    return None if isinstance(recipe, Embeddings) else column.cells
