"""Every split against a slow, plain reading of its rule."""

import datetime
import decimal
import hashlib
import math
import re

import numpy as np
import pyarrow as pa
import pytest

from jaxreg.errors import InputError
from jaxreg.splits.sides import Split
from jaxreg.splits.split import split_rows


def digest(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def split(kind: str, rows: int = 0, **changes) -> Split:
    """split_rows on `rows` different images, with only the arguments that matter to a test."""
    arguments = {
        "digests": [digest(i) for i in range(rows)],
        "ids": [f"row-{i}" for i in range(rows)],
        "order": None,
        "group": None,
        "columns": pa.table({"row": np.arange(rows)}),
        "validation": 0.2,
        "test": 0.0,
        "gap": 0.01,
        "seed": 0,
    }
    return split_rows(kind, **{**arguments, **changes})


def letters(result: Split) -> str:
    """One letter a row: t(rain), v(alidation), e(xam), l(eft out)."""
    short = {"train": "t", "validation": "v", "test": "e", "left-out": "l"}
    return "".join(short[label] for label in result.labels)


# --- tail


@pytest.mark.parametrize("rows", [2, 3, 10, 41, 1000])
@pytest.mark.parametrize("validation", [0.1, 0.2, 0.29, 0.5, 0.7])
def test_tail_cuts_where_keras_does(rows, validation):
    # keras 3.15, array_slicing.train_validation_split:
    # split_at = int(math.floor(batch_dim * (1.0 - validation_split)))
    split_at = math.floor(rows * (1.0 - validation))
    if split_at == 0:
        with pytest.raises(InputError, match="no train rows"):
            split("tail", rows, validation=validation)
    else:
        expected = "t" * split_at + "v" * (rows - split_at)
        assert letters(split("tail", rows, validation=validation)) == expected


def test_tail_keeps_the_datasets_own_order_and_tests_on_the_end():
    reversed_order = np.arange(10)[::-1]
    result = split("tail", 10, validation=0.3, test=0.2, order=reversed_order)
    assert letters(result) == "tttttvvvee"
    assert result.kind == "tail"


# --- hash


def test_hash_is_the_written_formula():
    digests = [digest(i) for i in range(500)]
    # By hand: u = first 13 hex digits of sha256 / 16**13; validation below v, test below v + t.
    u = [int(digest(text)[:13], 16) / 16**13 for text in digests]
    expected = "".join("v" if x < 0.2 else "e" if x < 0.3 else "t" for x in u)
    assert letters(split("hash", 500, validation=0.2, test=0.1)) == expected
    assert 70 < expected.count("v") < 130


def test_hash_keeps_every_label_when_rows_are_added_or_moved():
    before = split("hash", 200, seed=0).labels
    after = split("hash", 900, seed=7).labels
    assert (after[:200] == before).all()
    backwards = split("hash", 900, digests=[digest(i) for i in range(900)][::-1]).labels
    assert (backwards == after[::-1]).all()


def test_hash_puts_equal_images_on_one_side():
    digests = [digest(i % 50) for i in range(1000)]
    labels = split("hash", 1000, digests=digests).labels
    assert (labels.reshape(20, 50) == labels[:50]).all()
    assert {"train", "validation"} == set(labels)


def test_hash_goes_by_row_when_the_images_are_too_few():
    nine = split("hash", 1000, digests=[digest(i % 9) for i in range(1000)])
    u = [int(digest(f"row-{i}")[:13], 16) / 16**13 for i in range(1000)]  # of the ids, by hand
    assert letters(nine) == "".join("v" if x < 0.2 else "t" for x in u)
    assert len(nine.notes) == 1
    assert "only 9 distinct images" in nine.notes[0]
    assert "only 1 distinct image," in split("hash", 50, digests=["same"] * 50).notes[0]
    assert split("hash", 1000, digests=[digest(i % 10) for i in range(1000)]).notes == ()


# --- blocks


def blocks_by_hand(labels: np.ndarray, runs: int) -> list[set[str]]:
    """The labels that occur in each of np.array_split's runs."""
    return [set(run) for run in np.array_split(labels, runs)]


@pytest.mark.parametrize("rows", [100, 103, 999])
@pytest.mark.parametrize("runs", [5, 10, 13])
@pytest.mark.parametrize(("validation", "test"), [(0.2, 0), (0.07, 0.1), (0.3, 0.3)])
def test_blocks_hold_out_whole_runs_of_array_split(rows, runs, validation, test):
    for seed in range(5):
        result = split(f"blocks:{runs}", rows, validation=validation, test=test, seed=seed)
        found = blocks_by_hand(result.labels, runs)
        assert found.count({"validation"}) == math.ceil(validation * runs)
        assert found.count({"test"}) == math.ceil(test * runs)
        held_out = found.count({"validation"}) + found.count({"test"})
        assert sum(run <= {"train", "left-out"} for run in found) == runs - held_out
        assert result.kind == f"blocks:{runs}"


def test_blocks_default_to_ten_runs_spread_evenly():
    starts = set()
    for seed in range(20):
        result = split("blocks", 1000, seed=seed)
        assert result.kind == "blocks:10"
        first, second = (
            i for i, run in enumerate(blocks_by_hand(result.labels, 10)) if run == {"validation"}
        )
        assert second - first == 5
        starts.add(first)
    assert len(starts) > 3  # the seed turns them


def test_blocks_share_is_not_misled_by_rounding():
    # 0.07 * 100 is 7.000000000000001 in floating point; seven runs are meant.
    result = split("blocks:100", 1000, validation=0.07, gap=0.001)
    assert blocks_by_hand(result.labels, 100).count({"validation"}) == 7


@pytest.mark.parametrize(("gap", "reach"), [(0.0, 1), (0.01, 2), (0.03, 6)])
def test_blocks_leave_out_the_neighbours_of_every_edge(gap, reach):
    for seed in range(6):
        result = split("blocks", 200, test=0.1, gap=gap, seed=seed)
        held_out = np.isin(result.labels, ["validation", "test"])
        # By hand: a row that is held out within `reach` rows on either side.
        near = [held_out[max(0, i - reach) : i + reach + 1].any() for i in range(200)]
        assert ((result.labels == "left-out") == (near & ~held_out)).all()
        count = int((result.labels == "left-out").sum())
        assert result.notes[0].startswith(f"{count} of 200 rows lie beside a held-out block")


def test_blocks_follow_the_order_and_not_the_row_number():
    shuffled = np.random.default_rng(0).permutation(300)
    labels = split("blocks", 300, order=shuffled * 7 - 50).labels
    in_order = split("blocks", 300).labels
    assert (labels == in_order[shuffled]).all()


def test_blocks_never_separate_rows_of_one_moment():
    # Three cameras a moment, the file listing one camera after the other.
    order = np.tile(np.arange(101), 3)
    labels = split("blocks", 303, order=order).labels.reshape(3, 101)
    assert (labels == labels[0]).all()
    # 1% of 101 moments, rounded up, is 2 moments (6 rows) beside each of up to 4 edges.
    assert (labels == "left-out").sum() in (18, 24)


def test_blocks_are_cut_in_every_group_and_another_group_changes_nothing():
    group = ["a"] * 100 + ["b"] * 60
    order = np.concatenate([np.arange(100), np.arange(60)])
    turned_alike = []
    for seed in range(12):
        both = split("blocks", 160, group=group, order=order, seed=seed).labels
        a, b = blocks_by_hand(both[:100], 10), blocks_by_hand(both[100:], 10)
        assert a.count({"validation"}) == b.count({"validation"}) == 2
        turned_alike.append(a.index({"validation"}) == b.index({"validation"}))
        # Also where a held-out run ends at the seam: the gap does not reach into the next group.
        first = split("blocks", 100, group=group[:100], order=order[:100], seed=seed).labels
        second = split("blocks", 60, group=group[100:], order=order[100:], seed=seed).labels
        assert (both == np.concatenate([first, second])).all()
    assert not all(turned_alike)


def test_blocks_train_whole_on_what_is_too_short_to_cut():
    group = ["long"] * 100 + ["lone"]
    result = split("blocks", 101, group=group)
    assert result.labels[100] == "train"
    assert result.notes[1] == "1 sequence is too short to be cut, and trains whole."


def test_blocks_of_a_short_sequence_are_single_rows():
    for seed in range(7):
        labels = split("blocks", 7, seed=seed).labels  # ceil(0.2 * 7) = 2 runs of 1 row
        assert (labels == "validation").sum() == 2


# --- group:COLUMN


DRIVES = pa.table(
    {
        "drive": np.repeat(["x", "y", "z", "w", "v"], 20).tolist(),
        "session": np.repeat(np.arange(5), 20),
        "speed": np.linspace(0, 1, 100),
        "tinted": pa.array(np.repeat(["x", "y", "z", "w", "v"], 20)).dictionary_encode(),
    }
)


@pytest.mark.parametrize("column", ["drive", "session", "tinted"])
@pytest.mark.parametrize("test", [0.0, 0.2])
def test_group_keeps_a_value_on_one_side(column, test):
    for seed in range(5):
        result = split(f"group:{column}", 100, columns=DRIVES, test=test, seed=seed)
        sides = [set(labels) for labels in result.labels.reshape(5, 20)]
        assert all(len(side) == 1 for side in sides)
        assert sides.count({"validation"}) == 1
        assert sides.count({"test"}) == round(test * 5)
        assert result.kind == f"group:{column}"


def test_group_is_drawn_by_scikit_learn():
    from sklearn.model_selection import GroupShuffleSplit

    for seed in range(5):
        labels = split("group:session", 100, columns=DRIVES, seed=seed).labels
        drawing = GroupShuffleSplit(n_splits=1, test_size=0.2, random_state=seed)
        _, held_out = next(drawing.split(np.zeros(100), groups=DRIVES["session"].to_numpy()))
        assert set(np.flatnonzero(labels == "validation")) == set(held_out)


def test_group_does_not_depend_on_the_order_of_the_rows():
    moved = np.random.default_rng(1).permutation(100)
    before = split("group:drive", 100, columns=DRIVES).labels
    after = split("group:drive", 100, columns=DRIVES.take(moved)).labels
    assert (after == before[moved]).all()


def test_group_takes_missing_values_as_one_value():
    columns = pa.table({"drive": ["a", None] * 20})
    labels = split("group:drive", 40, columns=columns).labels
    assert set(labels[::2]) != set(labels[1::2])
    assert len(set(labels[::2])) == 1


@pytest.mark.parametrize("shares", [(0.2, 0.0), (0.9, 0.0), (0.2, 0.1), (0.45, 0.45)])
def test_group_fills_each_side_from_as_few_values_as_there_are_sides(shares):
    values = 3 if shares[1] else 2
    columns = pa.table({"drive": np.arange(60) % values})
    result = split("group:drive", 60, columns=columns, validation=shares[0], test=shares[1])
    assert len(set(result.labels)) == values


DAY = datetime.date(2024, 1, 1)


@pytest.mark.parametrize(
    "values",
    [
        [0.5, 1.5, 2.25, -1.0],
        [DAY + datetime.timedelta(days) for days in range(4)],
        [datetime.datetime(2024, 1, 1, hour) for hour in range(4)],
        [decimal.Decimal(number) for number in ("0.1", "0.25", "1.5", "7")],
        [True, False],
    ],
    ids=["float", "date", "time", "decimal", "bool"],
)
def test_group_takes_values_of_any_type_as_names(values):
    names = [str(value) for value in values]
    rows = np.random.default_rng(0).integers(len(values), size=80)
    by_value = pa.table({"drive": [values[row] for row in rows]})
    by_name = pa.table({"drive": [names[row] for row in rows]})
    labels = split("group:drive", 80, columns=by_value).labels
    for value in range(len(values)):
        assert len(set(labels[rows == value])) == 1
    assert set(labels) == {"train", "validation"}
    for columns in (by_value, by_name):
        [note] = split("group:drive", 80, columns=columns).notes
        assert note.startswith(f"Of {len(values)} values of 'drive', ")


def test_group_takes_nan_and_missing_numbers_as_one_value():
    columns = pa.table({"drive": pa.array([1.0, None, math.nan, 2.0] * 10, from_pandas=False)})
    labels = split("group:drive", 40, columns=columns).labels.reshape(10, 4)
    assert (labels[:, 1] == labels[:, 2]).all()
    assert split("group:drive", 40, columns=columns).notes[0].startswith("Of 3 values")


def test_a_hash_says_that_it_divides_the_groups_of_the_dataset():
    group = [f"photo {row // 4}" for row in range(80)]
    notes = split("hash", 80, group=group).notes
    assert len(notes) == 1
    assert notes[0].startswith("The dataset has 20 groups, and --split hash puts rows of one group")
    assert "--split group:group" in notes[0]
    for harmless in (["one"] * 80, [f"photo {row}" for row in range(80)], None):
        assert split("hash", 80, group=harmless).notes == ()


def test_group_group_is_the_datasets_own():
    group = ["a", "b", "c"] * 10
    labels = split("group:group", 30, group=group, validation=0.3).labels.reshape(10, 3)
    assert (labels == labels[0]).all()
    assert set(labels[0]) == {"train", "validation"}


# --- what is refused


@pytest.mark.parametrize(
    ("kind", "rows", "changes", "message"),
    [
        ("tail", 1, {}, "the dataset has 1 usable row\n"),
        ("tail", 0, {}, "the dataset has 0 usable rows\n"),
        (
            "tial",
            9,
            {},
            r"no split 'tial'(.|\n)*hash, blocks\[:N\], group:COLUMN(.|\n)*try: --split tail",
        ),
        ("block:5", 9, {}, r"no split 'block:5'(.|\n)*try: --split blocks:5$"),
        ("tail:3", 9, {}, r"no split 'tail:3'(.|\n)*try: --split tail"),
        ("probe", 9, {}, r"no split 'probe'(.|\n)*try: leave --split out: jaxreg chooses one$"),
        ("blocks:1", 9, {}, r"--split blocks:1\n(.|\n)*2 or more"),
        ("blocks:-3", 9, {}, r"--split blocks:-3\n(.|\n)*2 or more"),
        ("blocks:99999999999999999999", 9, {}, r"at most 1,000,000\n(.|\n)*try: --split blocks:10"),
        ("blocks:" + "9" * 4000, 9, {}, r"at most 1,000,000\n(.|\n)*try: --split blocks:10"),
        ("blocks:ten", 9, {}, r"--split blocks:ten\n(.|\n)*2 or more"),
        ("blocks:2", 9, {"test": 0.2}, r"holds out 2 of 2 blocks(.|\n)*try: --split blocks:3"),
        (
            "blocks:9",
            99,
            {"test": 0.5, "validation": 0.49},
            r"10 of 9 blocks(.|\n)*a smaller --validation",
        ),
        (
            "blocks",
            2,
            {},
            r"no train rows \(0 train, 1 validation, 1 left-out\)(.|\n)*extract more images",
        ),
        ("blocks", 50, {"gap": 0.4}, r"no train rows(.|\n)*try: --split blocks:5"),
        ("blocks", 9, {"group": list("abcdefghi")}, r"no validation rows(.|\n)*group:group"),
        (
            "blocks",
            2,
            {"gap": 0.4, "group": list("aa")},
            r"no train rows(.|\n)*extract more images",
        ),
        ("tail", 5, {"test": 0.01, "validation": 0.01}, "no validation rows"),
        ("hash", 12, {"validation": 1e-9}, r"no validation rows \(12 train(.|\n)*--validation"),
        ("hash", 12, {"test": 1e-9, "validation": 0.5}, r"no test rows(.|\n)*greater --test"),
        ("hash", 12, {"validation": 0.9999999}, r"no train rows(.|\n)*smaller --validation"),
        ("group", 100, {"columns": DRIVES}, "no column is named(.|\n)*session, speed, tinted"),
        ("group:group", 100, {"columns": DRIVES}, "no such column(.|\n)*session, speed, tinted"),
        ("group:drvie", 100, {"columns": DRIVES}, "no such column(.|\n)*try: --split group:drive"),
        ("group:x", 9, {"columns": pa.table({"id": list("abc"), "b": [1, 2, 3]})}, "dataset: b"),
        ("group:x", 9, {"columns": pa.table({"id": list("abc")})}, "--group-column COLUMN"),
        ("drive", 100, {"columns": DRIVES}, "try: --split group:drive"),
        ("group:row", 2, {"columns": pa.table({"row": [1, 1]})}, "1 distinct value\n"),
        ("group:row", 2, {"columns": pa.table({"row": [1, 2]}), "test": 0.1}, "at least 3"),
    ],
)
def test_what_cannot_be_split_is_told(kind, rows, changes, message):
    with pytest.raises(InputError, match=message) as refused:
        split(kind, rows, **changes)
    assert_not_weaker(kind, refused.value.remedy)


STRENGTHS = ("tail", "hash", "blocks", "group")
"""From the weakest: what keeps fewer rows that are alike on one side comes first."""


def assert_not_weaker(kind: str, remedy: str) -> None:
    """A remedy names no weaker kind of split, no smaller gap, and no shorter blocks."""
    assert "gap" not in remedy
    name, _, argument = kind.partition(":")
    if name in STRENGTHS:
        named = re.findall("tail|hash|blocks|group", remedy)
        assert all(STRENGTHS.index(other) >= STRENGTHS.index(name) for other in named), remedy
    blocks = re.search(r"blocks:(\d+)", remedy)
    if name == "blocks" and blocks and argument.isdecimal() and int(argument) > 2:
        assert int(blocks[1]) <= int(argument), remedy


def test_the_blocks_that_a_message_offers_can_be_had():
    for rows, changes in [(50, {"gap": 0.4}), (30, {"gap": 0.2, "test": 0.1})]:
        with pytest.raises(InputError) as refused:
            split("blocks:9", rows, **changes)
        offered = refused.value.remedy.removeprefix("--split ")
        assert {"train", "validation"} <= set(split(offered, rows, **changes).labels)
