"""Text that orders rows: by the numbers or times that it is, else by the numbers in it."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from jaxreg.errors import InputError
from jaxreg.sources.naming import natural_key, some

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_DATES = (
    *("d/m/Y", "m/d/Y", "Y/m/d", "d/m/y", "m/d/y", "y/m/d", "d-m-Y", "m-d-Y", "Y-m-d"),
    *("d.m.Y", "d.m.y", "m/Y", "d b Y", "d b y", "b d Y", "b Y", "b d", "d b", "b"),
)
"""Forms of a date: day, month, month in words, year of four or two digits. A space is any mark."""
_MARK = r"[ \-/.,]+"
_PARTS = {
    **{part: rf"(?P<{part}>\d{{1,2}})" for part in "dm"},
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d\d)",
    "b": r"(?P<b>[a-z]{3,9})\.?",
    " ": _MARK,
    ".": r"\.",
    "/": "/",
    "-": "-",
}
_WEEKDAY = r"((mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? +)?"
_CLOCK = (
    r"(?P<H>\d{1,2})(:(?P<M>[0-5]\d)(:(?P<S>[0-5]\d)([.,](?P<f>\d{1,9}))?)?)?"
    r"( ?(?P<half>[ap])\.?m\.?)?( ?(z|(?P<zone>[+-]\d\d:?\d\d)))?"
)
_MONTHS = "january february march april may june july august september october november december"
_MONTH = {word[:n]: i for i, word in enumerate(_MONTHS.split(), 1) for n in (3, 4, len(word))}

Read = Callable[[str], Any]
"""The number or time that a text is; None if it is none of this reading."""


def text_ranks(names: Sequence[str], rows: Sequence[int] = ()) -> tuple[np.ndarray, str]:
    """int64 (n,): ranks from 0, and a sentence on the first value that looks out of place, or "".

    All numbers are in the order of numbers, all dates or clock times in that of time. Other text is
    in natural order (`natural_key`). Equal keys have equal ranks.

    Args:
        names: one a row.
        rows: the number of each row, for the sentence; by default its place.

    Raises:
        InputError: dates may have the day or the month first, and the two give different orders.
    """
    distinct = list(dict.fromkeys(name.strip() for name in names))
    ways = [_number, *map(_times, ("", *_DATES))]
    readings = [read for way in ways if (read := _read_all(way, distinct))]
    orders = [sorted(sorted(distinct), key=lambda name, keys=keys: keys[name]) for keys in readings]
    if any(order != orders[0] for order in orders):
        short = _read_all(_times("y/m/d"), distinct) is not None
        raise InputError(
            f"the dates may have the day or the month first{', or the year' * short}: "
            f"{', '.join(sorted(distinct)[:3])}",
            expected="dates of one meaning, such as 2024-12-31",
            remedy="write them as year-month-day, or order by another column",
        )
    keys: Mapping[str, Any] = {name: natural_key(name) for name in distinct}
    keys = readings[0] if readings else keys
    rank = {key: place for place, key in enumerate(sorted(set(keys.values())))}
    ranks = np.array([rank[keys[name.strip()]] for name in names], np.int64)
    if readings or not distinct:
        return ranks, ""
    return ranks, _out_of_place(names, rows or range(len(names)), ways)


def _read_all(read: Read, names: Sequence[str]) -> dict[str, Any] | None:
    """The number or time of every name; None if one of them has none."""
    found = {}
    for name in names:
        if (value := read(name)) is None:
            return None
        found[name] = value
    return found


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


@cache
def _times(date: str) -> Read:
    """What reads a date of this form, alone or with a clock time; for "" a clock time."""
    form = "".join(_PARTS[part] for part in date)
    pattern = rf"{_WEEKDAY}{form}((,? +|(?<=\d)[T:]){_CLOCK})?" if date else _CLOCK
    compiled = re.compile(pattern, re.IGNORECASE | re.ASCII)

    def read(text: str) -> tuple[datetime, int] | None:
        found = compiled.fullmatch(text)
        return _time(found.groupdict()) if found else None

    return read


def _time(part: Mapping[str, str | None]) -> tuple[datetime, int] | None:
    """Seconds and nanoseconds; None for a day or an hour that is not there.

    Without a year it is a leap year. Clock times alone may have more than 24 hours.
    """
    year = int(part.get("Y") or 2000)
    if part.get("y"):
        year = int(part["y"] or 0) + (1900 if (part["y"] or "") >= "69" else 2000)  # as POSIX
    month = _MONTH.get((part.get("b") or "jan").lower(), 0)
    hour, minute, second = (int(part[name] or 0) for name in "HMS")
    if part["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (part["half"].lower() == "p")
    elif part["H"] and not part["M"]:
        return None  # a number alone
    zone = (part["zone"] or "+0000").replace(":", "")
    minutes = int(f"{zone[0]}1") * (60 * int(zone[1:3]) + int(zone[3:]))
    clock = timedelta(hours=hour, minutes=minute - minutes, seconds=second)
    try:
        day = datetime(year, int(part.get("m") or month), int(part.get("d") or 1))
        return day + clock, int((part["f"] or "0").ljust(9, "0"))
    except (ValueError, OverflowError):
        return None


def _out_of_place(names: Sequence[str], rows: Sequence[int], ways: Sequence[Read]) -> str:
    """The sentence, if most of the text is numbers or times and some of it is not."""
    distinct = list(dict.fromkeys(name.strip() for name in names))
    sample = some(distinct)
    counts = [sum(read(name) is not None for name in sample) for read in ways]
    if 2 * sum(any(read(name) is not None for read in ways) for name in sample) < len(sample):
        return ""
    read = ways[int(np.argmax(counts))]
    values = {name: read(name) for name in distinct}
    first = {name.strip(): row for name, row in zip(names[::-1], rows[::-1], strict=True)}
    odd = next(name for name in distinct if values[name] is None)
    usual = next((name for name in distinct if values[name] is not None), None)
    if usual is None:
        return ""
    pairs = list(pairwise(sorted(distinct, key=natural_key)))
    both = ((a, b) for a, b in pairs if values[a] is not None and values[b] is not None)
    turned = ((a, b) for a, b in both if values[a] > values[b])
    a, b = next(turned, next(pair for pair in pairs if odd in pair))
    return (
        f"{odd!r} in row {first[odd]} (from 0) is not written as {usual!r} in row {first[usual]}; "
        f"the order is that of the text and the numbers in it, so {a!r} comes before {b!r}"
    )
