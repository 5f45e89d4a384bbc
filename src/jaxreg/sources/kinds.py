"""The kind of an image file, by its first bytes, and whether a file is an image at all."""

import mimetypes
from functools import cache
from pathlib import Path

from jaxreg.common.files import open_regular
from jaxreg.sources.naming import is_image_name

HEAD = 64  # bytes that decide

READ = "JPEG, PNG, WebP, AVIF, HEIC, BMP, GIF or TIFF"

RAW = "camera raw"

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),  # BigTIFF
    (b"MM\x00+", "TIFF"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW),  # of Olympus, as the next two
    (b"IIRS", RAW),
    (b"MMOR", RAW),
    (b"IIU\x00", RAW),  # of Panasonic and Leica
    (b"\x00MRM", RAW),  # of Minolta
    (b"FOVb", RAW),  # of Sigma
)
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes of the headers that a BMP may have
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def kind_of(head: bytes) -> str | None:
    """The kind of an image whose file begins with `head`; None for all that is no image."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4], "big"), HEAD)
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
        if b"crx " in brands:  # of Canon
            return RAW
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIC" if brands & _HEIC_BRANDS else None
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def is_image(file: Path) -> bool:
    """Whether a file is an image: by its suffix or, where that says nothing, by its first bytes."""
    if is_image_name(file.name):
        return True
    said = _types().guess_type(file.name)[0] or "image/"
    if not said.startswith("image/") and said != "application/octet-stream":
        return False
    try:
        with open_regular(file) as opened:
            return kind_of(opened.read(HEAD)) is not None
    except (OSError, ValueError):
        return False


@cache
def _types() -> mimetypes.MimeTypes:
    """Python's own table, which is the same on every machine."""
    return mimetypes.MimeTypes(filenames=())
