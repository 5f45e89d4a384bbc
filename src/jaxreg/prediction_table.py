"""The table that `jaxreg predict` writes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.sources.examples import Examples


def prediction_table(
    examples: Examples,
    predictions: Mapping[str, np.ndarray],
    types: Sequence[type[np.floating]],
    reasons: Mapping[int, str],
) -> pa.Table:
    """One row per example: id, `prediction.<name>`, `target.<name>` if there is one, reason.

    What the source itself could not use follows at the end.

    Args:
        examples: what was predicted.
        predictions: by target (examples,) float64, NaN where there is none.
        types: the type of each target's predictions.
        reasons: why there is no prediction, by number of the example.
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
    columns["reason"] = pa.array([*why, *(reason for _, reason in left_out)], pa.string())
    return pa.table(columns)
