"""What a TIFF is that Pillow does not read, in words."""

import io
from typing import Any

_SUBFILE_TYPE, _SUB_DIRECTORIES = 254, 330
_BITS, _COMPRESSION, _PHOTOMETRIC, _BANDS = 258, 259, 262, 277
_PLANES, _EXTRA, _FORMAT, _INKS = 284, 338, 339, 5
_DNG_VERSION, _OF_SENSORS = 50706, (32803, 34892)  # the latter are values of _PHOTOMETRIC
_FORMATS = {1: "integers", 2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex"}


def unread_kind(content: bytes) -> str | None:
    """A sentence on a TIFF of pixels that are not read; None for an ordinary or a broken one."""
    from PIL.TiffImagePlugin import COMPRESSION_INFO

    try:
        tags = _first_directory(content)
        bits, formats = set(tags.get(_BITS, (1,))), set(tags.get(_FORMAT, (1,)))
        bands, compression = tags.get(_BANDS, 1), tags.get(_COMPRESSION, 1)
        widths = " and ".join(f"{width}-bit" for width in sorted(bits))
        numbers = " and ".join(_FORMATS.get(form, "values") for form in sorted(formats))
    except Exception:  # of a broken directory, Pillow's parser raises nearly anything
        return None
    apart = bits == {16} and tags.get(_PLANES, 1) == 2
    apart = apart and (tags.get(_PHOTOMETRIC) == _INKS or 1 in tags.get(_EXTRA, ()))
    ordinary = not apart and bits <= {1, 2, 4, 8, 16} and formats == {1} and bands in (1, 3, 4)
    if ordinary and compression in COMPRESSION_INFO:
        return None
    what = f"a TIFF of {bands} band{'s' if bands != 1 else ''} of {widths} {numbers}"
    if compression not in COMPRESSION_INFO:
        what += f" with compression {compression}"
    if apart:
        what += " in separate planes"
    return (
        f"{what} is not read; expected 1, 3 or 4 bands of 8 or 16 bits, or one band of 32-bit "
        "integers or floats"
    )


def is_raw_photograph(content: bytes) -> bool:
    """Whether a TIFF is a camera's raw file (DNG, NEF, ARW, CR2 and others).

    The first picture of such a file is often a preview, which Pillow would read.
    """
    if content[8:10] == b"CR":  # of Canon
        return True
    try:
        tags = _first_directory(content)
        preview = tags.get(_SUBFILE_TYPE, 0) == 1 and _SUB_DIRECTORIES in tags
        return preview or _DNG_VERSION in tags or tags.get(_PHOTOMETRIC) in _OF_SENSORS
    except Exception:  # as above
        return False


def _first_directory(content: bytes) -> Any:
    """The tags of the first picture."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2(content[: 16 if 43 in content[2:4] else 8])
    file = io.BytesIO(content)
    file.seek(tags.next)
    tags.load(file)
    return tags
