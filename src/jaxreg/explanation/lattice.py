"""Cells of a picture: those of a grid, those that are hidden, and places of any size."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

SQUARES = 48
"""About how many cells are hidden, one after the other, in a picture without a grid."""

MOST = 24  # rows or columns of one lattice that several grids share


class Place(NamedTuple):
    """A rectangle of a picture, in parts of its height and width from 0 to 1."""

    top: float
    bottom: float
    left: float
    right: float

    @property
    def area(self) -> float:
        """Its part of the picture."""
        return (self.bottom - self.top) * (self.right - self.left)

    def pixels(self, height: int, width: int) -> tuple[slice, slice]:
        """Its rows and columns in a picture of this size; at least one of each."""
        return _span(self.top, self.bottom, height), _span(self.left, self.right, width)

    def halves(self) -> list[Self]:
        """Its upper and lower half and the half between them; the same from left to right."""
        height, width = self.bottom - self.top, self.right - self.left
        found = []
        for start in (0, 1 / 4, 1 / 2):
            top, left = self.top + start * height, self.left + start * width
            found.append(self._replace(top=top, bottom=top + height / 2))
            found.append(self._replace(left=left, right=left + width / 2))
        return found

    def touches(self, other: "Place") -> bool:
        """Whether both have an inner or an edge point in common."""
        down = self.top <= other.bottom and other.top <= self.bottom
        return down and self.left <= other.right and other.left <= self.right


def _span(low: float, high: float, size: int) -> slice:
    first = min(round(low * size), size - 1)
    return slice(first, max(round(high * size), first + 1))


class Lattice(NamedTuple):
    """Cells in rows and columns that fill a picture, numbered row by row."""

    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.rows * self.columns

    @property
    def text(self) -> str:
        """As a pool has it: 2x4."""
        return f"{self.rows}x{self.columns}"

    def place(self, cell: int) -> Place:
        """Where a cell is."""
        row, column = divmod(cell, self.columns)
        rows, columns = self.rows, self.columns
        return Place(row / rows, (row + 1) / rows, column / columns, (column + 1) / columns)

    def places(self) -> list[Place]:
        """Where each cell is."""
        return [self.place(cell) for cell in range(self.cells)]


def squares(height: int, width: int, count: int = SQUARES) -> Lattice:
    """About `count` cells that are nearly square in a picture of this size."""
    rows = round(math.sqrt(count * height / width))
    rows = min(max(rows, 1), count, height)
    return Lattice(rows, min(max(round(count / rows), 1), width))


def common_lattice(grids: Sequence[tuple[int, int]]) -> Lattice:
    """The lattice on which the cells of several grids are whole numbers of cells.

    Where it would be too fine, it is as fine as the finest grid.
    """
    both = []
    for sizes in zip(*grids, strict=True):
        common = math.lcm(*sizes)
        both.append(common if common <= MOST else max(sizes))
    return Lattice(*both)


def spread_over(lattice: Lattice, grid: tuple[int, int], values: np.ndarray) -> np.ndarray:
    """The numbers of a grid's cells on a lattice, each in proportion to the common area.

    Args:
        lattice: the lattice.
        grid: rows and columns of the grid.
        values: (…, cells of the grid), row by row.

    Returns:
        (…, rows, columns) with the same sums.
    """
    down, across = (_overlap(fine, coarse) for fine, coarse in zip(lattice, grid, strict=True))
    own = values.reshape(*values.shape[:-1], *grid)
    return down @ own @ across.T


def _overlap(fine: int, coarse: int) -> np.ndarray:
    """(fine, coarse): which part of each coarse interval of 0 to 1 lies in each fine one."""
    a, b = np.arange(fine)[:, None] / fine, np.arange(coarse)[None, :] / coarse
    both = np.minimum(a + 1 / fine, b + 1 / coarse) - np.maximum(a, b)
    shares = np.clip(both, 0, None) * coarse
    return shares / shares.sum(axis=0)
