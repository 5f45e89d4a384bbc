"""TIFFs written by hand (TIFF 6.0), of kinds that Pillow does not write."""

import struct
import zlib
from typing import Any

import numpy as np

RGB, INKS = 2, 5  # values of PhotometricInterpretation
DEFLATE = 8


def tiff(
    values: np.ndarray,
    form: int = 1,
    *,
    order: str = "<",
    compression: int = 1,
    planes: bool = False,
    photometric: int = RGB,
    tags: dict[int, tuple[str, list[int]]] | None = None,
) -> bytes:
    """A TIFF of one strip, or of one strip for each band.

    Args:
        values: (height, width, bands).
        form: SampleFormat: 1 integers, 2 signed integers, 3 floats.
        order: of the bytes, "<" or ">".
        compression: 1 for none, or DEFLATE; the number alone for another one.
        planes: whether each band is stored apart.
        photometric: what the bands mean.
        tags: more of them, each with its type (B, H or I) and its values.
    """
    height, width, bands = values.shape
    stored = values.astype(values.dtype.newbyteorder("<" if order == "<" else ">"))
    parts = [stored[..., band].tobytes() for band in range(bands)] if planes else [stored.tobytes()]
    if compression == DEFLATE:
        parts = [zlib.compress(part) for part in parts]
    fields: dict[int, tuple[str, list[Any]]] = {
        256: ("H", [width]),
        257: ("H", [height]),
        258: ("H", [8 * values.dtype.itemsize] * bands),
        259: ("H", [compression]),
        262: ("H", [photometric]),
        273: ("I", [0] * len(parts)),
        277: ("H", [bands]),
        278: ("H", [height]),
        279: ("I", [len(part) for part in parts]),
        284: ("H", [2 if planes else 1]),
        339: ("H", [form] * bands),
        **(tags or {}),
    }
    packed = {tag: struct.pack(f"{order}{len(v)}{code}", *v) for tag, (code, v) in fields.items()}
    first = 8 + 2 + 12 * len(fields) + 4  # where longer values begin
    at = first + sum(len(data) for data in packed.values() if len(data) > 4)
    offsets = [at + sum(map(len, parts[:number])) for number in range(len(parts))]
    packed[273] = struct.pack(f"{order}{len(parts)}I", *offsets)
    body, longer = b"", b""
    for tag in sorted(fields):
        code, numbers = fields[tag]
        where = packed[tag].ljust(4, b"\0")
        if len(where) > 4:
            where = struct.pack(order + "I", first + len(longer))
            longer += packed[tag]
        kind = {"B": 1, "H": 3, "I": 4}[code]
        body += struct.pack(order + "HHI", tag, kind, len(numbers)) + where
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(order + "IH", 8, len(fields))
    return head + body + bytes(4) + longer + b"".join(parts)
