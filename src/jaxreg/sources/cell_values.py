"""The cells of a spreadsheet's columns → columns of one type each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

import pyarrow as pa

from jaxreg.common.remote_file import AnyFile
from jaxreg.sources.as_written import NO_VALUE, Columns, among_numbers, is_no_number
from jaxreg.sources.columns import no_columns

_KINDS = {
    bool: "true or false",
    int: "numbers",
    float: "numbers",
    str: "text",
    datetime: "dates",
    date: "dates",
    time: "times",
    timedelta: "durations",
}


@dataclass
class CellColumn:
    """The cells of one column that have a value."""

    values: dict[int, Any] = field(default_factory=dict)  # by row
    shown: dict[int, str] = field(default_factory=dict)  # whole numbers shown as 007, by row
    first: dict[str, str] = field(default_factory=dict)  # kind → where it is first, as `B7`
    no_number: str = ""  # where the first text is that is no number

    def __len__(self) -> int:
        return len(self.values)

    def add(self, row: int, cell: Any) -> None:
        """A cell of openpyxl that has a value, as that of `row`."""
        value = self.values[row] = cell.value
        kind = _KINDS[type(value)]
        if kind not in self.first:
            self.first[kind] = cell.coordinate
        if kind == "text" and not self.no_number and is_no_number(value):
            self.no_number = cell.coordinate
        if type(value) is int and re.fullmatch("00+", cell.number_format or ""):
            self.shown[row] = str(value).zfill(len(cell.number_format))

    def array(self, name: str, count: int) -> tuple[pa.Array, str]:
        """The cells of `count` rows in one type, and a sentence if kinds are mixed ("" if not)."""
        values, kinds = self.values, set(self.first)
        if len(kinds) > 1 and "text" in kinds:
            values = {row: value for row, value in values.items() if value not in NO_VALUE}
            if not any(isinstance(value, str) for value in values.values()):
                kinds.remove("text")
        cells = [values.get(row) for row in range(count)]
        if len(kinds) <= 1:
            return _of_one_kind(cells, next(iter(kinds), "")), ""
        array = pa.array(self.text(count), pa.string())
        found = among_numbers(pa.chunked_array([array])) if "text" in self.first else None
        if found and kinds == {"numbers", "text"}:
            return array, f"column {name!r} is text: {found.sentence(self.no_number)}"
        held = ", ".join(f"{kind} (first in {place})" for kind, place in self.first.items())
        note = f"column {name!r} is text, because its cells are of several kinds: {held}"
        return array, note

    def text(self, count: int) -> list[str | None]:
        """The cells of `count` rows as they are written or shown."""
        text = {row: as_text(value) for row, value in self.values.items()} | self.shown
        return [text.get(row) for row in range(count)]


def together(
    path: AnyFile, columns: Mapping[str, CellColumn], count: int, notes: Sequence[str]
) -> Columns:
    """The columns of a sheet with `count` rows; `notes` come first among its own."""
    values, text, every, explained = {}, {}, list(notes), set()
    for name, column in columns.items():
        values[name], note = column.array(name, count)
        if note:
            every.append(f"{path}: {note}")
            explained.add(name)
        if column.shown:
            text[name] = pa.chunked_array([pa.array(column.text(count), pa.string())])
    table = pa.table(values) if values else no_columns(count)
    return Columns(table, text, tuple(every), frozenset(explained))


def as_text(value: Any) -> str:
    """A cell's value as text, as a CSV file would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return str(value.date() if value.time() == time() else value)
    return str(value)


def _of_one_kind(cells: list[Any], kind: str) -> pa.Array:
    if kind == "numbers":
        try:
            if not any(isinstance(cell, float) for cell in cells):
                return pa.array(cells, pa.int64())
        except (OverflowError, pa.ArrowInvalid):  # more digits than int64 holds
            pass
        return pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())
    if kind == "dates":
        days = [cell.date() if isinstance(cell, datetime) else cell for cell in cells]
        whole = all(as_text(cell) == str(day) for cell, day in zip(cells, days, strict=True))
        if whole:
            return pa.array(days, pa.date32())
        moments = [
            datetime.combine(day, time()) if type(cell) is date else cell
            for cell, day in zip(cells, days, strict=True)
        ]
        return pa.array(moments, pa.timestamp("us"))
    types = {"times": pa.time64("us"), "durations": pa.duration("us"), "text": pa.string()}
    types["true or false"] = pa.bool_()
    return pa.array(cells, types.get(kind, pa.null()))
