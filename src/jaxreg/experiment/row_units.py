"""The units in which the rows of a dataset come: rows of one unit are alike."""

from typing import NamedTuple

import numpy as np

from jaxreg.cache.datasets import Dataset
from jaxreg.experiment.choose_split import places
from jaxreg.splits.blocks import DEFAULT_RUNS, block_numbers
from jaxreg.splits.column_split import fold_of_rows
from jaxreg.splits.group_column import column_texts, group_values


class RowUnits(NamedTuple):
    """Which unit each row belongs to."""

    numbers: np.ndarray  # (rows,) int64
    word: str  # what such units are called: groups or blocks


def row_units(dataset: Dataset, split: str) -> RowUnits | None:
    """The groups of the split, else blocks in time, else the source's own groups; else None.

    Args:
        dataset: has the rows.
        split: its kind, as blocks:10.

    Raises:
        InputError: the dataset has no such column of groups.
    """
    where = places(dataset)
    name, _, argument = split.partition(":")
    if name == "group":
        return RowUnits(group_values(argument, where["columns"], where["group"]), "groups")
    if name == "column":
        folds = fold_of_rows(argument, column_texts(argument, where["columns"], where["group"]))
        if folds is not None:
            return RowUnits(folds - folds.min(), "groups")
    if name == "blocks" or dataset.sequential:
        runs = int(argument) if name == "blocks" and argument else DEFAULT_RUNS
        return RowUnits(block_numbers(runs, where["order"], where["group"]), "blocks")
    if where["group"] is not None:
        return RowUnits(group_values("group", where["columns"], where["group"]), "groups")
    return None
