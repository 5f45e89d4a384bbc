"""TensorFlow's bilinear resize, for the engines without an equal one.

Half-pixel centres, no antialias, float result, edges repeated: the arithmetic of
tensorflow/core/kernels/image/resize_bilinear_op.cc in float32, so results agree to the last bit or
two. Other frameworks round positions otherwise and differ by up to 3.6e-3.

NumPy finds the four pixels around each place of the result (`Corners`), as whole pixels of four
bytes, and the engine or NumPy itself mixes them (`mixed`).
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from jaxreg.sources.pillow_memory import packed


class Corners:
    """The four pixels around each place of some results of one size, and how they are mixed."""

    def __init__(self, count: int, height: int, width: int) -> None:
        # top left, top right, bottom left, bottom right; red, green, blue and a byte to leave out
        self.pixels = np.zeros((count, 4, height, width * 4), np.uint8)
        self.across = np.zeros((count, 1, width * 4), np.float32)  # shares of the right pixels
        self.down = np.zeros((count, height, 1), np.float32)  # shares of the lower pixels

    def take(self, place: int, image: np.ndarray) -> None:
        """Fill those of one result from `image`, uint8 (any, any, 3)."""
        height, width = self.pixels.shape[2], self.pixels.shape[3] // 4
        columns = _columns(image.shape[1], width)
        rows = _rows(image.shape[0], height)
        self.across[place], self.down[place] = columns.shares, rows.shares
        beside = columns.low, columns.high
        if image.strides[1] < 0:  # so a mirrored image needs no copy
            image, beside = image[:, ::-1], columns.mirrored
        pixels = packed(image if rows.read is None else image[rows.read])
        corners = self.pixels[place].view(np.uint32)
        for side, at in enumerate(beside):
            column = pixels.take(at, 1, mode="clip")
            np.take(column, rows.low, 0, corners[side], mode="clip")
            np.take(column, rows.high, 0, corners[side + 2], mode="clip")


def mixed(corners: Any, across: Any, down: Any) -> Any:
    """float32 (height, width * 4) of four such arrays, in NumPy or as nodes of a framework."""
    top_left, top_right, bottom_left, bottom_right = corners
    top = (top_right - top_left) * across + top_left
    bottom = (bottom_right - bottom_left) * across + bottom_left
    return (bottom - top) * down + top


def resize(image: np.ndarray, result: np.ndarray) -> None:
    """Fill `result`, float32 (height, width, 3), with `image`, uint8 (any, any, 3), unrounded."""
    height, width = result.shape[:2]
    corners = Corners(1, height, width)
    corners.take(0, image)
    four = corners.pixels[0].astype(np.float32)
    result[:] = mixed(four, corners.across[0], corners.down[0]).reshape(height, width, 4)[..., :3]


class _Columns(NamedTuple):
    """Per column of a result the two of the image beside it."""

    low: np.ndarray
    high: np.ndarray
    mirrored: tuple[np.ndarray, np.ndarray]  # both, counted from the other side
    shares: np.ndarray  # of the second, four times each


class _Rows(NamedTuple):
    """Per row of a result the two of the image above and below it."""

    read: np.ndarray | None  # the rows that are needed; None: all
    low: np.ndarray  # places among them
    high: np.ndarray
    shares: np.ndarray  # of the second, (rows, 1)


@lru_cache(256)
def _columns(size: int, wanted: int) -> _Columns:
    low, high, share = neighbours(size, wanted)
    return _Columns(low, high, (size - 1 - low, size - 1 - high), np.repeat(share, 4))


@lru_cache(256)
def _rows(size: int, wanted: int) -> _Rows:
    low, high, share = neighbours(size, wanted)
    read = np.union1d(low, high)
    if len(read) == size:
        return _Rows(None, low, high, share[:, None])
    return _Rows(read, np.searchsorted(read, low), np.searchsorted(read, high), share[:, None])


def neighbours(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per output place the two inputs beside it, and the share of the second."""
    scale = np.float32(size) / np.float32(wanted)
    place = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    floor = np.floor(place)
    low = np.maximum(floor, 0).astype(np.intp)
    high = np.minimum(np.ceil(place), size - 1).astype(np.intp)
    return low, high, place - floor
