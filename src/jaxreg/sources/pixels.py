"""Bytes of an image → uint8 RGB by the rules of `decode: 1` (docs/pixels.md), and its digest.

A changed rule needs a new number in the recipe, because cached features must not change meaning.
"""

import hashlib
import io
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from jaxreg.common.files import regular_handle
from jaxreg.common.remote_file import RemoteError, RemoteFile
from jaxreg.errors import JaxregError
from jaxreg.sources.depth import Depth, Range, as_uint8, mapped
from jaxreg.sources.encoded import MAX_PIXELS, Decoded, UnusableImage, Wait, decode_bytes, upright
from jaxreg.sources.examples import Image
from jaxreg.sources.pillow_memory import four_bytes

__all__ = ["UnusableImage", "decode", "decode_deep", "digest", "read", "thumbnail", "viewed"]

MAX_BYTES = 2**30
"""The largest file that is read. Without compression, the most pixels allowed take less."""

THUMBNAIL = 160  # pixels, longest side

_CHANNELS = ((), (1,), (3,), (4,))


def read(image: Image, stop: threading.Event | None = None) -> bytes | np.ndarray:
    """The image's own bytes, or its array of pixels.

    Args:
        image: what is read.
        stop: if it is set, a request for an image at a URL is given up.

    Raises:
        UnusableImage: the file cannot be read, or is empty.
        InputError: it is at a URL, and the extra `url` is not installed.
    """
    if isinstance(image, bytes | np.ndarray):
        return image
    if not isinstance(image, Path | RemoteFile):
        raise UnusableImage(f"{type(image).__name__} is neither a path nor bytes nor an array")
    try:
        content = _read_file(image) if isinstance(image, Path) else _read_remote(image, stop)
    except FileNotFoundError:
        raise UnusableImage("no such file") from None
    except OSError as error:
        raise UnusableImage(f"cannot be read: {error.strerror or error}") from None
    except JaxregError:
        raise
    except ValueError as error:  # a NUL, or a character that no file name can have
        raise UnusableImage(f"no file has such a name: {error}") from None
    if not content:
        raise UnusableImage("the file is empty")
    return content


def _read_file(path: Path) -> bytes:
    """Without a file object, which asks the system twice as much: of small images that counts."""
    handle, size = regular_handle(path, MAX_BYTES)
    try:
        content = os.read(handle, size + 1)
        while len(content) < size and (more := os.read(handle, size + 1 - len(content))):
            content += more
    finally:
        os.close(handle)
    if len(content) > size:
        raise UnusableImage("the file grows while it is read, or has no size")
    return content


def _read_remote(file: RemoteFile, stop: threading.Event | None) -> bytes:
    from jaxreg.sources.remote_read import read_remote

    try:
        return read_remote(file, MAX_BYTES, stop)
    except RemoteError as error:
        raise UnusableImage(error.strerror) from None


