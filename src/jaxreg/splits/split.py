"""Which rows train the head, which stop it, which test it, and which must be left out."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxreg.errors import InputError, nearest
from jaxreg.sources.examples import RESERVED
from jaxreg.splits.blocks import by_blocks, cut_runs, number_of_runs
from jaxreg.splits.sides import LABEL, LEFT_OUT, TEST, TRAIN, VALIDATION, Split, places_of, share_of

KINDS = ("tail", "hash", "blocks[:N]", "group:COLUMN")
"""What `--split` takes."""

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
) -> Split:
    """Put every row of a dataset on one side. docs/splits.md has the rules.

    Args:
        kind: one of KINDS.
        digests: of each row's image, 64 hex digits.
        ids: each row's name, unique.
        order: each row's place within its group, any integers; None: the row number.
        group: the sequence each row belongs to; None: all rows are one sequence.
        columns: the source's columns, one row per id; `group:COLUMN` looks in here.
        validation: share of the rows, above 0.
        test: share of the rows, 0 for no test rows; with `validation` below 1.
        gap: blocks only: share of a sequence left out of training beside each edge.
        seed: of the kinds that draw, blocks and group.

    Raises:
        InputError: an unknown kind or column, or a side that would have no rows.
    """
    name, _, argument = kind.partition(":")
    if len(ids) < 2:
        raise InputError(
            f"the dataset has {len(ids)} usable row{'s' * (len(ids) != 1)}",
            expected="at least 2, one to train on and one to validate on",
            remedy="extract more images, or a target with fewer missing values",
        )
    if name == "blocks":
        runs = number_of_runs(argument, validation, test)
        split = by_blocks(cut_runs(runs, order, group, len(ids), seed), validation, test, gap)
    elif name == "group":
        split = _by_group(argument, columns, group, validation, test, seed)
    elif kind == "tail":
        labels = np.full(len(ids), TRAIN, dtype=LABEL)
        # Keras' validation_split: the first int(floor(rows * (1 - share))) rows train
        labels[math.floor(len(ids) * (1 - (validation + test))) :] = VALIDATION
        labels[math.floor(len(ids) * (1 - test)) :] = TEST
        split = Split(labels, kind)
    elif kind == "hash":
        split = _by_hash(digests, ids, validation, test)
    else:
        raise unknown_kind(kind, name)
    refuse_empty_side(split, test)
    return split


def _by_hash(digests: Sequence[str], ids: Sequence[str], validation: float, test: float) -> Split:
    """A row's side follows from its image alone, so that it never changes as a dataset grows."""
    images = pa.array(digests, pa.string()).dictionary_encode()
    distinct = len(images.dictionary)
    if distinct >= FEWEST_DIGESTS:
        places = places_of(images.dictionary.to_pylist())[images.indices.to_numpy()]
        notes = ()
    else:
        places = places_of(ids)
        noun = "image" if distinct == 1 else "images"
        notes = (
            f"There are only {distinct} distinct {noun}, so rows were split by their id: "
            "the same image may stand on both sides.",
        )
    labels = np.full(len(places), TRAIN, dtype=LABEL)
    labels[places < validation + test] = TEST
    labels[places < validation] = VALIDATION
    return Split(labels, "hash", notes)


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

    values = dense_ranks(group_values(name, columns, group))
    distinct = int(values.max()) + 1
    wanted = 3 if test else 2
    if distinct < wanted:
        raise InputError(
            f"column {name!r} has {distinct} distinct value{'s' * (distinct != 1)}",
            expected=f"at least {wanted}, one for each side",
            remedy="another column, or --split blocks",
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
    note = (
        f"Of {distinct} values of {name!r}, {validations} validate"
        f"{f', {tests} test' * bool(tests)} and {distinct - validations - tests} train."
    )
    return Split(labels, f"group:{name}", (note,))


def group_values(
    name: str, columns: pa.Table, group: Sequence[str] | None
) -> pa.Array | pa.ChunkedArray:
    if name == "group" and group is not None:
        return pa.array(group, pa.string())
    usable = [field.name for field in columns.schema if _names_things(field.type)]
    if name in usable:
        return columns[name]
    candidates = [column for column in usable if column not in RESERVED]
    if group is not None:
        candidates.append("group")
    near = nearest(name, candidates)
    if name in columns.column_names:
        problem = f"that column holds {columns.schema.field(name).type} values"
    else:
        problem = "the dataset has no such column" if name else "no column is named"
    raise InputError(
        f"--split group:{name}: {problem}",
        expected=f"a column of text or whole numbers: {', '.join(candidates) or 'it has none'}",
        remedy=f"group:{near}" if near else "--split blocks or --split hash",
    )


def _names_things(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)


def dense_ranks(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Each value as a number from 0, in sorted order; missing ones are one value, the last."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    ranks = pc.rank(  # pyright: ignore[reportAttributeAccessIssue] (made on import)
        values, sort_keys="ascending", tiebreaker="dense"
    )
    return ranks.to_numpy().astype(np.int64) - 1


def unknown_kind(kind: str, name: str) -> InputError:
    words = {known.partition("[")[0].partition(":")[0]: known for known in KINDS}
    near = nearest(name, words)
    return InputError(
        f"no split {kind!r}",
        expected=", ".join(KINDS),
        remedy=words[near] if near else "leave --split out for the source's own",
    )


def refuse_empty_side(split: Split, test: float, remedy: str = "") -> None:
    """Raise InputError if a side has no rows; `remedy` instead of what the kind of split knows."""
    sides = (TRAIN, VALIDATION, TEST) if test else (TRAIN, VALIDATION)
    counts = {side: int((split.labels == side).sum()) for side in (*sides, LEFT_OUT)}
    for side in sides:
        if not counts[side]:
            listed = ", ".join(f"{count} {name}" for name, count in counts.items())
            raise InputError(
                f"--split {split.kind} leaves no {side} rows ({listed})",
                expected="at least 1 row on each side",
                remedy=remedy or _how_to_fill(side, split.kind),
            )


def _how_to_fill(side: str, kind: str) -> str:
    if kind.startswith("blocks"):
        if side == TRAIN:
            return "a smaller --gap or --validation, or fewer runs"
        return "--split group:group if the sequences are short, else --split tail"
    if side == TRAIN:
        return "a smaller --validation or --test, or more rows"
    return f"a greater --{side}, more rows, or --split tail"
