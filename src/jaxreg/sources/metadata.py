"""Metadata of an encoded image: its orientation, and the same image without metadata.

Decoders refuse sound pixels for a flaw in a text, a profile or an EXIF that nobody needs here.
"""

import re
import struct
from collections.abc import Iterator
from typing import Any

ORIENTATION = 0x0112

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_WITH_ORIENTATION = (b"Raw profile type exif", b"XML:com.adobe.xmp")
_TIFF_PIXELS = {254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317}
_TIFF_PIXELS |= {320, 322, 323, 324, 325, 332, 338, 339, 347, 512, 513, 514, 519, 520, 521, 530}
"""The tags of a TIFF that decide its pixels (TIFF 6.0, and JPEG in TIFF)."""


def orientation(picture: Any) -> int:
    """The EXIF orientation of Pillow's image, 1 to 8; 1 where it cannot be read.

    Only this tag is read, so that a flaw in another one does not matter.
    """
    try:
        value = picture.getexif().get(ORIENTATION, 1)
        return int(value) if value in range(1, 9) else 1
    except Exception:  # of flawed bytes, Pillow's parser raises nearly anything
        return 1


def with_less_metadata(kind: str, content: bytes) -> Iterator[bytes]:
    """The same encoded image with less metadata: first with its orientation, then without."""
    if kind == "JPEG":
        yield _jpeg(content, (b"Exif\0\0",))
        yield _jpeg(content, ())
    elif kind == "PNG":
        yield _png(content, (b"eXIf", *_TEXTS))
        yield _png(content, ())
    elif kind == "TIFF":
        yield _tiff(content)
    elif kind == "AVIF":  # the entry of an item holds its type; Pillow then sees no EXIF
        yield re.sub(rb"(?s)(infe[\2\3]...(?:....|......))Exif", rb"\1skip", content)


def _jpeg(content: bytes, kept: tuple[bytes, ...]) -> bytes:
    """Without comments and application segments, but for those that colours depend on."""
    parts, at = [content[:2]], 2
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] not in (b"\xda", b""):
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        segment = content[at:end]
        extra = marker == 0xFE or (0xE1 <= marker <= 0xEF and marker != 0xEE)
        if not extra or (kept and segment[4:].startswith(kept)):
            parts.append(segment)
        at = end
    return b"".join([*parts, content[at:]])


def _png(content: bytes, kept: tuple[bytes, ...]) -> bytes:
    """Without ancillary chunks, but for transparency; of texts only those with an orientation."""
    parts, at = [content[:8]], 8
    while at + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        data = content[at + 8 : end - 4]
        wanted = name in kept and (name not in _TEXTS or data.startswith(_WITH_ORIENTATION))
        if end > len(content) or not name[:1].islower() or name == b"tRNS" or wanted:
            parts.append(content[at:end])
        at = end
    return b"".join(parts)


def _tiff(content: bytes) -> bytes:
    """With the first directory alone, and in it only the tags that decide pixels."""
    order = "<" if content[:2] == b"II" else ">"
    big = 43 in content[2:4]
    size, entry, count = (8, 20, "Q") if big else (4, 12, "H")
    try:
        start = struct.unpack_from(order + ("Q" if big else "I"), content, size)[0]
        number = struct.unpack_from(order + count, content, start)[0]
    except struct.error:
        return content
    first = start + struct.calcsize(order + count)
    last = first + number * entry
    if last > len(content):
        return content
    entries = [content[at : at + entry] for at in range(first, last, entry)]
    keep = [e for e in entries if struct.unpack_from(order + "H", e)[0] in _TIFF_PIXELS]
    body = struct.pack(order + count, len(keep)) + b"".join(keep) + bytes(size)
    end = start + len(body)
    return content[:start] + body + content[end:]
