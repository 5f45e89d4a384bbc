"""What all engines share: which taps and pools are read, views, batches of mixed sizes."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxreg.errors import InputError
from jaxreg.features.backbone.network import MIN_SIZE
from jaxreg.features.recipe import Column, Recipe

Cell = tuple[slice, slice]


class ReadingEngine(ABC):
    """Turns images into columns; a subclass runs the network on images of one view."""

    def __init__(self, recipe: Recipe, columns: Sequence[Column]) -> None:
        self.recipe = recipe
        self.columns = tuple(columns)
        self.reads = sorted({(column.tap, column.pool) for column in columns})
        self.taps = sorted({tap for tap, _ in self.reads})

    def features(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Pooled features of a batch.

        Args:
            images: at least one, uint8 (height, width, 3); sizes may differ.

        Returns:
            Per column name, in the columns' order, float32 (len(images), D).

        Raises:
            InputError: at native size, an image too small for the network or for a grid.
        """
        by_view = {}
        for view in {column.view for column in self.columns}:
            seen = [image[:, ::-1] for image in images] if view == "mirror" else images
            by_view[view] = dict(zip(self.reads, self.read(seen), strict=True))
        return {
            column.name: by_view[column.view][column.tap, column.pool] for column in self.columns
        }

    def groups(self, images: Sequence[np.ndarray]) -> dict[tuple[int, int], list[int]]:
        """The places of the images that the network will see at each height and width."""
        if self.recipe.size is not None:
            return {self.recipe.size: list(range(len(images)))}
        return same_size(images)

    @abstractmethod
    def read(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """float32 (len(images), D) per read."""

    def check_grids(self, height: int, width: int, outputs: Mapping[str, Sequence[int]]) -> None:
        """Refuse a grid that is finer than the output of its tap.

        `outputs` has (rows, columns) of each tap for images of `height` x `width` pixels.
        """
        for tap, pool in self.reads:
            rows, columns = Column(tap=tap, pool=pool).cells or (1, 1)
            if rows > outputs[tap][0] or columns > outputs[tap][1]:
                raise InputError(
                    f"--pool {pool} on {tap}",
                    expected=f"at most {outputs[tap][0]}x{outputs[tap][1]} cells, its "
                    f"output for images of {height} x {width} pixels",
                    remedy="fewer cells, an earlier tap or a larger --size",
                )


def check_size(height: int, width: int) -> None:
    """Refuse images that are too small for the network."""
    if min(height, width) < MIN_SIZE:
        raise InputError(
            f"an image of {height} x {width} pixels at native size",
            expected=f"at least {MIN_SIZE} pixels each way",
            remedy="--size 299 299",
        )


def same_size(images: Sequence[np.ndarray]) -> dict[tuple[int, int], list[int]]:
    """The places of the images of each height and width."""
    places: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        places[image.shape[:2]].append(place)
    return places


def in_order(places: Sequence[int], parts: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Per read the rows of all parts, sorted by their images' places."""
    order = np.argsort(places)
    return [np.concatenate(read)[order] for read in zip(*parts, strict=True)]


def grid_cells(column: Column, height: Any, width: Any) -> list[Cell]:
    """The parts of a (height, width) output that a grid averages; both may be tensors.

    Cell r of R covers the rows from floor(r H / R) to ceil((r + 1) H / R), like PyTorch's adaptive
    pooling; cells are flattened row by row, each with all its channels.
    """
    rows, columns = column.cells or (1, 1)
    return [
        (
            slice(row * height // rows, -(-(row + 1) * height // rows)),
            slice(place * width // columns, -(-(place + 1) * width // columns)),
        )
        for row in range(rows)
        for place in range(columns)
    ]
