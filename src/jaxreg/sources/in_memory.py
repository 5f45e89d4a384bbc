"""Images that Python code hands over: one or many, as paths, bytes, arrays or Pillow's images."""

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from jaxreg.errors import InputError
from jaxreg.sources.examples import Image
from jaxreg.sources.pixels import UnusableImage, from_pillow

SHAPES = "one image (height, width[, 1|3|4]), or many (images, height, width[, 1|3|4])"
CHANNELS = (1, 3, 4)
SLIMMEST = 3
"""A stack of grey images may be at most so many times as high as wide. An array of more is rather
one image with another number of channels."""


def images_of(given: object) -> Sequence[Image]:
    """The images that were handed over, one or many, in their order.

    One path, `bytes`, image of Pillow, open file or array is one image. An array may also be many
    images (`split_array`). Everything else is gone through: list, tuple, generator, column.

    Raises:
        InputError: an array of a shape that has no clear meaning; something that is no image.
    """
    found = one_or_many(given)
    return found if isinstance(found, list) else [found]


def one_or_many(given: object) -> Image | list[Image]:
    """As `images_of`, with an image that stands alone as it is, not in a list."""
    if (one := _one(given)) is not None:
        if not isinstance(one, np.ndarray):
            return one
        several = split_array(one)
        return one if len(several) == 1 and several[0] is one else list[Image](several)
    if isinstance(given, np.ndarray) and given.ndim == 1:
        return one_or_many(given.tolist())  # names or objects
    if isinstance(given, Mapping | Set | np.ndarray) or not isinstance(given, Iterable):
        raise InputError(
            f"{type(given).__name__} is no image",
            expected=f"a path, bytes, an image of Pillow, an array ({SHAPES}), or a list of them",
        )
    return [_item(place, item) for place, item in enumerate(given)]


def named_images(images: Sequence[Image]) -> tuple[str, ...]:
    """What messages call images that were handed over: their number, and the path of a file."""
    return tuple(f"{i}: {x}" if isinstance(x, Path) else str(i) for i, x in enumerate(images))


def refused(bad: Sequence[tuple[str, str]], images: int) -> InputError:
    """The error for images of a list that cannot be used.

    Args:
        bad: the name and the reason of each.
        images: how many the list has.
    """
    named = "; ".join(f"{name} ({why})" for name, why in bad[:5])
    return InputError(f"{len(bad)} of {images} images cannot be used: {named}")


def split_array(
    array: np.ndarray, found: str = "an array of shape", count: int | None = None
) -> list[np.ndarray]:
    """The images in an array of pixels: one, or one for each entry of the first axis.

    Args:
        array: the pixels.
        found: how the message begins; the shape follows.
        count: the number of images, where it is known.

    Raises:
        InputError: the shape may mean several things, or nothing; the message has those wanted.
    """
    shape = array.shape
    remedy = ""
    if array.ndim == 3 and shape[0] == count:
        return list(array)
    if array.ndim == 2 and shape[1] > max(CHANNELS):
        return [array]
    if array.ndim == 3 and shape[2] in CHANNELS:
        return [array]
    if array.ndim == 4 and shape[3] in CHANNELS:
        return list(array)
    if array.ndim == 3 and shape[0] in CHANNELS[1:]:
        remedy = "give images.transpose(1, 2, 0) for one with its channels first, or "
        remedy += "images[..., None] for grey ones"
    elif array.ndim == 3 and shape[1] <= SLIMMEST * shape[2]:
        return list(array)
    elif array.ndim == 3:
        remedy = (
            f"give images[..., :3] for one of {shape[2]} channels, or images[..., None] for grey"
        )
    elif array.ndim == 4 and shape[1] in CHANNELS:
        remedy = "give images.transpose(0, 2, 3, 1), if the channels are first"
    raise InputError(f"{found} {shape}", expected=SHAPES, remedy=remedy)


def _item(place: int, given: object) -> Image:
    """One image of a list."""
    one = _one(given)
    if one is None:
        raise InputError(
            f"image {place} is of type {type(given).__name__}",
            expected="a path, bytes, an image of Pillow or an array (height, width[, 1|3|4])",
        )
    if isinstance(one, np.ndarray) and one.ndim == 2 and one.shape[1] <= max(CHANNELS):
        raise InputError(
            f"image {place} is an array of shape {one.shape}",
            expected="(height, width[, 1|3|4]) for each image of a list",
            remedy="hand over the image itself, if these are its rows",
        )
    return one


def _one(given: Any) -> Image | None:
    """What stands for one image, or an array of pixels; None for all else."""
    from PIL import Image as pillow

    if isinstance(given, str | os.PathLike):
        return Path(os.fsdecode(given))
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, pillow.Image):
        try:
            return from_pillow(given)
        except UnusableImage as error:
            raise InputError(f"an image of Pillow cannot be used: {error}") from None
    if callable(getattr(given, "read", None)):
        content = given.read()
        return content if isinstance(content, bytes) else None
    if hasattr(given, "__array__"):  # NumPy's own, and those of JAX, TensorFlow and PyTorch
        array = np.asarray(given)
        return None if array.dtype.kind in "OSU" else array
    return None
