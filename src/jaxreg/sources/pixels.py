"""Bytes of an image → uint8 RGB by the rules of `decode: 1` (docs/pixels.md), and its digest.

A changed rule needs a new number in the recipe, because cached features must not change meaning.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from jaxreg.sources.examples import Image

MAX_PIXELS = 89_478_485
"""Pillow's own limit for one image (a quarter gigabyte of RGB); more counts as a bomb."""

THUMBNAIL = 160  # pixels, longest side

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"RIFF", "WEBP"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_PLAIN_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")


class UnusableImage(Exception):
    """One image that cannot be used; the text is its reason in `<name>.failed.csv`."""


def read(image: Image) -> bytes | np.ndarray:
    """The image's own bytes, or its array of pixels.

    Raises:
        UnusableImage: the file cannot be read, or is empty.
    """
    if isinstance(image, bytes | np.ndarray):
        return image
    if not isinstance(image, Path):
        raise UnusableImage(f"{type(image).__name__} is neither a path nor bytes nor an array")
    try:
        content = image.read_bytes()
    except FileNotFoundError:
        raise UnusableImage("no such file") from None
    except OSError as error:
        raise UnusableImage(f"cannot be read: {error.strerror or error}") from None
    if not content:
        raise UnusableImage("the file is empty")
    return content


def digest(content: bytes | np.ndarray) -> str:
    """SHA-256, 64 hex digits: of a file's bytes; of dtype, shape and bytes of an array."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    # little-endian, so that one image has one digest on every machine
    array = np.ascontiguousarray(content, dtype=content.dtype.newbyteorder("<"))
    header = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(header + array.tobytes()).hexdigest()


def decode(content: bytes | np.ndarray) -> np.ndarray:
    """uint8 RGB of shape (height, width, 3).

    Raises:
        UnusableImage: unknown kind, broken file, a bomb, or pixels without a fixed scale.
    """
    return _from_array(content) if isinstance(content, np.ndarray) else _from_bytes(content)


def viewed(rgb: np.ndarray, view: str) -> np.ndarray:
    """The view of an image: itself, or its left-right flipped pixels, which cost no memory."""
    return rgb[:, ::-1] if view == "mirror" else rgb


def refuse_small(rgb: np.ndarray, smallest: int) -> None:
    """Raise UnusableImage if a side of the image has fewer than `smallest` pixels."""
    height, width = rgb.shape[:2]
    if min(height, width) < smallest:
        raise UnusableImage(f"{height}x{width} pixels; at least {smallest} each way are needed")


def thumbnail(rgb: np.ndarray) -> bytes:
    """A JPEG whose longest side is at most 160 pixels, for reports."""
    from PIL import Image as pillow

    picture = pillow.fromarray(rgb)
    # averaging whole pixels first takes a third of the time, and looks the same
    picture.thumbnail((THUMBNAIL, THUMBNAIL), pillow.Resampling.BILINEAR, reducing_gap=1.0)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def from_pillow(picture: Any) -> np.ndarray:
    """The upright pixels of an image that Pillow has open: (height, width, 3) uint8.

    Raises:
        UnusableImage: pixels that cannot be decoded, or that have no fixed scale.
    """
    from PIL import ImageOps

    try:
        return np.array(_to_rgb(ImageOps.exif_transpose(picture)))
    except UnusableImage:
        raise
    except Exception as error:  # decoders of broken files raise nearly anything
        raise UnusableImage(f"broken: {error or type(error).__name__}") from None


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    if array.dtype != np.uint8:
        raise UnusableImage(f"an array of {array.dtype}; expected uint8 or uint16")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise UnusableImage(f"an array of shape {array.shape}; expected (height, width[, 1|3|4])")
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(array[..., :3])


def _from_bytes(content: bytes) -> np.ndarray:
    from PIL import Image as pillow
    from PIL import ImageOps

    kind = next((kind for magic, kind in _MAGIC if content.startswith(magic)), None)
    if kind is None:
        raise UnusableImage("not a JPEG, PNG, WebP, BMP, GIF or TIFF")
    try:
        with pillow.open(io.BytesIO(content), formats=[kind]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UnusableImage(
                    f"{picture.width}x{picture.height} pixels; more than {MAX_PIXELS} are refused"
                )
            picture.load()
            return np.array(_to_rgb(ImageOps.exif_transpose(picture)))
    except UnusableImage:
        raise
    except pillow.DecompressionBombError:
        raise UnusableImage(f"more than {MAX_PIXELS} pixels are refused") from None
    except Exception as error:  # decoders of broken files raise nearly anything
        raise UnusableImage(f"broken {kind}: {error or type(error).__name__}") from None


def _to_rgb(picture):
    """Alpha is dropped, not blended, as `keras.utils.load_img` and torchvision do."""
    from PIL import Image as pillow

    if picture.mode.startswith("I;16"):
        # the high byte; Pillow's own conversion clips at 255 and turns most pictures white
        return pillow.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode not in _PLAIN_MODES:
        raise UnusableImage(f"pixels of mode {picture.mode} have no fixed scale in 0..255")
    return picture.convert("RGB")
