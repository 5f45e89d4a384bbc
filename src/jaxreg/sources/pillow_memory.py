"""Pixels as Pillow keeps them: four bytes each, red, green, blue and one without meaning.

A copy to three bytes, as most libraries have them, takes as long as all of jaxreg's other work on
a small image. So `rgb_of` shows Pillow's own memory with strides that skip each fourth byte.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def rgb_of(picture: Any) -> np.ndarray:
    """uint8 (height, width, 3) of Pillow's image in any mode, read-only, mostly without a copy."""
    picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    try:
        kept = pa.array(picture).values.to_numpy()
    except ValueError:  # Pillow keeps more than 16 MiB in several blocks
        return np.asarray(picture)
    return kept.reshape(picture.height, picture.width, 4)[..., :3]


def packed(rgb: np.ndarray) -> np.ndarray:
    """uint32 (height, width): one number for each pixel of uint8 (height, width, 3).

    It is a view of what `rgb_of` gives, and a copy of anything else.
    """
    kept = four_bytes(rgb)
    if kept is None:
        kept = np.empty((*rgb.shape[:2], 4), np.uint8)
        for channel in range(3):  # all three at once would take four times as long
            kept[..., channel] = rgb[..., channel]
    return kept.view(np.uint32)[..., 0]


def four_bytes(rgb: np.ndarray) -> np.ndarray | None:
    """uint8 (height, width, 4): the memory that an array of `rgb_of` shows; None for others."""
    height, width, _ = rgb.shape
    base = rgb.base
    if not isinstance(base, np.ndarray) or base.dtype != np.uint8 or not base.flags.c_contiguous:
        return None
    whole = base.size == height * width * 4 and rgb.strides == (4 * width, 4, 1)
    if not whole or rgb.ctypes.data != base.ctypes.data:
        return None
    return base.reshape(height, width, 4)


def stacked(images: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 (batch, height, width, 3), three bytes each: images of one size, as by `np.stack`.

    From four bytes each, a copy by channel takes a quarter of the time.
    """
    if all(image.strides[1] == 3 for image in images):
        return np.stack(images)
    batch = np.empty((len(images), *images[0].shape), np.uint8)
    for place, image in enumerate(images):
        for channel in range(3):
            batch[place, ..., channel] = image[..., channel]
    return batch
