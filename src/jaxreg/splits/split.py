"""Which rows train the head, which stop it, which test it, and which must be left out."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxreg.errors import InputError, nearest
from jaxreg.splits.blocks import by_blocks, cut_runs, number_of_runs
from jaxreg.splits.column_split import read_given_split, split_by_column
from jaxreg.splits.group_column import column_texts, group_names, group_values
from jaxreg.splits.sides import (
    LABEL,
    LEFT_OUT,
    SIDES_OF_VALUES,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    places_of,
    refuse_sides,
    share_of,
    where_each_went,
)

KINDS = ("tail", "hash", "blocks[:N]", "group:COLUMN", "column:COLUMN")
"""What `--split` takes."""

MOST_TRIED = 30  # numbers of blocks, in search of one that a message can offer
FEWEST_DIGESTS = 10  # with fewer distinct images a hash of them is no share of the rows


def split_rows(
    kind: str,
    *,
    digests: Sequence[str],
    ids: Sequence[str],
    order: np.ndarray | None,
    group: Sequence[str] | None,
    columns: pa.Table,
    validation: float,
    test: float,
    gap: float,
    seed: int,
    default: str = "hash",
) -> Split:
    """Put every row of a dataset on one side. docs/splits.md has the rules.

    Args:
        kind: one of KINDS.
        digests: of each row's image, 64 hex digits.
        ids: each row's name, unique.
        order: each row's place within its group, any integers; None: the row number.
        group: the sequence each row belongs to; None: all rows are one sequence.
        columns: the source's columns, one row per id; `group:COLUMN` and `column:COLUMN` look in
            here.
        validation: share of the rows, above 0.
        test: share of the rows, 0 for no test rows; with `validation` below 1.
        gap: blocks only: share of a sequence left out of training beside each edge.
        seed: of the kinds that draw, blocks and group.
        default: the kind that draws validation rows where a column names none.

    Raises:
        InputError: an unknown kind or column, or a side that would have no rows.
    """
    name, _, argument = kind.partition(":")
    if len(ids) < 2:
        raise InputError(
            f"the dataset has {len(ids)} usable row{'s' * (len(ids) != 1)}",
            expected="at least 2, one to train on and one to validate on",
            remedy="extract more images, or use a target with fewer missing values",
        )
    remedy = ""
    if name == "blocks":
        runs = number_of_runs(argument, validation, test)

        def blocks(number: int) -> Split:
            cut = cut_runs(number, order, group, len(ids), seed)
            return by_blocks(cut, validation, test, gap)

        split = blocks(runs)
        if _empty_sides(split, test):
            longer = map(blocks, range(min(runs, MOST_TRIED) - 1, 1 + bool(test), -1))
            works = next((one for one in longer if not _empty_sides(one, test)), None)
            if works is not None:
                remedy = f"--split {works.kind}"
            elif group is not None and len(set(group)) > 1 + bool(test):
                remedy = "--split group:group"
    elif name == "group":
        split = _by_group(argument, columns, group, validation, test, seed)
    elif name == "column":
        texts = column_texts(argument, columns, group)

        def draw(rows: np.ndarray) -> Split:
            return split_rows(
                default,
                digests=_of(digests, rows),
                ids=_of(ids, rows),
                order=None if order is None else order[rows],
                group=None if group is None else _of(group, rows),
                columns=columns.take(rows),
                validation=validation,
                test=0.0,
                gap=gap,
                seed=seed,
            )

        given = read_given_split(argument, texts, None)
        return split_by_column(argument, texts, given, test=test, draw=draw)
    elif kind == "tail":
        labels = np.full(len(ids), TRAIN, dtype=LABEL)
        # Keras' validation_split: the first int(floor(rows * (1 - share))) rows train
        labels[math.floor(len(ids) * (1 - (validation + test))) :] = VALIDATION
        labels[math.floor(len(ids) * (1 - test)) :] = TEST
        split = Split(labels, kind, len(ids))
    elif kind == "hash":
        split = _by_hash(digests, ids, group, validation, test)
    else:
        raise unknown_kind(kind, name, columns)
    refuse_empty_side(split, test, remedy)
    return split


def _of(values: Sequence[str], rows: np.ndarray) -> list[str]:
    return [values[int(row)] for row in rows]


def _by_hash(
    digests: Sequence[str],
    ids: Sequence[str],
    group: Sequence[str] | None,
    validation: float,
    test: float,
) -> Split:
    """A row's side follows from its image alone, so that it never changes as a dataset grows."""
    names, units, notes = names_to_hash(digests, ids, group)
    places = places_of(names)
    labels = np.full(len(places), TRAIN, dtype=LABEL)
    labels[places < validation + test] = TEST
    labels[places < validation] = VALIDATION
    return Split(labels, "hash", units, notes)