def digest(content: bytes | np.ndarray) -> str:
    """SHA-256, 64 hex digits: of a file's bytes; of dtype, shape and bytes of an array."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    # little-endian, so that one image has one digest on every machine
    array = np.ascontiguousarray(content, dtype=content.dtype.newbyteorder("<"))
    header = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(header + array.tobytes()).hexdigest()


def decode(content: bytes | np.ndarray, limits: Range | None = None) -> np.ndarray:
    """uint8 RGB of shape (height, width, 3).

    Args:
        content: the bytes of an encoded image, or an array of pixels.
        limits: the values that become 0 and 255, for pixels of more than 8 bits.

    Raises:
        UnusableImage: unknown kind, broken file, a bomb, or pixels without a fixed scale.
    """
    return np.ascontiguousarray(decode_deep(content, limits)[0])


def decode_deep(
    content: bytes | np.ndarray, limits: Range | None = None, wait: Wait = lambda pixels: None
) -> tuple[np.ndarray, Depth]:
    """`decode`, and the values of a deep image; `wait` is called before memory is taken.

    The pixels are read-only, and may lie four bytes apart (sources/pillow_memory.py).
    """
    if isinstance(content, bytes):
        decoded = decode_bytes(content, wait)
    else:
        decoded = Decoded(_checked(content))
        wait(content.shape[0] * content.shape[1])
    values = decoded.values
    values = values[..., None] if values.ndim == 2 else values
    values = values[..., :3] if values.shape[2] == 4 else values
    seen, depth = values, Depth(plain=1)
    if values.dtype != np.uint8:
        seen = _seen(values, limits, isinstance(content, bytes))
        depth = Depth.of(values.min(), values.max(), seen)
    elif decoded.high_bytes:
        if limits is not None:
            raise UnusableImage(f"{decoded.high_bytes} of 16 bits; --range does not work for them")
        depth = Depth.of(256 * int(values.min()), 256 * int(values.max()) + 255, values)
    seen = np.repeat(seen, 3, axis=2) if seen.shape[2] == 1 else seen
    return seen, depth


def _seen(values: np.ndarray, limits: Range | None, from_file: bool) -> np.ndarray:
    """uint8 of the same shape, by the range or, of uint16, by the high bytes."""
    if values.dtype.kind == "f" and (missing := int(np.isnan(values).sum())):
        raise UnusableImage(f"{missing} of {values.size} pixels are NaN; give them a value first")
    if limits is not None:
        return mapped(values, limits)
    if values.dtype == np.uint16:
        # Pillow's own conversion clips at 255 and turns most pictures white
        return (values >> 8).astype(np.uint8)
    if not from_file:
        raise UnusableImage(
            f"an array of {values.dtype}; expected uint8 or uint16: {as_uint8(values)}"
        )
    raise UnusableImage(
        f"pixels of {values.dtype} from {values.min():g} to {values.max():g} have no fixed scale "
        "in 0..255; `jaxreg extract --range LO HI` gives one"
    )


def from_pillow(picture: Any) -> np.ndarray:
    """The upright pixels of an image that Pillow has open, as `decode` takes them.

    Raises:
        UnusableImage: too many pixels, or pixels that cannot be decoded.
    """
    if picture.width * picture.height > MAX_PIXELS:
        raise UnusableImage(f"{picture.width}x{picture.height} pixels; more than {MAX_PIXELS}")
    try:
        return np.array(upright(picture).values)  # a copy: the user may draw on the image
    except UnusableImage:
        raise
    except Exception as error:  # decoders of broken files raise nearly anything
        raise UnusableImage(f"broken: {error or type(error).__name__}") from None


def viewed(rgb: np.ndarray, view: str) -> np.ndarray:
    """The view of an image: itself, or its left-right flipped pixels, which cost no memory."""
    return rgb[:, ::-1] if view == "mirror" else rgb


def refuse_small(rgb: np.ndarray, smallest: int) -> None:
    """Raise UnusableImage if a side of the image has fewer than `smallest` pixels."""
    height, width = rgb.shape[:2]
    if min(height, width) < smallest:
        raise UnusableImage(f"{height}x{width} pixels; at least {smallest} each way are needed")


def thumbnail(rgb: np.ndarray, side: int = THUMBNAIL) -> bytes:
    """A JPEG whose longest side is at most `side` pixels, for reports."""
    from PIL import Image as pillow

    kept, size = four_bytes(rgb), (rgb.shape[1], rgb.shape[0])
    if kept is None:
        picture = pillow.fromarray(rgb)
    else:
        picture = pillow.frombuffer("RGBX", size, kept, "raw", "RGBX", 0, 1)
    # averaging whole pixels first takes a third of the time, and looks the same
    picture.thumbnail((side, side), pillow.Resampling.BILINEAR, reducing_gap=1.0)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _checked(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "uif":
        raise UnusableImage(f"an array of {array.dtype}; expected uint8 or uint16")
    if array.ndim not in (2, 3) or array.shape[2:] not in _CHANNELS or 0 in array.shape:
        raise UnusableImage(f"an array of shape {array.shape}; expected (height, width[, 1|3|4])")
    return array
