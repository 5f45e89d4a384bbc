"""`--split column:COLUMN`: the sides and the folds that somebody else has given."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.model_selection import PredefinedSplit

import jaxreg
from conftest import make_planted
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.experiment.choose_split import choose_split
from jaxreg.splits import Split, split_folds, split_rows
from jaxreg.splits.column_split import read_given_split
from jaxreg.splits.group_column import column_texts
from jaxreg.train_config import TrainConfig
from jaxreg.trained_run import TrainedRun
from test_splits_sides import table

SIDES = {"train": "t", "validation": "v", "test": "e", "left-out": "l"}


def letters(split: Split) -> str:
    return "".join(SIDES[label] for label in split.labels)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "val", "test"], "tve"),
        (["Training", " VALID ", "holdout"], "tve"),
        (["trn", "validation", "hold-out"], "tve"),
        (["train", "dev", "Testing", None, ""], "tvell"),
    ],
)
def test_the_words_that_people_write_name_the_sides(words: list, expected: str) -> None:
    found = split_rows("column:part", test=0.0, **table(part=words * 4))
    assert letters(found) == expected * 4
    assert found.kind == "column:part"
    left = words.count(None) + words.count("")
    said = [note for note in found.notes if "left out" in note]
    assert len(said) == bool(left)
    assert not left or said[0].startswith(f"{4 * left} rows have no word in column 'part'")


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("is_valid", [True, False, None], "vtl"),
        ("is_train", [True, False, True], "tvt"),
        ("in_test_set", ["yes", "no", "no"], "ett"),
        ("is_test", [1.0, 0.0, float("nan")], "etl"),
        ("isval", [1, 0, 0], "vtt"),
    ],
)
def test_a_flag_says_who_is_held_out(name: str, values: list, expected: str) -> None:
    found = letters(split_rows(f"column:{name}", test=0.0, **table(**{name: values * 20})))
    drawn = "v" not in expected  # validation rows were drawn from the training rows
    assert (found.replace("v", "t") if drawn else found) == expected * 20


def test_a_table_without_validation_rows_takes_a_share_of_the_training_rows() -> None:
    given = table(part=["train"] * 90 + ["test"] * 10)
    found = split_rows("column:part", test=0.0, default="tail", **given)
    assert letters(found) == "t" * 72 + "v" * 18 + "e" * 10  # Keras: the last fifth of 90 rows
    assert "--split tail drew 18 of the 90 training rows" in found.notes[-1]
    given["group"] = [f"g{i % 9}" for i in range(100)]
    found = split_rows("column:part", test=0.0, default="group:group", **given)
    sides: dict[str, set[str]] = {}
    for group, side in zip(given["group"], found.labels, strict=True):
        sides.setdefault(group, set()).add(side)
    assert all(len(own - {"test"}) == 1 for own in sides.values())  # a group is on one side


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["train", "val", "tset"], r"words that name no side: tset\n  expected: train; val"),
        (["1", "2", "3"], r"no side: 1, 2, 3\n  expected: .*\n  try: --folds 3$"),
        (
            [f"w{i}" for i in range(12)],
            r"no side: w0, w1, w2, .*, w7 and 4 more\n.*\n.*folds 12$",
        ),
        (["a", "b", "c"], r"no side: a, b, c\n  expected: .*\n  try: --split group:part$"),
        (["train", "val", "tset"], r"\n  try: write these words into column part, "),
        (["train_1", "train_2", "val_1"], r"no side: train_1, .*\n.*\n  try: write these words"),
        (["x" * 9999, "y"], r"no side: x{39}…, y\n"),
        (["val", "test", "val"], r"leaves no train rows \(0 train, 20 validation, 10 test"),
        ([None, None, ""], r"leaves no train rows"),
    ],
)
def test_words_that_make_no_split_are_refused(values: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_rows("column:part", test=0.0, **table(part=values * 10))


def test_ids_are_not_offered_as_groups_because_that_would_part_rows_that_are_alike() -> None:
    with pytest.raises(InputError, match="no side: row0, ") as refused:
        split_rows("column:part", test=0.0, **table(part=[f"row{i}" for i in range(40)]))
    assert refused.value.remedy == ""


def test_a_share_of_test_rows_beside_the_column_is_refused() -> None:
    with pytest.raises(InputError, match=r"--test 0\.1 with --split column:part"):
        split_rows("column:part", test=0.1, **table(part=["train", "val"] * 10))


def test_a_column_that_is_not_there_gets_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"column:prat, .*\n.*\n  try: --split column:part"):
        split_rows("column:prat", test=0.0, **table(part=["train", "val"] * 10))


@pytest.mark.parametrize("name", ["is_eval", "in_train"])
def test_a_flag_that_cannot_be_read_is_offered_no_split_that_refuses_it(name: str) -> None:
    given = table(**{name: ["a", "b"] * 20})
    for kind in ("column", "group"):
        with pytest.raises(InputError) as refused:
            split_rows(f"{kind}:{name}", test=0.0, **given)
    with pytest.raises(InputError, match="try: write these words into column"):
        split_rows(refused.value.remedy.removeprefix("--split "), test=0.0, **given)


@pytest.mark.parametrize(
    ("name", "folds"),
    [
        *[(name, True) for name in ("fold", "KFold", "cv_fold", "outerFold2", "folds-5", "Fold 1")],
        *[(name, False) for name in ("folder", "scaffold", "Folder", "unfolded", "manifold")],
    ],
)
def test_a_column_is_called_a_fold_by_a_whole_word(name: str, folds: bool) -> None:
    if folds:
        given = read_given_split(name, ["a", "b", "c"], None)
        assert given.names == ("a", "b", "c")
    else:
        with pytest.raises(InputError, match=f"try: --split group:{name}"):
            read_given_split(name, ["a", "b", "c"] * 2, None)


@pytest.mark.parametrize("kind", [pa.float64(), pa.int64()])
def test_numbers_that_differ_late_are_two_folds(kind: pa.DataType) -> None:
    days = [20240101, 20240102, 20240103, None] * 20
    columns = pa.table({"fold": pa.array(days, kind), "zero": pa.array([0.0, -0.0, 1.5, 1] * 20)})
    given = read_given_split("fold", column_texts("fold", columns, None), None)
    assert given.names == ("20240101", "20240102", "20240103")
    assert column_texts("zero", columns, None)[:4] == ["0", "0", "1.5", "1"]


@pytest.mark.parametrize("name", ["fold", "kfold", "part"])
def test_the_values_of_a_fold_column_are_the_folds(name: str) -> None:
    """scikit-learn's PredefinedSplit has the same held-out rows."""
    numbers = np.random.default_rng(0).integers(0, 12, 240)  # 10 comes after 9, not after 1
    given = table(**{name: [f"f{n}" for n in numbers]})
    folds = split_folds(12, f"column:{name}", **given)
    theirs = [held_out for _, held_out in PredefinedSplit(numbers).split()]
    for number, (fold, rows) in enumerate(zip(folds, theirs, strict=True)):
        np.testing.assert_array_equal(np.flatnonzero(fold.labels == "test"), rows)
        watched = {(number + step) % 12 for step in (1, 2, 3)}  # ceil(0.2 * 11) folds, whole
        assert set(numbers[fold.labels == "validation"]) == watched
        assert set(numbers[fold.labels == "train"]) == set(range(12)) - watched - {number}


