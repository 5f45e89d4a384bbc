"""The units in which the rows of a dataset come: rows of one unit are alike."""

from typing import NamedTuple

import numpy as np

from jaxreg.cache.dataset_table import Dataset
from jaxreg.experiment.choose_split import places
from jaxreg.splits.blocks import block_numbers
from jaxreg.splits.group_column import group_names, group_values
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


def unit_names(dataset: Dataset, split: str) -> list[str] | None:
    """The name of the unit of each row: `block 1` in the order of time, or a group's own value.

    Args, errors and None: as `row_units`.
    """
    units, where = row_units(dataset, split), places(dataset)
    if units is None:
        return None
    sequences = where["group"]
    if units.word == "groups":
        name, _, column = split.partition(":")
        own = column if name in ("group", "column") else "group"
        return group_names(own, where["columns"], sequences)
    of = sequences if sequences is not None and len(set(sequences)) > 1 else None
    names, last = dict[int, str](), dict[str, int]()
    for row in np.argsort(where["order"], kind="stable").tolist():
        number = int(units.numbers[row])
        if number not in names:
            sequence = "" if of is None else f"{of[row]} "
            last[sequence] = last.get(sequence, 0) + 1
            names[number] = f"{sequence}block {last[sequence]}"
    return [names[number] for number in units.numbers.tolist()]