def names_to_hash(
    digests: Sequence[str], ids: Sequence[str], group: Sequence[str] | None
) -> tuple[Sequence[str], int, tuple[str, ...]]:
    """What decides each row's side, how many of these differ, and notes on what may leak."""
    names, distinct, notes = digests, len(set(digests)), []
    if distinct < FEWEST_DIGESTS:
        noun = "image" if distinct == 1 else "images"
        notes.append(
            f"There are only {distinct} distinct {noun}, so rows were split by their id: "
            "the same image may stand on both sides."
        )
        names, distinct = ids, len(ids)
    groups = len(set(group)) if group is not None else 1
    if 1 < groups < len(ids):
        notes.append(
            f"The dataset has {groups} groups, and --split hash puts rows of one group on both "
            "sides. --split group:group keeps each group on one side."
        )
    return names, distinct, tuple(notes)


def _by_group(
    name: str,
    columns: pa.Table,
    group: Sequence[str] | None,
    validation: float,
    test: float,
    seed: int,
) -> Split:
    """Whole values of a column on one side, drawn by scikit-learn's GroupShuffleSplit."""
    from sklearn.model_selection import GroupShuffleSplit

    values = group_values(name, columns, group, to_split=True)
    distinct = int(values.max()) + 1
    wanted = 3 if test else 2
    if distinct < wanted:
        raise InputError(
            f"column {name!r} has {distinct} distinct value{'s' * (distinct != 1)}",
            expected=f"at least {wanted}, one for each side",
            remedy=f"extract rows with other values of {name!r} too",
        )
    # Counts, and a value spared for each other side: scikit-learn refuses shares that leave none.
    tests = min(int(share_of(test, distinct)), distinct - 2)
    validations = min(int(share_of(validation, distinct)), distinct - 1 - tests)

    labels = np.full(len(values), TRAIN, dtype=LABEL)
    rows = np.arange(len(values))
    for label, size in [(TEST, tests), (VALIDATION, validations)]:
        if size:
            drawing = GroupShuffleSplit(n_splits=1, test_size=size, random_state=seed)
            rest, held_out = next(drawing.split(rows, groups=values[rows]))
            labels[rows[held_out]] = label
            rows = rows[rest]
    note = where_each_went(name, group_names(name, columns, group), labels, SIDES_OF_VALUES)
    return Split(labels, f"group:{name}", distinct, (note,))


def unknown_kind(kind: str, name: str, columns: pa.Table) -> InputError:
    near = nearest(name, [known.partition("[")[0].partition(":")[0] for known in KINDS])
    column = kind.rpartition(":")[2]
    if column in columns.column_names:
        refuse_sides(column, columns[column])
        return InputError(
            f"no split {kind!r}", expected=", ".join(KINDS), remedy=f"--split group:{column}"
        )
    return InputError(
        f"no split {kind!r}",
        expected=", ".join(KINDS),
        remedy=f"--split {_meant(near, kind)}" if near else "leave --split out: jaxreg chooses one",
    )


def _meant(near: str, kind: str) -> str:
    """The split of a misspelt kind, with the number or column that was given."""
    argument = kind.partition(":")[2]
    if near in ("group", "column"):
        return f"{near}:{argument or 'COLUMN'}"
    return f"blocks:{argument}" if near == "blocks" and argument else near


def refuse_empty_side(split: Split, test: float, remedy: str = "") -> None:
    """Raise InputError if a side has no rows, with that remedy or a general one.

    No remedy offers a weaker split, which would put rows that are alike on both sides.
    """
    for side in _empty_sides(split, test):
        sides = (TRAIN, VALIDATION, TEST, LEFT_OUT) if test else (TRAIN, VALIDATION, LEFT_OUT)
        counts = ", ".join(f"{(split.labels == name).sum()} {name}" for name in sides)
        share = (
            "use a smaller --validation or --test" if side == TRAIN else f"use a greater --{side}"
        )
        raise InputError(
            f"--split {split.kind} leaves no {side} rows ({counts})",
            expected="at least 1 row on each side",
            remedy=remedy or f"{share}, or extract more images",
        )


def _empty_sides(split: Split, test: float) -> list[str]:
    sides = (TRAIN, VALIDATION, TEST) if test else (TRAIN, VALIDATION)
    return [side for side in sides if not (split.labels == side).any()]