@pytest.mark.parametrize(
    ("values", "number", "message"),
    [
        (["1", "2", "3"], 5, r"'fold' has 3 folds: 1, 2, 3\n.*\n  try: --folds 3"),
        (["a", "b"], 2, r"'fold' has 2 folds: a, b\n  expected: at least 3"),
        (["train", "val"], 3, r"--folds 3, and column 'fold' says on which side"),
        (["1", "2", "train"], 3, r"words that name no side: 1, 2"),
    ],
)
def test_folds_that_cannot_be_are_refused(values: list, number: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_folds(number, "column:fold", **table(fold=values * 10))


def test_any_table_of_words_is_read_row_by_row() -> None:
    """Every mix of words against a plain reading."""
    plain = {"train": "train", "dev": "validation", "test": "test", "": "left-out"}
    for words in itertools.product(plain, repeat=4):
        given = read_given_split("part", [word or None for word in words], None)
        assert given.folds is None
        assert given.sides.tolist() == [plain[word] for word in words]


def with_column(folder: Path, name: str, values: list) -> Path:
    """A planted cache whose dataset has one more column of its source."""
    root = make_planted(folder)
    dataset = read_dataset(Cache(root), "planted")
    changed = dataset.table.append_column(name, pa.array(values))
    write_dataset(Cache(root), replace(dataset, table=changed))
    return root


def test_a_run_with_a_given_split_ends_with_its_test_score(tmp_path: Path) -> None:
    words = (["train"] * 6 + ["valid"] * 2 + ["test"] * 2) * 24
    cache, said = with_column(tmp_path, "split", words), list[str]()

    def train(split: str | None) -> TrainedRun:
        return jaxreg.train_head(
            "planted",
            cache=cache,
            ckpts=tmp_path / "runs",
            target="angle",
            head="ridge",
            split=split,
            say=said.append,
        )

    train(None)
    assert sum("column 'split' names the side of each row" in line for line in said) == 1
    run = train("column:split")
    assert sum("column 'split' names the side of each row" in line for line in said) == 1
    assert run.summary["rows"]["test"] == 48
    found = pq.read_table(run.path / "predictions.parquet")
    expected = ["validation" if word == "valid" else word for word in words]
    assert found["split"].to_pylist() == expected
    y, predicted = (
        found[f"{kind}.angle"].to_numpy().astype(float) for kind in ("target", "prediction")
    )
    mae = np.abs(y - predicted)[np.array(words) == "test"].mean()
    assert run.summary["test"]["mae"] == pytest.approx(mae, rel=1e-9)


def test_more_folds_than_a_run_can_have_are_refused_before_they_are_made(tmp_path: Path) -> None:
    count = 1001
    root = with_column(tmp_path, "fold", list(range(240)))
    dataset = read_dataset(Cache(root), "planted")
    many = dataset.rows(np.arange(count) % 240)
    folds = pa.array(range(count))
    renumbered = many.table.set_column(many.table.column_names.index("fold"), "fold", folds)
    config = TrainConfig(target=("angle",), split="column:fold")
    with pytest.raises(InputError, match="folds is 1001"):
        choose_split(replace(many, table=renumbered), np.zeros((count, 1)), config)


def test_validation_rows_without_a_target_are_said_to_lack_it(tmp_path: Path) -> None:
    words = ["train"] * 120 + ["val"] * 60 + ["test"] * 60
    dataset = read_dataset(Cache(with_column(tmp_path, "split", words)), "planted")
    y = np.where(np.array(words) == "val", np.nan, 1.0)[:, None]
    config = TrainConfig(target=("angle",), split="column:split")
    split, _ = choose_split(dataset, y, config)
    assert "names no validation rows that have a number for each target" in split.notes[-1]
    y = np.where(np.array(words) == "train", np.nan, 1.0)[:, None]
    with pytest.raises(InputError, match="the word train and a number for each target"):
        choose_split(dataset, y, config)


def test_a_run_with_given_folds_scores_each_row_by_the_head_of_its_fold(tmp_path: Path) -> None:
    words = [str(row % 4) if row % 5 else "test" for row in range(240)]
    words[7] = ""
    run = jaxreg.train_head(
        "planted",
        cache=with_column(tmp_path, "fold", words),
        ckpts=tmp_path / "runs",
        target="angle",
        head="ridge",
        split="column:fold",
    )
    found = pq.read_table(run.path / "predictions.parquet")
    folds = [int(word) if word.isdecimal() else None for word in words]
    assert found["fold"].to_pylist() == folds
    expected = ["test" if fold is None else "validation" for fold in folds]
    expected[7] = "left-out"
    assert found["split"].to_pylist() == expected
    assert len(run.summary["members"]) == run.settings.folds == 4
    y, predicted = (
        found[f"{kind}.angle"].to_numpy().astype(float) for kind in ("target", "prediction")
    )
    for side, scores in [("validation", run.summary["metrics"]), ("test", run.summary["test"])]:
        mae = np.abs(y - predicted)[np.array(expected) == side].mean()
        assert scores["mae"] == pytest.approx(mae, rel=1e-9)
