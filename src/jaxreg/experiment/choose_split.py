"""Which side of the split each row of a dataset is on."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from jaxreg.cache.dataset_table import Dataset
from jaxreg.errors import InputError
from jaxreg.experiment.choose import as_kept, numbers
from jaxreg.splits import Split, split_folds, split_rows
from jaxreg.splits.column_split import NAMES, GivenSplit, read_given_split
from jaxreg.splits.group_column import column_texts
from jaxreg.splits.sides import LEFT_OUT, TEST, TRAIN, VALIDATION
from jaxreg.train_config import TrainConfig


def choose_split(
    dataset: Dataset, y: np.ndarray, config: TrainConfig, weights: np.ndarray | None = None
) -> tuple[Split, tuple[Split, ...]]:
    """The split of all rows, and that of each fold; no folds where none are asked for or given.

    With folds, a row validates if one of them holds it out. Rows without any target are left out,
    and rows without a weight do not train.

    Args:
        dataset: has the rows.
        y: (rows, targets), NaN where a target is missing.
        config: the settings; a column of folds needs no number of folds.
        weights: (rows, targets), as `entry_weights`; None: 1.

    Raises:
        InputError: no row has some target; `jaxreg.splits` cannot split the rows.
    """
    usable = np.asarray(~np.isnan(y).all(axis=1))
    have = (~np.isnan(y)).sum(axis=0)
    if not have.all():
        lacking = [name for name, count in zip(config.target, have, strict=True) if not count]
        others = [name for name in config.target if name not in lacking]
        raise InputError(
            f"no row of {dataset.name} has a number for {' and '.join(lacking)}",
            expected="rows with a number for each target",
            remedy=f"--target {' '.join(others)}" if others else "",
        )
    kept = dataset.rows(np.flatnonzero(usable))
    where = places(kept)
    default = "blocks" if dataset.sequential else "hash"
    kind, grouped = config.split or default, len(set(where["group"] or ())) > 1
    common: dict[str, Any] = {
        "digests": kept.split_digests,
        "ids": kept.ids,
        **where,
        "validation": config.validation,
        "gap": config.gap,
        "seed": config.seed,
    }

    def all_rows(split: Split) -> Split:
        labels = np.full(len(dataset), LEFT_OUT, dtype=object)
        labels[usable] = split.labels
        if weights is not None:
            labels[(labels == TRAIN) & ~(weights > 0).any(axis=1)] = LEFT_OUT
        return replace(split, labels=labels)

    name, _, column = kind.partition(":")
    given = None
    if name == "column":
        texts = column_texts(column, where["columns"], where["group"])
        given = read_given_split(column, texts, config.folds)
    number = len(given.names) if given and given.folds is not None else config.folds
    if number is None:
        drawing = "group:group" if grouped and not dataset.sequential else default
        split = split_rows(kind, test=config.test, default=drawing, **common)
        return all_rows(split), ()
    replace(config, folds=number)  # refuses too many, which would take all memory
    folds = split_folds(number, kind, **common)
    held_out = np.stack([fold.labels == TEST for fold in folds])
    sizes = held_out.sum(axis=1).tolist()
    note = (
        f"{len(folds)} folds of {_from_to(min(sizes), max(sizes))} rows. The head of a fold "
        "trains and stops on rows of the other folds. It is scored on the rows of its own fold."
    )
    of_all = [one for one in folds[0].notes if all(one in fold.notes for fold in folds)]
    others = LEFT_OUT if given is None else given.sides
    labels = np.where(held_out.any(axis=0), VALIDATION, others)
    whole = replace(folds[0], labels=labels, notes=(note, *of_all))
    return all_rows(whole), tuple(map(all_rows, folds))


def unused_split_columns(dataset: Dataset) -> list[str]:
    """A sentence on each column that is called like a split and holds one."""
    notes = []
    for name, given in _given_splits(dataset, _called_like_a_split(dataset)).items():
        found = "the fold" if given.folds is not None else "the side"
        notes.append(
            f"column {name!r} names {found} of each row. This run did not use it: "
            f"--split column:{name} does"
        )
    return notes


def split_to_offer(dataset: Dataset, targets: Sequence[str]) -> str:
    """The split that a training needs on these rows; "" where that is the default one.

    It is that of a column, else that of the groups. Rows of sequences are split in blocks. A split
    that `choose_split` refuses is not offered.
    """
    group = as_kept(dataset, dataset.options.group_column or "group")
    where = places(dataset)
    kinds: list[str] = []
    names = _called_like_a_split(dataset)
    if len(set(where["group"] or ())) > 1:
        group = group if group in dataset.source_columns else "group"
        names.append(group)  # folders may be called train and val
        kinds += [] if dataset.sequential else [f"group:{group}"]
    given = [f"column:{name}" for name in _given_splits(dataset, names)]
    for kind in (*given, *kinds):
        with suppress(InputError):
            y = np.stack([numbers(dataset, name) for name in targets], axis=1)
            choose_split(dataset, y, TrainConfig(target=tuple(targets), split=kind))
            return kind
    return ""


def _called_like_a_split(dataset: Dataset) -> list[str]:
    return list(filter(NAMES.fullmatch, dataset.source_columns))


def _given_splits(dataset: Dataset, names: Sequence[str]) -> dict[str, GivenSplit]:
    """The split that each of these columns holds, of those that hold one."""
    where, found = places(dataset), {}
    for name in names:
        with suppress(InputError):  # words of another kind
            texts = column_texts(name, where["columns"], where["group"])
            found[name] = read_given_split(name, texts, None)
    return found


def places(dataset: Dataset) -> dict[str, Any]:
    """Where each row stands, as `splits` takes it."""
    table = dataset.table
    group = table["group"].to_pylist() if "group" in table.column_names else None
    return {"order": table["order"].to_numpy(), "group": group, "columns": table}


def _from_to(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"
