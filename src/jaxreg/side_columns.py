"""Side columns: table columns that a head gets beside the features of a row.

A number takes one column of floats, a category one column for each of its values (one-hot). A
missing value is NaN in all of them, and the scaler of a head puts the mean or the most frequent
category there, by its own training rows (`head/side_scaling.py`). Where a training row has no
value, a column that is 1 for such rows follows, as `SimpleImputer(add_indicator=True)` of
scikit-learn makes it.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from jaxreg.common import arrow_compute as pc
from jaxreg.errors import InputError, nearest

Kind = Literal["number", "category", "boolean"]

BOOLEANS = ("false", "true")
SHOWN = 3  # unknown categories that a sentence names


class Encoded(NamedTuple):
    """Side columns of some rows as numbers."""

    values: np.ndarray  # (rows, width) float32; NaN where a row has no value
    unknown: Mapping[str, Counter[str]]  # by side column: rows of each category that is not known
    missing: Mapping[str, int]  # by side column: rows without a value


@dataclass(frozen=True)
class SideColumn:
    """What a run keeps of one side column. It is learned from the rows that train."""

    name: str  # in the dataset
    kind: Kind
    missing: bool  # whether some training row has no value
    center: float = 0.0  # subtracted from a number before it becomes float32
    scale: float = 1.0  # what a number is divided by before it becomes float32; above 0
    categories: tuple[str, ...] = ()  # of a category or boolean: its values, sorted

    @property
    def values(self) -> int:
        """How many columns its values take."""
        return 1 if self.kind == "number" else len(self.categories)

    @property
    def width(self) -> int:
        """How many columns it takes: those of its values, and the indicator where there is one."""
        return self.values + self.missing


@dataclass(frozen=True)
class SideColumns:
    """The side columns of a run, in the order in which they follow the features."""

    columns: tuple[SideColumn, ...] = ()

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def width(self) -> int:
        """How many numbers of a row they take."""
        return sum(column.width for column in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def encode(
        self, table: pa.Table, written: Mapping[str, pa.ChunkedArray | pa.Array] | None = None
    ) -> Encoded:
        """The side columns of each row of a table.

        Args:
            table: has the columns; others are ignored.
            written: the text of columns whose numbers do not keep it, such as 007.

        Raises:
            InputError: a column is not there, or holds text where the run has numbers.
        """
        values = np.zeros((table.num_rows, self.width), np.float32)
        unknown: dict[str, Counter[str]] = {}
        lacking: dict[str, int] = {}
        start = 0
        for column in self.columns:
            own = values[:, start : start + column.width]
            found = table[_place(table, column.name, self.names)]
            if column.kind == "number":
                own[:, 0] = (numbers_of(found, column.name) - column.center) / column.scale
                absent = np.isnan(own[:, 0])
            else:
                texts = texts_of(found, (written or {}).get(column.name), column.kind)
                absent = np.array([text is None for text in texts], bool)
                others = Counter(t for t in texts if t is not None and t not in column.categories)
                if others:
                    unknown[column.name] = others
                same = np.array(texts, object)[:, None] == np.array(column.categories, object)
                own[:, : column.values] = np.where(absent[:, None], np.nan, same)
            if column.missing:
                own[:, -1] = absent
            if absent.any():
                lacking[column.name] = int(absent.sum())
            start += column.width
        return Encoded(values, unknown, lacking)

    def to_json(self) -> list[dict[str, Any]]:
        """`side` of config.json."""
        columns = map(dataclasses.asdict, self.columns)
        return [{**one, "categories": list(one["categories"])} for one in columns]

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]] | None) -> "SideColumns":
        """The inverse of `to_json`; None is a run without side columns."""
        columns = [{**one, "categories": tuple(one["categories"])} for one in content or ()]
        return cls(tuple(SideColumn(**one) for one in columns))


NO_SIDE = SideColumns()


def _place(table: pa.Table, name: str, needed: Sequence[str]) -> str:
    """The name that a side column has in a table: a dataset keeps some names as `source.NAME`."""
    own = name.removeprefix("source.")
    for known in (name, own):
        if known in table.column_names:
            return known
    near = nearest(own, table.column_names)
    raise InputError(
        f"there is no column {own!r}, which the run needs beside the features",
        expected=f"its side columns: {', '.join(needed)}",
        remedy=f"rename the column {near} as {own}" if near else f"add the column {own}",
    )


def numbers_of(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """float64 (rows,), NaN where there is no value.

    Raises:
        InputError: there is text, or an infinite number.
    """
    kind = column.type
    if pa.types.is_temporal(kind) or not _is_scalar(kind):
        raise InputError(f"the side column {name} holds {kind}", expected="numbers")
    if pa.types.is_string(kind):
        text = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    try:
        values = column.cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowInvalid as error:
        first = next(text for text in column.to_pylist() if text and not _is_float(text))
        raise InputError(
            f"the side column {name} holds text, as {first!r}", expected="numbers, as in training"
        ) from error
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise InputError(f"the side column {name} is infinite in row {row} (from 0)")
    return values.astype(np.float64)


def texts_of(
    column: pa.ChunkedArray, written: pa.ChunkedArray | pa.Array | None, kind: Kind
) -> list[str | None]:
    """The category of each row, without blanks around it; None where there is no value."""
    if kind == "boolean" and not pa.types.is_string(column.type):
        numbers = column.cast(pa.float64())
        if pc.all(pc.is_in(numbers, pa.array([0.0, 1.0, None]))).as_py():
            column = numbers.cast(pa.bool_())
    if not pa.types.is_string(column.type):
        column = column.cast(pa.string()) if written is None else written
    texts = pc.utf8_trim_whitespace(column)
    texts = pc.utf8_lower(texts) if kind == "boolean" else texts
    return [text or None for text in texts.to_pylist()]


def _is_scalar(kind: pa.DataType) -> bool:
    t = pa.types
    tests = (t.is_integer, t.is_floating, t.is_boolean, t.is_null, t.is_string, t.is_decimal)
    return any(test(kind) for test in tests)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def sentences(encoded: Encoded, columns: SideColumns, rows: str) -> list[str]:
    """What `encode` found, for the user: unknown categories, and values that are missing.

    Args:
        encoded: what `columns.encode` returned.
        columns: the side columns.
        rows: what the rows are, as `new rows`.
    """
    texts = []
    for name, others in encoded.unknown.items():
        names = ", ".join(text for text, _ in others.most_common(SHOWN))
        names += ", …" if len(others) > SHOWN else ""
        count = sum(others.values())
        have = "has" if count == 1 else "have"
        texts.append(
            f"{count} {_one(rows, count)} {have} a value of {name} that no training row has "
            f"({names}): it counts as none of the known ones"
        )
    for column in columns.columns:
        if count := encoded.missing.get(column.name, 0):
            fill = "mean" if column.kind == "number" else "most frequent value"
            have = "has" if count == 1 else "have"
            texts.append(
                f"{count} {_one(rows, count)} {have} no value of {column.name}: the {fill} of the "
                "training rows takes its place"
            )
    return texts


def _one(rows: str, count: int) -> str:
    return rows.removesuffix("s") if count == 1 else rows
