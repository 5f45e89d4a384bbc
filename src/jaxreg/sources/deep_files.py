"""Deep pixels in files, where Pillow keeps one of two bytes, or takes them in another order."""

import io
import sys
from typing import Any

_BITS, _PLANES, _FORMAT = 258, 284, 339  # tags of a TIFF
_TOGETHER, _UNSIGNED = 1, 1  # values of _PLANES and _FORMAT
_NATIVE = {"I;32BS": "I;32NS", "F;32BF": "F;32NF", "I;16BS": "I;16NS"}
"""Raw modes of big-endian values → those of this machine, in which libtiff gives the values."""

_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_GREY_AND_ALPHA = "LA;16B"


def mend_tiles(picture: Any) -> None:
    """Let Pillow decode the deep pixels of a TIFF as they are stored; call it before `load`.

    Pillow swaps the bytes of values that libtiff has swapped already. It reads planes of 16 bits,
    one for each colour, as planes of 8 bits.
    """
    tags = getattr(picture, "tag_v2", None)
    if tags is None:
        return
    order = ";16L" if tags.prefix == b"II" else ";16B"
    wide = set(tags.get(_BITS, ())) == {16}
    tiles = []
    for tile in picture.tile:
        raw: Any = tile.args[0]
        if tile.codec_name == "libtiff":
            raw = _NATIVE.get(raw, raw)
        elif wide and raw == ";":
            continue  # a fourth plane that means nothing
        elif wide and len(raw) == 1:
            raw += order
        tiles.append(_with_raw(tile, raw))
    picture.tile = tiles


def is_unsigned(picture: Any) -> bool:
    """Whether this is a TIFF whose whole numbers have no sign; Pillow gives them one."""
    tags = getattr(picture, "tag_v2", None)
    return tags is not None and set(tags.get(_FORMAT, (_UNSIGNED,))) == {_UNSIGNED}


def has_wide_colours(picture: Any) -> bool:
    """Whether `load` keeps only the high bytes of colours of 16 bits."""
    return not picture.mode.startswith("I") and ";16" in str(getattr(picture, "tile", ""))


def low_bytes(picture: Any) -> Any | None:
    """The picture of the low bytes, for a picture with wide colours; call it before `load`.

    None for inks, for colours that are multiplied by their alpha, and for packed planes.
    """
    from PIL import Image as pillow

    raws = [tile.args if isinstance(tile.args, str) else tile.args[0] for tile in picture.tile]
    packed_planes = (
        picture.tile[0].codec_name == "libtiff"
        and picture.tag_v2.get(_PLANES, _TOGETHER) != _TOGETHER
    )
    known = picture.format in ("PNG", "TIFF") and picture.mode in ("RGB", "RGBA")
    if not known or packed_planes or any(raw.startswith("RGBa") for raw in raws):
        return None
    place = picture.fp.tell()
    picture.fp.seek(0)
    again: Any = pillow.open(io.BytesIO(picture.fp.read()), formats=[picture.format])
    picture.fp.seek(place)
    again.seek(picture.tell())
    mend_tiles(again)
    if raws[0] == _GREY_AND_ALPHA:  # as four colours: both bytes of the grey, both of the alpha
        again.tile = [tile._replace(args="RGBA") for tile in again.tile]
        return again.getchannel(1)
    tiles = zip(again.tile, raws, strict=True)
    again.tile = [_with_raw(tile, raw[:-1] + _OTHER_BYTE[raw[-1]]) for tile, raw in tiles]
    return again


def _with_raw(tile: Any, raw: str) -> Any:
    return tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:]))
