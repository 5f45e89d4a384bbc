"""The weight of each row: a column of the dataset, and what must hold of it."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxreg.cache.datasets import Dataset
from jaxreg.entry_weights import entry_weights
from jaxreg.errors import InputError, nearest
from jaxreg.experiment.choose import as_kept
from jaxreg.splits import Split
from jaxreg.target_numbers import LARGEST
from jaxreg.train_config import TrainConfig


def choose_weights(dataset: Dataset, y: np.ndarray, config: TrainConfig) -> np.ndarray:
    """(rows, targets) the weight of each number, as `entry_weights`; 1 without a weight column.

    Args:
        dataset: has the rows.
        y: (rows, targets), NaN where a target is missing.
        config: has `weight_column` and the names of the targets.

    Raises:
        InputError: the column is not there, is a target or holds no numbers; a row that is used has
            no weight, an infinite one, or one below 0.
    """
    asked = config.weight_column
    if asked is None:
        return entry_weights(y)
    name = as_kept(dataset, asked)
    if name in config.target:
        raise InputError(
            f"--weight-column {asked}, which is a target of the run",
            expected="a column that says how much a row counts",
            remedy="leave --weight-column out, or use another column",
        )
    if name not in dataset.numeric_columns:
        found = f"no column {asked!r} in {dataset.name}"
        if name in dataset.source_columns:
            found = f"the weight column {asked} holds {dataset.table[name].type}, not numbers"
        near = nearest(asked, dataset.numeric_columns)
        raise InputError(
            found,
            expected=f"one of its columns of numbers: {', '.join(dataset.numeric_columns)}",
            remedy=f"--weight-column {near}" if near and near != asked else "",
        )
    column = dataset.table[name].cast(pa.float64(), safe=False)
    weights = column.to_numpy(zero_copy_only=False)
    used = ~np.isnan(y).all(axis=1)
    faults = [
        (np.isnan(weights), "has no number"),
        (weights < 0, "is below 0"),
        (weights > LARGEST, f"is above {LARGEST:g}"),
    ]
    for wrong, what in faults:
        if (rows := np.flatnonzero(wrong & used)).size:
            first, others = rows[0], len(rows) - 1
            value = "" if np.isnan(weights[first]) else f" ({weights[first]:g})"
            also = f", and in {others} more rows" if others else ""
            raise InputError(
                f"the weight column {asked} {what} in {dataset.ids[first]}{value}{also}",
                expected="a number, 0 or more, in each row with a target",
                remedy=f"correct these cells in the source, then: {dataset.extract_command()}",
            )
    return entry_weights(y, np.where(used, weights, 0.0))


def check_sides(weights: np.ndarray, splits: Sequence[Split], config: TrainConfig) -> None:
    """Raise InputError if the rows of a side do not have what a training needs.

    Each target needs a number with a weight in the training rows, and one in the validation rows.
    In a fold, which scores other rows, some target is enough for the validation rows.
    """
    for number, split in enumerate(splits):
        where = f" of fold {number}" if len(splits) > 1 else ""
        train, validation = (split.labels == side for side in ("train", "validation"))
        held_out = (weights[validation] > 0).any(axis=0)
        if len(splits) > 1:
            held_out |= held_out.any()
        sides = [("training", (weights[train] > 0).any(axis=0)), ("validation", held_out)]
        for side, has in sides:
            if has.all():
                continue
            name = config.target[int(np.flatnonzero(~has)[0])]
            weight = config.weight_column
            what = "weight above 0" if weight and not has.any() else f"number for {name}"
            also = f" with a weight ({weight}) above 0" if weight and has.any() else ""
            of = f" in {weight}" if weight and not has.any() else ""
            raise InputError(
                f"no {side} row{where} has a {what}{also}{of}",
                expected=f"{side} rows with a number for each target"
                + (f" and a weight above 0 in {weight}" if weight else ""),
                remedy="use another --split, or leave this target out"
                if has.any()
                else f"correct the column {weight} in the source, or leave --weight-column out"
                if weight
                else "",
            )
