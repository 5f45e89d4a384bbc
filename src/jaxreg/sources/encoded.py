"""Bytes of an encoded image → its upright pixels. Limits are checked before memory is taken."""

import io
import logging
import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxreg.sources.deep_files import has_wide_colours, is_unsigned, low_bytes, mend_tiles
from jaxreg.sources.kinds import HEAD, RAW, READ, kind_of
from jaxreg.sources.metadata import orientation, with_less_metadata
from jaxreg.sources.pillow_memory import rgb_of
from jaxreg.sources.tiff import is_raw_photograph, unread_kind

MAX_PIXELS = 89_478_485
"""Pillow's own limit for one image (a quarter gigabyte of RGB); more counts as a bomb."""

FREE_PIXELS = 25_000_000
"""An image of so many pixels may be a file of any size: one colour takes a few bytes."""

PIXELS_PER_BYTE = 10_000
"""A larger image needs a byte in its file for each so many further pixels."""

DENSE = {"WEBP": 100, "AVIF": 100, "HEIC": 100}
"""The same for kinds whose decoders take 20 bytes a pixel at once; repeated bytes do not count."""

MOST_SCANNED = 4_000_000_000
"""Pixels times scans of a JPEG: each scan of a progressive one goes through all pixels."""

_PLAIN_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

Wait = Callable[[int], None]
"""Gets the number of pixels before memory is taken for them, and may wait until there is some."""

_SILENT = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors go to stderr


class UnusableImage(Exception):
    """One image that cannot be used; the text is its reason in `<name>.failed.csv`."""


@dataclass(frozen=True)
class Decoded:
    """The upright pixels of an image before they have the scale 0..255."""

    values: np.ndarray  # (h, w, 3) uint8 or uint16, or (h, w) uint16, int32, uint32 or float32
    high_bytes: str = ""  # what has 16 bits, where only the high bytes are here as uint8


def decode_bytes(content: bytes, wait: Wait) -> Decoded:
    """The pixels of an encoded image.

    Raises:
        UnusableImage: unknown kind, broken file, a bomb, or a mode that is not read.
    """
    _silence_pillow()
    kind = kind_of(content[:HEAD])
    if kind is None:
        raise UnusableImage(f"not a {READ}")
    if kind == "JPEG XL":
        raise UnusableImage(f"JPEG XL is not read; convert it to a {READ}")
    if kind == RAW or (kind == "TIFF" and is_raw_photograph(content)):
        raise UnusableImage("a camera's raw file, which is not read; convert it to JPEG")
    read = _heic if kind == "HEIC" else _with_pillow
    try:
        return read(kind, content, wait)
    except UnusableImage:
        raise
    except Exception as error:  # decoders of broken files raise nearly anything
        first = error
    for bare in with_less_metadata(kind, content):
        try:
            return read(kind, bare, wait)
        except UnusableImage:
            raise
        except Exception:
            continue
    raise UnusableImage(_reason(kind, content, first))


def upright(picture: Any) -> Decoded:
    """The pixels of Pillow's image as its EXIF orientation says.

    Raises:
        UnusableImage: pixels of a mode that is not read.
    """
    mend_tiles(picture)
    wide = has_wide_colours(picture)
    low = low_bytes(picture) if wide else None
    picture.load()
    picture = _turned(picture)
    mode = picture.mode
    if mode.startswith("I;16"):
        return Decoded(np.asarray(picture).astype(np.uint16))
    if mode in ("I", "F"):
        values = np.array(picture)
        return Decoded(values.view(np.uint32) if mode == "I" and is_unsigned(picture) else values)
    if mode not in _PLAIN_MODES:
        raise UnusableImage(f"pixels of mode {mode} have no fixed scale in 0..255")
    # alpha is dropped, not blended, as `keras.utils.load_img` and torchvision do
    values = rgb_of(picture)
    if low is None:
        return Decoded(values, f"{mode} colours" if wide else "")
    low.load()
    return Decoded(values.astype(np.uint16) << 8 | rgb_of(_turned(low)))


