"""The table of an evaluation: a row for each example, with its errors and slices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from jaxreg.evaluation.labelled_rows import LabelledRows
from jaxreg.label_scores import label_scores
from jaxreg.new_predictions import NewPredictions
from jaxreg.prediction_table import prediction_table
from jaxreg.slices.row_slices import Slicings, by_target
from jaxreg.sources.examples import Examples
from jaxreg.target_types import difference, held

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


def evaluation_table(
    run: "TrainedRun",
    examples: Examples,
    new: NewPredictions,
    rows: LabelledRows,
    slicings: Slicings,
    brightness: np.ndarray,
) -> pa.Table:
    """The columns of `jaxreg predict`, and the errors and slices of the rows that are scored.

    `error.<name>` is prediction less target (the shorter way around a circle),
    `absolute_error.<name>` its size, `slice.target.<name>` the range of its decile.
    `label_score.<name>` is that of `jaxreg.label_scores`, of rows that did not train the run.
    `slice.<name>` is the value that a slice is of, `trained` whether the row trained the run,
    `brightness` that of the image on average, from 0 to 1. `reason` stays the last column.
    """
    types = run.number_types
    each = dict(zip(run.targets, held(run.types, new.predictions, types), strict=True))
    table = prediction_table(examples, each, types, new.reasons)
    more: dict[str, Any] = {}
    error = difference(run.types, rows.predictions, rows.y)
    for number, name in enumerate(run.targets):
        more[f"error.{name}"] = _spread(table, rows, error[:, number])
        more[f"absolute_error.{name}"] = _spread(table, rows, np.abs(error[:, number]))
    for number, name in enumerate(run.targets):
        more[f"slice.target.{name}"] = _texts(table, rows, by_target(rows.y[:, number]).texts)
    for number, (name, kind) in enumerate(zip(run.targets, run.types, strict=True)):
        y = np.where(rows.trained, np.nan, rows.y[:, number])  # its prediction has seen the label
        scores = label_scores(y, rows.predictions[:, number], kind)
        more[f"label_score.{name}"] = _spread(table, rows, scores)
    for by, slicing in slicings.items():
        more[f"slice.{by}"] = _texts(table, rows, slicing.texts)
    if np.isfinite(brightness).any():
        more["brightness"] = _spread(table, rows, brightness)
    trained = np.full(table.num_rows, False)
    trained[: len(new.trained)] = new.trained
    more["trained"] = pa.array(trained)
    for name, values in more.items():
        table = table.add_column(table.num_columns - 1, name, values)
    return table


def _spread(table: pa.Table, rows: LabelledRows, values: np.ndarray) -> pa.Array:
    """Numbers of the scored rows as a column of the table; null elsewhere."""
    whole = np.full(table.num_rows, np.nan)
    whole[rows.numbers] = values
    return pa.array(whole, from_pandas=True)


def _texts(table: pa.Table, rows: LabelledRows, values: Sequence[str | None]) -> pa.Array:
    whole = np.full(table.num_rows, None, object)
    whole[rows.numbers] = values
    return pa.array(whole.tolist(), pa.string())
