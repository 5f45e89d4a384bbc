"""The table that `jaxreg predict` writes, as a file of its format."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.common.files import write_whole
from jaxreg.common.json_files import json_line
from jaxreg.new_intervals import NewIntervals
from jaxreg.sources.examples import Examples

FORMATS = (".csv", ".parquet", ".jsonl")
"""The endings of the names of files that `write_table` writes."""


def prediction_table(
    examples: Examples,
    predictions: Mapping[str, np.ndarray],
    types: Sequence[type[np.floating]],
    reasons: Mapping[int, str],
    intervals: NewIntervals | None = None,
) -> pa.Table:
    """One row per example: id, `prediction.<name>`, `target.<name>` if there is one, reason.

    With intervals, `low.<name>` and `high.<name>` of each target and `unlike` stand before the
    reason. What the source itself could not use follows at the end.

    Args:
        examples: what was predicted.
        predictions: by target (examples,) float64, NaN where there is none.
        types: the type of each target's predictions.
        reasons: why there is no prediction, by number of the example.
        intervals: those of the examples.
    """
    left_out = examples.unusable
    ids = [*examples.ids, *(name for name, _ in left_out)]
    why = [reasons.get(row, "") for row in range(len(examples))]
    padding = np.full(len(left_out), np.nan)
    columns: dict[str, Any] = {"id": pa.array(ids, pa.string())}
    for (name, values), kind in zip(predictions.items(), types, strict=True):
        numbers = np.concatenate([values, padding]).astype(kind)
        columns[f"prediction.{name}"] = pa.array(numbers, from_pandas=True)
    for name in predictions:
        if name in examples.columns.column_names:
            values = examples.columns[name].to_pylist() + [None] * len(left_out)
            columns[f"target.{name}"] = pa.array(values, from_pandas=True)
    if intervals is not None:
        for name, *both in zip(predictions, intervals.low, intervals.high, strict=True):
            for end, values in zip(("low", "high"), both, strict=True):
                numbers = np.concatenate([values, padding.astype(values.dtype)])
                columns[f"{end}.{name}"] = pa.array(numbers, from_pandas=True)
        far = np.concatenate([intervals.unlike, padding.astype(np.float32)])
        columns["unlike"] = pa.array(far, from_pandas=True)
    columns["reason"] = pa.array([*why, *(reason for _, reason in left_out)], pa.string())
    return pa.table(columns)


def write_table(out: Path, table: pa.Table) -> None:
    """Write a table as its file's name says. Raises InputError where it cannot be written."""
    from pyarrow import csv, parquet

    sink = pa.BufferOutputStream()
    if out.suffix == ".csv":
        csv.write_csv(table, sink)
    elif out.suffix == ".parquet":
        parquet.write_table(table, sink)
    else:
        sink.write("".join(json_line(row) + "\n" for row in table.to_pylist()).encode())
    write_whole(out, sink.getvalue().to_pybytes())
