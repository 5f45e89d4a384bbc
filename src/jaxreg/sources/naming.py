"""Names that sources share: image suffixes, ids that do not repeat, the nearest right word."""

import os
import random
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxreg.common.remote_file import AnyFile
from jaxreg.errors import InputError, OptionError, nearest, nearest_option

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
IMAGE_SUFFIXES += (".jpe", ".jfif", ".avif", ".heic", ".heif", ".hif", ".jxl")
_DIGITS = re.compile(r"(\d+)")
SAMPLE = 60  # values of a column that decide what it holds


def is_image_name(name: str) -> bool:
    """Whether the name ends like an image file, in either case."""
    return name.strip().lower().endswith(IMAGE_SUFFIXES)


def as_unicode(text: str) -> str:
    """Text of any bytes, as names of files are, with all that is no Unicode as `\\xff`."""
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, which JSON and NumPy may hold
        return text.encode("utf-8", "backslashreplace").decode()


def row_id(row: int) -> str:
    """The id of a row (from 0) that has no name of its own: `row-000012`."""
    return f"row-{row:06d}"


def unique(names: Sequence[str]) -> list[str]:
    """The names, with `#2`, `#3` … behind repeated ones in order of occurrence.

    A name that is unique stays as it is, even if it looks like a numbered repeat.
    """
    taken = set(names)
    seen: dict[str, int] = {}
    result = []
    for name in names:
        number = seen.get(name, 0) + 1
        unused = name
        while number > 1 and (unused := f"{name}#{number}") in taken:
            number += 1
        seen[name] = number
        taken.add(unused)
        result.append(unused)
    return result


def natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """A key to sort by: runs of digits count as numbers, so `frame_2` comes before `frame_10`."""
    parts = _DIGITS.split(name)  # text and digits take turns
    key = [(0, part) for part in parts]
    for place in range(1, len(parts), 2):
        digits = parts[place].lstrip("0")
        key[place] = (len(digits), digits)  # int() refuses long numbers
    return tuple(key)


def some(names: Sequence[str]) -> Sequence[str]:
    """SAMPLE of the names, drawn the same way each time; all of them if they are fewer."""
    return names if len(names) <= SAMPLE else random.Random(0).sample(names, SAMPLE)


def listed(names: Iterable[str], limit: int = 20) -> str:
    """The names for a message, cut off after `limit`."""
    names = list(names)
    shown = ", ".join(names[:limit]) or "none"
    return shown if len(names) <= limit else f"{shown} … ({len(names)} in all)"


def neighbour(flag: str, path: Path, *words: str) -> str:
    """`flag` with one of `words` or the file beside `path`: the most similar name; "" for none."""
    try:
        files = os.listdir(path.parent)
    except (OSError, ValueError):  # no folder, or a name that none can have
        files = []
    close = nearest(path.name, [*words, *files])
    if close is None:
        return ""
    return f"{flag} {close if close in words else shlex.quote(str(path.parent / close))}"


def column_names(path: AnyFile, cells: Sequence[str], separator: str = ",") -> list[str]:
    """The names in a header; an empty cell (as pandas writes its index) is `unnamed_<place>`.

    Raises:
        InputError: a name stands there twice, or the row looks like data.
    """
    if any(map(is_image_name, cells)):
        raise InputError(
            f"{path} has no header line: it begins with {separator.join(cells)!r}",
            expected="the columns' names in the first line, as image,target",
        )
    names = [name or f"unnamed_{place}" for place, name in enumerate(cells)]
    refuse_repeated(path, names)
    return names


def refuse_repeated(path: AnyFile, names: Iterable[str]) -> None:
    """Raise InputError for two columns of one name."""
    if repeated := next((name for name, count in Counter(names).items() if count > 1), None):
        raise InputError(f"{path} has two columns named {repeated!r}", expected="names that differ")


def one_column(name: str, choices: Sequence[str], flag: str, where: str) -> str:
    """`name` itself, if it is one of the columns.

    Raises:
        OptionError: it is none; the message has all columns and the nearest one.
    """
    if name in choices:
        return name
    raise OptionError(
        flag,
        f"{where} has no column {name!r}",
        expected=f"one of: {listed(choices)}",
        remedy=nearest_option(flag, name, choices),
    )
