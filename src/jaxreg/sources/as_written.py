"""The text of columns: names such as 007 and 7 stay two, though they are one number."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
from pyarrow import csv as arrow_csv

from jaxreg.common import arrow_compute as pc

NAME_LIKE = r"^[+-]?(0\d+|\d+[eE]\+?\d+)$"  # 007, 1E2
LONG = r"^[+-]?\d{16,}$"  # more digits than float64 holds
_COMMA = r"^[+-]?\d*,\d+([eE][+-]?\d+)?$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
NO_VALUE = frozenset(arrow_csv.ConvertOptions().null_values)
"""Words that stand for no value among numbers: NA, n/a, NaN … and no word at all."""
_WHOLE = r"^[+-]?\d+$"
_THOUSANDS = r"^[+-]?[1-9]\d{0,2},\d{3}$"  # 1,234 may be 1234
_POINTS = r"^[+-]?\d{1,3}(\.\d{3})+$"  # beside decimal commas, 1.234 may be 1234


@dataclass(frozen=True)
class Columns:
    """The columns of a table, and what their values do not keep."""

    values: pa.Table
    #: columns of text as written, without blanks around it
    text: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    explained: frozenset[str] = frozenset()  # columns of which a note says why they are text

    @cached_property
    def written(self) -> Mapping[str, pa.ChunkedArray]:
        """Columns that the values would merge or change → their text, (n,), null for no value."""
        empty = pa.scalar(None, pa.string())
        values = dict(zip(self.values.column_names, self.values.columns, strict=True))
        return {
            name: pc.if_else(pc.equal(text, ""), empty, text)
            for name, text in self.text.items()
            if name in values and _loses(values[name], text)
        }

    def names(self, column: str) -> pa.ChunkedArray:
        """The values of a column as names: its text as written, or the text of its values."""
        return self.text[column] if column in self.text else self.values[column].cast(pa.string())

    def order(self, column: str) -> pa.ChunkedArray:
        """The values of a column to sort by: whole numbers too long for float64 are text."""
        long = column in self.written and pc.all(
            pc.match_substring_regex(self.written[column], LONG)
        )
        return self.written[column] if long and long.as_py() else self.values[column]

    def notes_on_names(
        self,
        serving: Collection[str | None],
        place: Callable[[int], str] = lambda row: f"row {row} (from 0)",
    ) -> list[str]:
        """A sentence on each column whose cells are numbers and names, but those `serving`.

        Args:
            serving: columns that hold the ids, groups, order or images.
            place: a row in words.
        """
        notes = []
        for name, text in self.written.items():
            like = text.filter(pc.match_substring_regex(text, f"{NAME_LIKE}|{LONG}"))
            if name not in serving and len(like):
                notes.append(
                    f"column {name!r} has text that is a name or a number, as {like[0].as_py()!r}: "
                    f"--target {name} uses the number, --split group:{name} the text"
                )
        for name in self.values.column_names:
            found = among_numbers(self.values[name])
            if found and name not in serving and name not in self.explained:
                notes.append(f"column {name!r} is text: {found.sentence(place(found.row))}")
        return notes


@dataclass(frozen=True)
class AmongNumbers:
    """The cells that make a column of numbers a column of text."""

    row: int  # of the first
    cell: str  # the first
    others: int  # how many more there are
    numbers: int

    def sentence(self, place: str) -> str:
        """What they are and how many cells are numbers; `place` is that of the first."""
        cells = "cell" if self.others == 1 else "cells"
        more = f" and {self.others} more {cells} are" if self.others else " is"
        return f"{self.cell[:80]!r} in {place}{more} no number; {self.numbers} cells are numbers"


def is_number_text(text: str) -> bool:
    """Whether a cell of text is a number."""
    return re.search(_NUMBER, text.strip(), re.ASCII) is not None


def is_no_number(text: str) -> bool:
    """Whether a cell of text has a value that is no number."""
    return text.strip() not in NO_VALUE and not is_number_text(text)


def among_numbers(column: pa.ChunkedArray) -> AmongNumbers | None:
    """The cells of a column of text that are no numbers, if most of its cells are numbers."""
    if not pa.types.is_string(column.type):
        return None
    counted = CellCounts()
    counted.add(column, 0)
    return counted.among_numbers


@dataclass
class CellCounts:
    """The cells of a column of text that are numbers and those that are none, piece by piece."""

    numbers: int = 0
    others: int = 0  # with a value that is no number
    first: tuple[int, str] = 0, ""  # of these: row, cell

    def add(self, piece: pa.ChunkedArray, start: int) -> None:
        """Count the next cells, of which the first is in row `start`."""
        text = pc.fill_null(pc.utf8_trim_whitespace(piece), "")
        empty = pc.is_in(text, pa.array([*NO_VALUE]))
        number = pc.match_substring_regex(text, _NUMBER)
        other = pc.invert(pc.or_(number, empty))
        numbers, others = (pc.sum(which).as_py() or 0 for which in (number, other))
        if others and not self.others:
            row = pc.index(other, True).as_py()
            self.first = start + row, text[row].as_py()
        self.numbers += numbers
        self.others += others

    @property
    def among_numbers(self) -> AmongNumbers | None:
        """The cells that are no numbers, if most are."""
        if not 0 < self.others < self.numbers:
            return None
        return AmongNumbers(*self.first, self.others - 1, self.numbers)


def _loses(values: pa.ChunkedArray, text: pa.ChunkedArray) -> bool:
    if pa.types.is_string(values.type):
        return False
    there = pc.is_valid(values)
    text, values = text.filter(there), values.filter(there)
    if not len(text):
        return False
    if pc.count_distinct(text).as_py() > pc.count_distinct(values).as_py():
        return True
    if not pa.types.is_integer(values.type) and not pa.types.is_floating(values.type):
        return False
    pattern = f"{NAME_LIKE}|{LONG}" if pa.types.is_floating(values.type) else NAME_LIKE
    return bool(pc.any(pc.match_substring_regex(text, pattern)).as_py())


def numbers_with_comma(
    values: pa.Table, text: Mapping[str, pa.ChunkedArray], *, careful: bool
) -> tuple[pa.Table, tuple[str, ...]]:
    """The values, with the columns of decimal commas as float64, and notes.

    Args:
        values, text: the same columns, as they were read and as they are written.
        careful: commas separate the cells.

    `1,234` may be a fraction or thousands. A column in which each comma is like this one stays text
    if `careful`, or if no other column shows that the comma is a decimal one.
    """
    columns = dict(zip(values.column_names, values.columns, strict=True))
    commas: list[str] = []
    doubtful: dict[str, str] = {}  # → the first cell that may be a fraction or thousands
    for name, column in columns.items():
        if not pa.types.is_string(column.type):
            continue
        cells = text[name].filter(pc.not_equal(text[name], ""))
        like = pc.match_substring_regex(cells, _COMMA)
        if not len(cells) or not pc.any(like).as_py():
            continue
        if not pc.all(pc.or_(like, pc.match_substring_regex(cells, _WHOLE))).as_py():
            continue
        with_comma = cells.filter(like)
        if pc.all(pc.match_substring_regex(with_comma, _THOUSANDS)).as_py():
            doubtful[name] = with_comma[0].as_py()
        else:
            commas.append(name)
    if commas and not careful:
        commas, doubtful = [*commas, *doubtful], {}
    for name in commas:
        dotted = pc.replace_substring(text[name], ",", ".")
        empty = pa.scalar(None, pa.string())
        columns[name] = pc.if_else(pc.equal(dotted, ""), empty, dotted).cast(pa.float64())
    if commas:
        for name, column in columns.items():
            cells = text[name].filter(pc.not_equal(text[name], ""))
            points = name not in commas and pa.types.is_floating(column.type) and len(cells)
            if points and pc.all(pc.match_substring_regex(cells, _POINTS)).as_py():
                columns[name] = text[name]
                doubtful[name] = cells[0].as_py()
    notes = [f"columns with a decimal comma are read as numbers: {', '.join(commas)}"]
    notes *= bool(commas)
    notes += [
        f"column {name!r} stays text: the comma in {cell!r} may mean a fraction or thousands"
        for name, cell in doubtful.items()
    ]
    return pa.table(columns), tuple(notes)
