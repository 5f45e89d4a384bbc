"""Folds: what each holds out, watches and leaves out, read plainly from the labels."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from sklearn.model_selection import GroupKFold

from jaxreg.errors import InputError
from jaxreg.splits.folds import split_folds
from jaxreg.splits.sides import Split
from test_splits import assert_not_weaker, digest, letters


def folds(number: int, kind: str, rows: int, **changes) -> tuple[Split, ...]:
    arguments = {
        "digests": [digest(i) for i in range(rows)],
        "ids": [f"row-{i}" for i in range(rows)],
        "order": None,
        "group": None,
        "columns": pa.table({"drive": [f"drive {i % 7}" for i in range(rows)]}),
        "validation": 0.2,
        "gap": 0.01,
        "seed": 0,
    }
    return split_folds(number, kind, **{**arguments, **changes})


def runs_of(text: str, letter: str) -> int:
    """How many stretches of that letter there are."""
    return sum(1 for part in text.split(letter)[1:] if part) + text.endswith(letter)


@pytest.mark.parametrize("kind", ["blocks", "blocks:7", "hash", "group:drive"])
@pytest.mark.parametrize("number", [2, 5, 7])
def test_every_row_is_held_out_once_and_something_trains_and_is_watched(kind, number):
    splits = folds(number, kind, 400)
    assert len(splits) == number
    labels = np.stack([split.labels for split in splits])
    np.testing.assert_array_equal((labels == "test").sum(axis=0), np.ones(400))
    for side in ("train", "validation"):
        assert ((labels == side).sum(axis=1) > 0).all()


def test_a_fold_of_blocks_is_neighbouring_runs_with_a_gap_on_each_side():
    for split in folds(5, "blocks", 200, gap=0.02):
        text = letters(split)
        ring = text + text  # the seed may turn the first run into the middle
        assert "e" * 40 in ring  # two runs of 20, side by side
        assert text.count("e") == 40
        assert text.count("v") == 40  # ceil(0.2 x 8 runs) are two runs
        for pair in ("te", "et", "tv", "vt"):
            assert pair not in text  # 4 rows (0.02 x 200) or another held-out run lie between
        for stretch in text.replace("e", "v").split("v"):
            assert stretch.count("l") in (0, 4, 8)


def test_groups_of_fewer_rows_than_folds_are_spread_over_the_folds():
    rows = 240  # 60 groups of 4
    splits = folds(5, "blocks", rows, group=[f"g{i // 4}" for i in range(rows)])
    held_out = np.array([(split.labels == "test").sum() for split in splits])
    assert held_out.sum() == rows
    assert held_out.min() > 30  # 48 expected


def test_another_seed_makes_other_blocks_and_the_same_one_the_same():
    one, again, other = (
        np.stack([split.labels for split in folds(5, "blocks", 200, seed=seed)])
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_groups_are_folded_as_scikit_learn_does():
    drives = np.arange(400) % 7
    expected = GroupKFold(3, shuffle=True, random_state=0).split(drives, groups=drives)
    for split, (_, held_out) in zip(folds(3, "group:drive", 400), expected, strict=True):
        np.testing.assert_array_equal(np.flatnonzero(split.labels == "test"), held_out)
        watched = set(drives[split.labels == "validation"])
        assert watched.isdisjoint(drives[split.labels == "train"])


def test_groups_of_folds_are_named_with_their_fold():
    drives = np.array([f"d{i % 7}" for i in range(70)])
    splits = folds(3, "group:drive", 70, columns=pa.table({"drive": drives.tolist()}))
    [note] = splits[0].notes
    assert all(split.notes == (note,) for split in splits)
    for number, split in enumerate(splits):
        held_out = sorted(set(drives[split.labels == "test"]))
        shown = ", ".join(f"{name} (10 rows)" for name in held_out)
        assert f"{len(held_out)} are in fold {number}: {shown}" in note


def test_the_hash_is_by_image_and_what_is_watched_is_another_hash():
    images = [digest(i // 2) for i in range(400)]
    for split in folds(4, "hash", 400, digests=images):
        np.testing.assert_array_equal(split.labels[::2], split.labels[1::2])
    places = np.array([int(name[:13], 16) / 16**13 for name in (digest(d) for d in images)])
    fold = [np.flatnonzero(s.labels == "test") for s in folds(4, "hash", 400, digests=images)]
    for number, held_out in enumerate(fold):
        np.testing.assert_array_equal(held_out, np.flatnonzero(places * 4 // 1 == number))


@pytest.mark.parametrize(
    ("kind", "changes", "found"),
    [
        ("tail", {}, r"--folds 5 with --split tail[\s\S]*column:COLUMN, blocks or hash"),
        ("blocks:3", {}, r"--folds 5 of --split blocks:3[\s\S]*try: --folds 3"),
        ("group:drive", {"rows": 4}, r"'drive' has 4 distinct values[\s\S]*try: --folds 4"),
        ("group:drive", {"rows": 2}, r"'drive' has 2 distinct values[\s\S]*other values"),
        ("gruop:drive", {}, "no split 'gruop:drive'"),
        ("blocks", {"rows": 4}, r"--folds 5 of 4 rows[\s\S]*try: --folds 4"),
        ("hash", {"rows": 4}, r"--folds 5 of 4 rows[\s\S]*try: --folds 4"),
        ("hash", {"rows": 6}, r"leaves no [\s\S]*fewer --folds, or extract more images"),
        ("blocks", {"gap": 0.4}, "leaves no train rows"),
    ],
)
def test_folds_that_cannot_be_are_refused(kind, changes, found):
    rows = changes.pop("rows", 100)
    with pytest.raises(InputError, match=found) as refused:
        folds(5, kind, rows, **changes)
    assert_not_weaker(kind, refused.value.remedy)


def test_few_images_are_told_with_folds_too():
    for split in folds(3, "hash", 90, digests=[digest(i % 5) for i in range(90)]):
        assert "only 5 distinct images" in split.notes[0]


def test_folds_that_leave_one_value_outside_are_refused():
    columns = pa.table({"drive": [f"drive {i % 3}" for i in range(90)]})
    with pytest.raises(InputError, match="enough for 2 folds; outside each fold"):
        folds(2, "group:drive", 90, columns=columns)
    assert len(folds(3, "group:drive", 90, columns=columns)) == 3


def test_more_folds_than_rows_are_refused_at_once():
    for kind in ("blocks", "hash"):
        with pytest.raises(InputError, match=r"--folds 1000000 of 60 rows\n[^$]*try: --folds 10"):
            folds(10**6, kind, 60)


def test_many_short_sequences_beside_a_long_one_take_memory_by_rows_alone():
    rows = 6000  # half are one sequence, the others are sequences of one row
    group = ["long" if i < rows // 2 else f"short {i}" for i in range(rows)]
    tracemalloc.start()
    splits = folds(2, f"blocks:{rows}", rows, group=group, gap=0.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6  # a table of sequences and blocks would have 72 MB
    held_out = np.stack([split.labels == "test" for split in splits])
    assert (held_out.sum(axis=0) == 1).all()
