"""Units of work: slices of the examples, and how their images get to the workers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from jaxreg.common.remote_file import RemoteFile
from jaxreg.sources.examples import Image, remote_image

MOST_ROWS = 8192  # of a unit: eight full parts
UNITS_EACH = 8  # units for each worker, so that all of them end at about the same time
MOST_BYTES = 2**28  # of a pickled sequence of images that each worker gets whole


@dataclass
class Unit:
    """Some rows of the examples, which one worker reads and computes."""

    number: int
    rows: Sequence[int]
    deaths: int = 0  # of workers that had it, on nodes that stayed
    again: bool = False  # a worker that had it is dead, or its images were another's
    reasons: list[str] = field(default_factory=list)  # how these workers died


def make_units(
    rows: Sequence[int], workers: int, batch_size: int, first: int = 0
) -> Iterator[Unit]:
    """Slices of the rows, of equal size; the first one has the number `first`."""
    each = -(-len(rows) // (UNITS_EACH * max(1, workers)))
    each = max(1, min(MOST_ROWS, max(each, batch_size)))
    for number, start in enumerate(range(0, len(rows), each), first):
        yield Unit(number, rows[start : start + each])


class SomeImages(Sequence[Image]):
    """The images of some rows of all."""

    def __init__(self, images: Sequence[Image], rows: Sequence[int]) -> None:
        self._images, self._rows = images, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> "SomeImages": ...
    def __getitem__(self, index: int | slice) -> "Image | SomeImages":
        if isinstance(index, slice):
            return SomeImages(self._images, self._rows[index])
        return self._images[self._rows[index]]

    def remote_image(self, row: int) -> RemoteFile | None:
        """The image of a row, if it is known to be at a URL: it is fetched ahead."""
        return remote_image(self._images, self._rows[row])


class SentImages(Sequence[Image]):
    """Images that the driver has read; one that could not be read raises its error again."""

    def __init__(self, images: Sequence[Any]) -> None:
        self._images = images

    @classmethod
    def read(cls, images: Sequence[Image], rows: Sequence[int]) -> "SentImages":
        """The images of some rows, or why there are none."""
        return cls([_read(images, row) for row in rows])

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> "SentImages": ...
    def __getitem__(self, index: int | slice) -> "Image | SentImages":
        if isinstance(index, slice):
            return SentImages(self._images[index])
        image = self._images[index]
        if isinstance(image, Exception):
            raise image
        return image


def _read(images: Sequence[Image], row: int) -> Any:
    try:
        return images[row]
    except Exception as error:  # the worker's reader tells which of them are for the user
        return error


def pickled_whole(images: Sequence[Image]) -> bytes | None:
    """The sequence for the workers to open themselves; None if each unit is sent its own images.

    A list has its images, such as paths: of these a unit gets its own. Another sequence reads or
    draws on access, which the workers do better than the driver.
    """
    if isinstance(images, (list, tuple)):
        return None
    from ray import cloudpickle  # which has the classes of a script in it

    try:
        pickled = cloudpickle.dumps(images)  # pyright: ignore[reportPrivateImportUsage]
    except Exception:  # whatever it holds: a lock, an open file
        return None
    return pickled if len(pickled) <= MOST_BYTES else None
