"""Columns of any source → the scalar columns that a dataset keeps, in few types."""

import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.common import arrow_compute as pc
from jaxreg.errors import InputError
from jaxreg.sources.as_written import Columns
from jaxreg.sources.examples import RESERVED, WRITTEN
from jaxreg.sources.naming import unique
from jaxreg.sources.text_order import text_ranks

_BOOKKEEPING = re.compile(
    r"_*index(_level_\d+_*)?|.*_index|unnamed.*|frame([ _]?(id|no|number|index))?|row"
    r"|time|date|.*timestamp.*|.*_ms",
    re.IGNORECASE,
)
_FRAME_OR_TIME = re.compile(
    r"frame([ _]?(id|no|number|index))?|time|.*timestamp.*|.*_ms", re.IGNORECASE
)


def scalar_columns(read: Columns) -> tuple[Columns, list[str]]:
    """The columns of numbers, booleans, strings and times, and the names of the others.

    Dictionaries become their values. Decimals become float64 and keep their text; columns without
    any value become float64. All kinds of string become plain string. Times of a zone that this
    machine does not know become those of UTC, which are the same moments.
    """
    table = read.values
    kept, text, dropped, notes = {}, dict(read.text), [], list(read.notes)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if (kind := _plain(column.type)) is None:
            dropped.append(name)
        else:
            if unknown := _unknown_zone(kind):
                notes.append(f"column {name!r} has the time zone {unknown!r}, which is not known "
                             "here; its times are kept as those of UTC")  # fmt: skip
                kind = pa.timestamp(kind.unit, "UTC")
            kept[name] = column.cast(kind)
            if pa.types.is_decimal(column.type):
                text[name] = column.cast(pa.string())
    values = pa.table(kept) if kept else no_columns(table.num_rows)
    return Columns(values, text, tuple(notes), read.explained), dropped


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers, as a target does."""
    t = pa.types
    kinds = (t.is_integer, t.is_floating, t.is_decimal, t.is_boolean)
    return any(is_kind(kind) for is_kind in kinds)


def no_columns(count: int) -> pa.Table:
    """A table of so many rows and no column; `pa.table({})` and `take` would make none."""
    return pa.table({"": pa.nulls(count)}).select([])


def take(table: pa.Table, rows: Sequence[int] | np.ndarray) -> pa.Table:
    """Some rows of a table that may have no columns."""
    return table.take(rows) if table.num_columns else no_columns(len(rows))


def _plain(kind: pa.DataType) -> pa.DataType | None:
    """The type in which a dataset keeps a column of this type; None if it is no scalar."""
    t = pa.types
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return pa.string()
    if t.is_decimal(kind) or t.is_null(kind):
        return pa.float64()
    if t.is_float16(kind):
        return pa.float32()
    simple = (t.is_integer, t.is_floating, t.is_boolean, t.is_temporal)
    return kind if any(is_kind(kind) for is_kind in simple) else None


def _unknown_zone(kind: pa.DataType) -> str:
    """The zone of a type of times, "" for one that is known or none."""
    if not pa.types.is_timestamp(kind) or kind.tz is None:
        return ""
    try:
        pa.array([0], kind).cast(pa.string())
    except pa.ArrowException:
        return kind.tz
    return ""


def from_rows(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """JSON objects as a table of all their keys; values of mixed kinds become strings."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in values])


