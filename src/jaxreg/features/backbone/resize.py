"""TensorFlow's bilinear resize in NumPy, for the engines that have none just like it.

Half-pixel centres, no antialias, float result, edges repeated: the arithmetic of
tensorflow/core/kernels/image/resize_bilinear_op.cc in float32, so results agree to the last bit or
two. Other frameworks' own versions round positions otherwise and are off by up to 1e-4.
"""

import numpy as np


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (any, any, 3) -> float32 (height, width, 3) in 0..255, not rounded."""
    pixels = image.astype(np.float32)
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.shape[0] > height:  # the axis that shrinks goes first: less to do for the other
        return _along(_along(pixels, 0, height), 1, width)
    return _along(_along(pixels, 1, width), 0, height)


def _along(pixels: np.ndarray, axis: int, size: int) -> np.ndarray:
    low, high, share = _neighbours(pixels.shape[axis], size)
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
