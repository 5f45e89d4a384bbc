"""Code that all engines share: layers and pools to read, batches of mixed sizes."""

import itertools
import math
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jaxreg.backbone.preprocess import preprocessing
from jaxreg.backbone.registry import BACKBONES, smallest_side
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.common.memory import bytes_text, free_memory
from jaxreg.errors import InputError

Cell = tuple[slice, slice]

PIXEL_BYTES = 108
"""What one pixel of the network's input takes while InceptionV3 is computed.

That is 12 for itself in float32, and 96 for the input and the output of the largest layer: 32 and
64 channels at half the height and width.
"""


class ReadingEngine(ABC):
    """Turns images into columns; a subclass runs the network.

    Views are the caller's: a flipped image is one more image.
    """

    on_cpu = True  # in the memory of this machine
    at_once: int | None = None  # the most images computed together; None: the whole batch

    def __init__(self, recipe: Recipe, columns: Sequence[Column]) -> None:
        self.recipe = recipe
        self.prepared = preprocessing(recipe)
        self.prefix = recipe.prefix_tokens or 0
        self.columns = tuple(dict.fromkeys(column.identity for column in columns))
        self.reads = sorted({(column.layer, column.pool) for column in columns})
        self.layers = sorted({layer for layer, _ in self.reads})
        self._fits = 0  # bytes that a batch was already allowed to take
        if recipe.size is not None:
            self._check_memory(self.at_once or 1, *recipe.size)

    def compile(self, image: np.ndarray, batch: int) -> None:
        """Run the network once, as part of the start-up."""
        self.features([image])

    def features(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """As `Engine.features`."""
        sizes = self.groups(images)
        for (height, width), places in sizes.items():
            self._check_memory(min(len(places), self.at_once or len(places)), height, width)
        height, width = max(sizes, key=math.prod)
        with lack_of_memory_told(f"{len(images)} images of {height} x {width} pixels"):
            found = dict(zip(self.reads, self.read(images), strict=True))
        return {column.name: found[column.layer, column.pool] for column in self.columns}

    def groups(self, images: Sequence[np.ndarray]) -> dict[tuple[int, int], list[int]]:
        """The places of the images that the network will see at each height and width."""
        if self.recipe.size is not None:
            return {self.recipe.size: list(range(len(images)))}
        return same_size(images)

    def _check_memory(self, images: int, height: int, width: int) -> None:
        """Refuse before it is taken what this machine's memory cannot hold."""
        needed = images * height * width * PIXEL_BYTES
        if not self.on_cpu or needed <= self._fits:
            return
        if needed > (free := free_memory()):
            raise InputError(
                f"{images} image{'s' * (images != 1)} of {height} x {width} pixels in the network "
                f"take more than {bytes_text(needed)} of memory, and {bytes_text(free)} are free",
                remedy=_SMALLER,
            )
        self._fits = needed

    @abstractmethod
    def read(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """float32 (len(images), D) per read."""

    def check_grids(self, height: int, width: int, outputs: Mapping[str, Sequence[int]]) -> None:
        """Refuse a grid that is finer than the output of its layer.

        `outputs` has (rows, columns) of each layer for images of `height` x `width` pixels.
        """
        for layer, pool in self.reads:
            if layer not in outputs:  # no map
                continue
            rows, columns = Column(layer=layer, pool=pool).cells or (1, 1)
            if rows > outputs[layer][0] or columns > outputs[layer][1]:
                raise InputError(
                    f"--pool {pool} on {layer}",
                    expected=f"at most {outputs[layer][0]}x{outputs[layer][1]} cells, its "
                    f"output for images of {height} x {width} pixels",
                    remedy="use fewer cells, an earlier layer or a larger --size",
                )


_SMALLER = "use a smaller --size or --batch-size"


# what TensorFlow, JAX and OpenVINO raise instead of a MemoryError
_LACK = re.compile("RESOURCE_EXHAUSTED|ResourceExhausted|bad_alloc|Failed to allocate|allocate mem")


@contextmanager
def lack_of_memory_told(what: str) -> Iterator[None]:
    """Raise InputError where the block needs more memory than there is; `what` needs it."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, MemoryError) and not _LACK.search(f"{type(error)} {error}"):
            raise
        found = f"there is not enough memory for {what} in the network"
        raise InputError(found, remedy=_SMALLER) from error


def check_size(backbone: str, height: int, width: int) -> None:
    """Refuse images that are too small for the network."""
    smallest = smallest_side(backbone)
    if min(height, width) < smallest:
        raise InputError(
            f"an image of {height} x {width} pixels at native size",
            expected=f"at least {smallest} pixels each way",
            remedy=f"--size {BACKBONES[backbone].size} {BACKBONES[backbone].size}",
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
    """The cells of a (height, width) output that a grid averages; both may be tensors.

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


def even_steps(cells: Sequence[Cell]) -> list[tuple[int, int]] | None:
    """(size, step) of cells by row and by column; None where sizes or steps differ.

    One node computes such cells, which takes a tenth of the time of a node for each.
    """
    found = []
    for axis in (0, 1):
        sides = sorted({(cell[axis].start, cell[axis].stop) for cell in cells})
        sizes = {stop - start for start, stop in sides}
        steps = {after - start for (start, _), (after, _) in itertools.pairwise(sides)}
        if len(sizes) > 1 or len(steps) > 1:
            return None
        found.append((sizes.pop(), steps.pop() if steps else 1))
    return found