def _turned(picture: Any) -> Any:
    """Pillow's image, turned as its EXIF orientation says."""
    from PIL import Image as pillow

    turn = {
        2: pillow.Transpose.FLIP_LEFT_RIGHT,
        3: pillow.Transpose.ROTATE_180,
        4: pillow.Transpose.FLIP_TOP_BOTTOM,
        5: pillow.Transpose.TRANSPOSE,
        6: pillow.Transpose.ROTATE_270,
        7: pillow.Transpose.TRANSVERSE,
        8: pillow.Transpose.ROTATE_90,
    }.get(orientation(picture))
    return picture if turn is None else picture.transpose(turn)


def _with_pillow(kind: str, content: bytes, wait: Wait) -> Decoded:
    from PIL import Image as pillow
    from PIL import features

    if kind == "AVIF" and not features.check("avif"):
        raise UnusableImage("AVIF, which this build of Pillow does not read")
    if kind == "WEBP":  # its decoder takes the memory of all pixels when it opens the file
        _take(kind, *_webp_size(content), content, wait)
    try:
        with pillow.open(io.BytesIO(content), formats=[kind]) as picture:
            if kind != "WEBP":
                _take(kind, picture.width, picture.height, content, wait)
            return upright(picture)
    except pillow.DecompressionBombError:
        raise UnusableImage(f"more than {MAX_PIXELS} pixels are refused") from None


def _heic(kind: str, content: bytes, wait: Wait) -> Decoded:
    """libheif turns the image upright itself; the format ignores the orientation in EXIF."""
    try:
        import pillow_heif
    except ImportError:
        raise UnusableImage(
            f"{kind}, which jaxreg reads with the extra heif: pip install 'jaxreg[heif]'"
        ) from None
    file = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=True)
    _take(kind, *file.size, content, wait)
    return Decoded(rgb_of(file.to_pillow()))


def _take(kind: str, width: int, height: int, content: bytes, wait: Wait) -> None:
    """Refuse an image that is too large, or too large for its file; else wait for memory."""
    pixels = width * height
    if pixels > MAX_PIXELS:
        raise UnusableImage(f"{width}x{height} pixels; more than {MAX_PIXELS} are refused")
    if pixels > FREE_PIXELS:
        each = DENSE.get(kind, PIXELS_PER_BYTE)
        size = f"{len(content)} bytes"
        held, wanted = len(content), (pixels - FREE_PIXELS) / each
        if kind in DENSE and held >= wanted:
            held = _unrepeated(content, wanted)
            size += f", {held} of them without repeats"
        if held < wanted:
            most = FREE_PIXELS + each * held
            raise UnusableImage(
                f"{width}x{height} pixels in {size}; a file of this size may have {most} pixels"
            )
    scans = 1
    if kind == "JPEG" and len(content) // 2 * pixels > MOST_SCANNED:  # a marker has two bytes
        scans = content.count(b"\xff\xda")
    if scans * pixels > MOST_SCANNED:
        raise UnusableImage(f"{width}x{height} pixels in {scans} scans, which would take too long")
    wait(pixels)


def _unrepeated(content: bytes, enough: float) -> int:
    """The bytes that are left when repeats are packed, counted until there are enough."""
    packer, count = zlib.compressobj(1), 0
    for at in range(0, len(content), 2**20):
        count += len(packer.compress(content[at : at + 2**20]))
        if count >= enough:
            return count
    return count + len(packer.flush())


def _webp_size(content: bytes) -> tuple[int, int]:
    """Width and height as a WebP's first chunk declares them (RFC 9649)."""
    if content[12:16] == b"VP8X":
        sides = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
    elif content[12:16] == b"VP8L":
        packed = int.from_bytes(content[21:25], "little")
        sides = ((packed >> shift & 0x3FFF) + 1 for shift in (0, 14))
    else:
        sides = (int.from_bytes(content[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    width, height = sides
    return width, height


def _silence_pillow() -> None:
    """Keep Pillow's warnings from the user, and from becoming errors.

    `warnings.catch_warnings` is not for threads.
    """
    if _SILENT not in warnings.filters:
        warnings.filterwarnings("ignore", module=_SILENT[3].pattern)


def _reason(kind: str, content: bytes, error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if kind == "TIFF" and (unread := unread_kind(content)):
        return unread
    if isinstance(error, UnidentifiedImageError):  # its text holds a memory address
        return f"broken {kind}: its header cannot be read"
    return f"broken {kind}: {error or type(error).__name__}"
