"""The units in which the rows of a dataset come: rows of one unit are alike."""

from typing import NamedTuple

import numpy as np

from jaxreg.cache.dataset_table import Dataset
from jaxreg.experiment.choose_split import places
from jaxreg.splits.blocks import block_numbers
from jaxreg.splits.group_column import group_values
from jaxreg.splits.held_out_groups import runs_of_kind, unit_values


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
    if (values := unit_values(split, where["columns"], where["group"])) is not None:
        return RowUnits(values, "groups")
    if split.startswith("blocks") or dataset.sequential:
        runs = runs_of_kind(split)
        return RowUnits(block_numbers(runs, where["order"], where["group"]), "blocks")
    if where["group"] is not None:
        return RowUnits(group_values("group", where["columns"], where["group"]), "groups")
    return None