def columns_together(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables and the columns of any; values of mixed kinds become strings."""
    names = dict.fromkeys(name for table in tables for name in table.column_names)
    if not names:
        return no_columns(sum(table.num_rows for table in tables))
    kept = {}
    for name in names:
        parts = [
            pa.nulls(t.num_rows, pa.null()) if t.schema.get_field_index(name) < 0 else t[name]
            for t in tables
        ]
        single = [pa.table({name: part}) for part in parts]
        try:
            kept[name] = pa.concat_tables(single, promote_options="permissive")[name]
        except pa.ArrowException:
            texts = [table.cast(pa.schema([(name, pa.string())])) for table in single]
            kept[name] = pa.concat_tables(texts)[name]
    return pa.table(kept)


def bookkeeping(table: pa.Table, serving: Collection[str | None] = ()) -> tuple[str, ...]:
    """Columns that are never a default target: index, order and time ones, and those `serving`.

    A column without any value is one too, so that the only numeric column stays the only one.
    """
    empty = [name for name in table.column_names if table[name].null_count == len(table)]
    return bookkeeping_of(table.schema, [*serving, *empty])


def bookkeeping_of(schema: pa.Schema, known: Collection[str | None]) -> tuple[str, ...]:
    """As `bookkeeping`, with those `known` to be: they serve, or have no value."""
    return tuple(
        field.name
        for field in schema
        if field.name in known
        or field.name.startswith("source.")
        or _BOOKKEEPING.fullmatch(field.name)
        or pa.types.is_temporal(field.type)
    )


def frame_or_time(names: Sequence[str]) -> list[str]:
    """The columns that `unlike_row_order` looks at."""
    return [name for name in names if _FRAME_OR_TIME.fullmatch(name)]


def without_reserved(
    table: pa.Table, serving: Collection[str | None] = (), names: Sequence[str] = RESERVED
) -> pa.Table:
    """Rename columns with a reserved name to `source.<name>`; leave out the `serving` ones.

    A column serves if the dataset's column of that name comes from it, as `id` from the ids.
    """
    left = [n for n in table.column_names if not (n in names and n in serving)]
    taken = [name for name in left if name in names or name.startswith(WRITTEN)]
    renamed = [f"source.{name}" if name in taken else name for name in left]
    return table.select(left).rename_columns(unique(renamed))


def ranks(column: pa.ChunkedArray, rows: Sequence[int]) -> tuple[np.ndarray, str]:
    """int64 (n,) in the order of the values: whole numbers as they are, others by rank from 0.

    Equal values have equal ranks. The column has no nulls. Of text (`text_ranks`), the sentence
    names the first value that looks out of place; it is "" for all else.
    """
    if pa.types.is_integer(column.type) and column.type != pa.uint64():
        return column.cast(pa.int64()).to_numpy(), ""
    if pa.types.is_string(column.type):
        return text_ranks(column.to_pylist(), rows)
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
    values = column.to_numpy()
    return np.unique(values, return_inverse=True)[1].astype(np.int64), ""


def unlike_row_order(table: pa.Table, rows: Sequence[int], group: Sequence[str] | None) -> str:
    """A sentence on the first column of frames or times that is not in the order of the rows.

    Args:
        table: the columns of a source whose rows have no other order.
        rows: the number of each row, for the sentence.
        group: the sequence of each row; the order counts within it.
    """
    sequence = np.unique(group or [""] * len(table), return_inverse=True)[1]
    for name in frame_or_time(table.column_names):
        there = np.flatnonzero(~np.array(missing(table[name]), bool))
        there = there[np.argsort(sequence[there], kind="stable")]
        try:
            rank = ranks(table[name].take(there), there.tolist())[0]
        except InputError:  # dates of two meanings
            continue
        back = np.flatnonzero((np.diff(rank) < 0) & (np.diff(sequence[there]) == 0))
        if len(back):
            before, after = there[back[0] : back[0] + 2].tolist()
            first, second = table[name].take([before, after]).cast(pa.string()).to_pylist()
            return (
                f"the rows are not in the order of column {name!r}: row {rows[after]} (from 0) "
                f"has {second} after {first}; if the images follow one another in time, use "
                f"--order-column {name}, and --group-column for the column of their sequences"
            )
    return ""


def missing(column: pa.ChunkedArray) -> list[bool]:
    """(n,) whether a row has no value: null, NaN or text of blanks."""
    if pa.types.is_string(column.type):
        return [value is None or not value.strip() for value in column.to_pylist()]
    # Python has no times as early, as late or as exact as Arrow
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type)).to_pylist()
