"""TensorFlow's bilinear resize in NumPy, for the engines without an equal one.

Half-pixel centres, no antialias, float result, edges repeated: the arithmetic of
tensorflow/core/kernels/image/resize_bilinear_op.cc in float32, so results agree to the last bit or
two. Other frameworks round positions otherwise and differ by up to 1e-4.
"""

import numpy as np

_ROWS = 50  # of the result at a time, so that the pixels stay in a core's own cache


def resize(image: np.ndarray, result: np.ndarray) -> None:
    """Fill `result`, float32 (height, width, 3), with `image`, uint8 (any, any, 3), unrounded.

    The caller makes `result`, because fresh memory for each image takes as long as the work.
    """
    height, width = result.shape[:2]
    pixels = image.astype(np.float32)
    if image.shape == result.shape:
        result[:] = pixels
        return
    shrinks = pixels.shape[0] > height  # then rows go first: less is left for the columns
    if not shrinks:
        pixels = _between(pixels, 1, *_neighbours(pixels.shape[1], width))
    low, high, share = _neighbours(pixels.shape[0], height)
    for begin in range(0, height, _ROWS):
        some = slice(begin, begin + _ROWS)
        rows = _between(pixels, 0, low[some], high[some], share[some])
        if shrinks:
            rows = _between(rows, 1, *_neighbours(rows.shape[1], width))
        result[some] = rows


def _between(
    pixels: np.ndarray, axis: int, low: np.ndarray, high: np.ndarray, share: np.ndarray
) -> np.ndarray:
    below = pixels.take(low, axis, mode="clip")
    result = pixels.take(high, axis, mode="clip")
    result -= below
    result *= share.reshape(-1, *[1] * (pixels.ndim - 1 - axis))
    result += below
    return result


def _neighbours(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per output place the two inputs beside it, and the share of the second."""
    scale = np.float32(size) / np.float32(wanted)
    place = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    floor = np.floor(place)
    low = np.maximum(floor, 0).astype(np.intp)
    high = np.minimum(np.ceil(place), size - 1).astype(np.intp)
    return low, high, place - floor
