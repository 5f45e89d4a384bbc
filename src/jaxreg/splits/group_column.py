"""The values of a column that decides the split: groups of rows, or words and folds."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxreg.common import arrow_compute as pc
from jaxreg.errors import InputError, nearest
from jaxreg.sources.examples import WRITTEN, is_reserved
from jaxreg.splits.sides import refuse_sides


def group_values(
    name: str, columns: pa.Table, group: Sequence[str] | None, *, to_split: bool = False
) -> np.ndarray:
    """The group of each row as a number from 0, in the order of the values.

    Values of any type are names; the text that numbers do not keep counts, so 007 and 7 are two.
    Missing values and NaN are one value, the last.

    Args:
        to_split: whether the groups decide the sides of the rows.

    Raises:
        InputError: there is no such column, or the sides are to follow from a column that names
            sides itself.
    """
    values = _column("group", name, columns, group)
    if to_split:
        refuse_sides(name, values)
    return _dense_ranks(values)


def group_names(name: str, columns: pa.Table, group: Sequence[str] | None) -> list[str]:
    """The value that `group_values` numbers, of each row, as text; `no value` where it is missing.

    Raises:
        InputError: there is no such column.
    """
    values = _column("group", name, columns, group)
    if pa.types.is_temporal(values.type):  # Python lacks some times
        values = values.cast(pa.string())
    return ["no value" if v is None or v != v else str(v) for v in values.to_pylist()]


def column_texts(name: str, columns: pa.Table, group: Sequence[str] | None) -> list[str | None]:
    """The values of a column as text; None for a missing one and for NaN. 1.0 is 1.

    Raises:
        InputError: there is no such column.
    """
    values = _column("column", name, columns, group)
    if pa.types.is_floating(values.type):
        values = pa.array(_floats(values) + 0, from_pandas=True)  # -0.0 is 0
    return values.cast(pa.string()).to_pylist()


def _column(
    kind: str, name: str, columns: pa.Table, group: Sequence[str] | None
) -> pa.Array | pa.ChunkedArray:
    if name == "group" and group is not None:
        return pa.array(group, pa.string())
    if name in columns.column_names:
        text = WRITTEN + name
        return columns[text if text in columns.column_names else name]
    candidates = [column for column in columns.column_names if not is_reserved(column)]
    if group is not None:
        candidates.append("group")
    near = nearest(name, candidates)
    problem = "the dataset has no such column" if name else "no column is named"
    again = "" if candidates else "extract again with --group-column COLUMN"
    raise InputError(
        f"--split {kind}:{name}, but {problem}",
        expected=f"a column of the dataset: {', '.join(candidates) or 'it has none'}",
        remedy=f"--split {kind}:{near}" if near else again,
    )


def _floats(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The numbers, NaN where one is missing."""
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _dense_ranks(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_floating(values.type):
        values = pa.array(_floats(values), from_pandas=True)
    ranks = pc.rank(  # pyright: ignore[reportAttributeAccessIssue] (made on import)
        values, sort_keys="ascending", tiebreaker="dense"
    )
    return ranks.to_numpy().astype(np.int64) - 1
