"""Folds: every row is held out once, and a slice of what trains is watched for stopping."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from jaxreg.errors import InputError
from jaxreg.splits.blocks import DEFAULT_RUNS, cut_runs, fold_blocks, number_of_runs
from jaxreg.splits.column_split import folds_by_column
from jaxreg.splits.group_column import column_texts, group_names, group_values
from jaxreg.splits.sides import (
    LABEL,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    places_of,
    share_of,
    where_each_went,
)
from jaxreg.splits.split import names_to_hash, refuse_empty_side, unknown_kind


def split_folds(
    folds: int,
    kind: str,
    *,
    digests: Sequence[str],
    ids: Sequence[str],
    order: np.ndarray | None,
    group: Sequence[str] | None,
    columns: pa.Table,
    validation: float,
    gap: float,
    seed: int,
) -> tuple[Split, ...]:
    """One split per fold, whose test rows are the fold; each row is in exactly one.

    Args:
        folds: how many, at least 2.
        kind: blocks[:N], group:COLUMN, column:COLUMN or hash.
        validation: share of the rows outside the fold that early stopping watches.
        digests, ids, order, group, columns, gap, seed: as `split_rows`.

    Raises:
        InputError: another kind, an unknown column, fewer runs or values than folds, or a side
            that would have no rows.
    """
    name, _, argument = kind.partition(":")
    if name in ("blocks", "hash") and folds > len(ids):
        raise InputError(
            f"--folds {folds} of {len(ids)} rows",
            expected="at most as many folds as rows",
            remedy=f"--folds {min(len(ids), DEFAULT_RUNS)}"
            if len(ids) > 1
            else "extract more images",
        )
    if name == "blocks":
        runs = number_of_runs(argument or str(max(DEFAULT_RUNS, folds)), validation, 0.0)
        if runs < folds:
            raise InputError(
                f"--folds {folds} of --split {kind}",
                expected="at most as many folds as blocks",
                remedy=f"--folds {runs}",
            )
        cut = cut_runs(runs, order, group, len(ids), seed)
        splits = fold_blocks(cut, folds, validation, gap, seed)
    elif name == "group":
        splits = _by_group(folds, argument, columns, group, validation, seed)
    elif name == "column":
        texts = column_texts(argument, columns, group)
        splits = folds_by_column(argument, texts, folds, validation)
    elif kind == "hash":
        splits = _by_hash(folds, digests, ids, group, validation)
    elif kind == "tail":
        raise InputError(
            f"--folds {folds} with --split tail, which has only one end",
            expected="group:COLUMN, column:COLUMN, blocks or hash",
            remedy="--split blocks",
        )
    else:
        raise unknown_kind(kind, name, columns)
    for split in splits:
        more = "use fewer --folds, or extract more images" if folds > 2 else "extract more images"
        refuse_empty_side(split, test=1 / folds, remedy=more)
    return tuple(splits)


def _by_group(
    folds: int,
    name: str,
    columns: pa.Table,
    group: Sequence[str] | None,
    validation: float,
    seed: int,
) -> list[Split]:
    """Whole values of a column in one fold, of about equal rows: scikit-learn's GroupKFold."""
    from sklearn.model_selection import GroupKFold, GroupShuffleSplit

    values = group_values(name, columns, group, to_split=True)
    distinct = int(values.max()) + 1
    # outside the largest fold two values must be left, one to train on and one to watch
    if distinct < folds or distinct - -(-distinct // folds) < 2:
        fewer = f"--folds {distinct}" if 3 <= distinct < folds else ""
        raise InputError(
            f"column {name!r} has {distinct} distinct value{'s' * (distinct != 1)}",
            expected=f"enough for {folds} folds; outside each fold, one trains and one validates",
            remedy=fewer or f"extract rows with other values of {name!r} too",
        )
    splits, fold_of_row = [], np.zeros(len(values), np.int64)
    dealing = GroupKFold(folds, shuffle=True, random_state=seed)
    for number, (rest, held_out) in enumerate(dealing.split(values, groups=values)):
        fold_of_row[held_out] = number
        inner = values[rest]
        others = len(np.unique(inner))
        watch = min(int(share_of(validation, others)), others - 1)
        drawing = GroupShuffleSplit(1, test_size=watch, random_state=seed)
        _, stopping = next(drawing.split(rest, groups=inner))
        labels = np.full(len(values), TRAIN, dtype=LABEL)
        labels[held_out], labels[rest[stopping]] = TEST, VALIDATION
        splits.append(Split(labels, f"group:{name}", distinct))
    verbs = {number: (f"is in fold {number}", f"are in fold {number}") for number in range(folds)}
    note = where_each_went(name, group_names(name, columns, group), fold_of_row, verbs)
    return [replace(split, notes=(note,)) for split in splits]


def _by_hash(
    folds: int,
    digests: Sequence[str],
    ids: Sequence[str],
    group: Sequence[str] | None,
    validation: float,
) -> list[Split]:
    """A row's fold, and whether it is stopping in the others, follow from its image alone."""
    names, units, notes = names_to_hash(digests, ids, group)
    fold = (places_of(names) * folds).astype(np.int64)
    stopping = places_of(f"watched:{name}" for name in names) < validation
    splits = []
    for number in range(folds):
        labels = np.where(stopping, VALIDATION, TRAIN).astype(LABEL)
        labels[fold == number] = TEST
        splits.append(Split(labels, "hash", units, notes))
    return splits
