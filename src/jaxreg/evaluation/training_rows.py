"""What is known of the rows of a run: its training targets, its held-out rows, its features."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from jaxreg.cache.chosen_features import read_wanted
from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.store import Cache
from jaxreg.entry_weights import entry_weights
from jaxreg.errors import InputError
from jaxreg.evaluation.labelled_rows import numbered, units_of
from jaxreg.experiment.choose import as_kept
from jaxreg.new_predictions import KnownRows
from jaxreg.slices.brightness import brightness_of
from jaxreg.sources.examples import DIGEST
from jaxreg.verdict.checks.new_images import Images, spread_rows

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


class RunRows(NamedTuple):
    """Some rows of a run, of one side."""

    y: np.ndarray  # (rows, targets) float64, NaN where a target is missing
    predictions: np.ndarray  # (rows, targets) float64
    weights: np.ndarray  # (rows, targets) as `entry_weights`
    units: np.ndarray | None  # (rows,) which rows are alike; None: rows alone


def training_rows(run: "TrainedRun", known: KnownRows | None) -> RunRows | None:
    """The rows that trained a run; None for a bundle, which has no table of them."""
    sides = ("train", "validation") if run.settings.folds else ("train",)
    return _rows(run, known, sides)


def held_out_rows(run: "TrainedRun", known: KnownRows | None) -> RunRows | None:
    """The rows that the scores of a run are of; None for a bundle."""
    return _rows(run, known, ("validation",))


def _rows(run: "TrainedRun", known: KnownRows | None, sides: Sequence[str]) -> RunRows | None:
    try:
        table = run.predictions if known is None else known.table
    except InputError:  # a bundle
        return None
    rows = np.flatnonzero(np.isin(table["split"].to_pylist(), sides))
    columns = [
        np.stack([_numbers(table[f"{kind}.{name}"]) for name in run.targets], axis=1)[rows]
        for kind in ("target", "prediction")
    ]
    units = None
    if "unit" in table.column_names:
        names = np.array(table["unit"].to_pylist(), object)[rows]
        if len(rows) and all(name is not None for name in names):
            units = numbered(names.tolist())
    elif known is not None:  # an older run
        units = _units(known.dataset.rows(rows), run)
    weights = entry_weights(columns[0])
    column = run.settings.weight_column
    if known is not None and column is not None:
        of_rows = _numbers(known.dataset.table[as_kept(known.dataset, column)])[rows]
        weights = entry_weights(columns[0], np.nan_to_num(of_rows))
    return RunRows(columns[0], columns[1], weights, units)


def _units(dataset: Dataset, run: "TrainedRun") -> np.ndarray | None:
    names = units_of(dataset, run.settings.split)
    return None if names is None else numbered(names)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def training_images(run: "TrainedRun", known: KnownRows, store: Cache) -> Images:
    """The features of some of the rows that trained a run.

    Raises:
        InputError: they are not in the cache, or damaged.
    """
    rows = np.flatnonzero(known.trained)
    units = _units(known.dataset.rows(rows), run)
    some = spread_rows(len(rows))
    dataset = known.dataset.rows(rows[some])
    x = read_wanted(store, run.features.wanted(dataset))
    brightness = brightness_of(store, _pictures(dataset), run.features.range)
    return Images(x, None if units is None else units[some], brightness, len(rows))


def _pictures(dataset: Dataset) -> list[str | None]:
    return dataset.pictures if DIGEST in dataset.table.column_names else [None] * len(dataset)
