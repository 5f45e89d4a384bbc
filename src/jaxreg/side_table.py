"""Side columns that Python code hands over, as a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.errors import InputError, reading
from jaxreg.side_columns import SideColumns
from jaxreg.sources.as_written import Columns
from jaxreg.sources.columns import no_columns, scalar_columns, without_reserved

TABLES = "a dict, a DataFrame or a table of Arrow"


def side_table(given: object, side: SideColumns, rows: int) -> pa.Table:
    """The side columns of some rows.

    Args:
        given: a dict of columns, a DataFrame of pandas or polars, or a table of Arrow, with one row
            for each image. In a dict, a single value is that of a single image. None: there are
            none.
        side: the side columns of the run.
        rows: how many rows there must be.

    Raises:
        InputError: it is no table, of another length, given for a run without side columns, or not
            given for a run with some.
    """
    if given is None and side:
        raise InputError(
            f"the run needs its side columns beside the features: {', '.join(side.names)}",
            expected=f"side={TABLES} of them, with a row for each image",
        )
    if given is None:
        return no_columns(rows)
    if not side:
        raise InputError("side columns for a run that has none", remedy="leave side= out")
    with reading("the side columns", expected=f"{TABLES}, with columns of one length"):
        table = pa.table(_arrays(given) if isinstance(given, Mapping) else given)
        columns, _ = scalar_columns(Columns(table))
    if table.num_rows != rows:
        raise InputError(
            f"{table.num_rows} rows of side columns for {rows} rows", expected="one for each"
        )
    return without_reserved(columns.values)


def _arrays(columns: Mapping[Any, Any]) -> dict[str, pa.Array]:
    return {
        str(name): pa.array([values] if np.ndim(values) == 0 else values, from_pandas=True)
        for name, values in columns.items()
    }
