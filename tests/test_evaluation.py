"""A run on other labelled rows: scores, baselines, slices, and what is said of them."""

import doctest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

import jaxreg
from evaluated import GROUPS, OF_GROUP, ROWS, new_rows, rows_of, train
from jaxreg import bundle
from jaxreg.errors import InputError
from jaxreg.evaluation.evaluation_text import score_rows
from jaxreg.evaluation.headline_text import headline_of
from jaxreg.target_types import PLAIN
from jaxreg.trained_run import TrainedRun
from jaxreg.verdict.checks.new_errors import MOST_DRAWN, Compared, Scored


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def run(folder: Path) -> TrainedRun:
    return train(folder, "ridge")


def codes(found: Any) -> list[str]:
    return [finding.code for finding in found.findings]


def test_scores_are_those_of_scikit_learn(run: TrainedRun, folder: Path) -> None:
    table, vectors = new_rows(folder)
    found = run.evaluate(table, embeddings=str(vectors))
    x, columns = rows_of(2)
    predicted = run.predict_features(x)[:, 0]
    assert (found.rows, found.failed, found.trained) == (ROWS, 0, 0)
    assert found.metrics == pytest.approx({
        "mae": mean_absolute_error(columns["y"], predicted),
        "rmse": mean_squared_error(columns["y"], predicted) ** 0.5,
        "r2": r2_score(columns["y"], predicted),
        "spearman": spearmanr(columns["y"], predicted)[0],
        "huber": found.metrics["huber"],
    }, rel=1e-5)  # fmt: skip
    assert found.by_target["y"]["mae"] == found.metrics["mae"]
    assert found.headline.startswith("about as promised: MAE 0.")
    assert codes(found) == []
    assert found.held_out == run.metrics


def test_baselines_are_of_the_training_rows_and_of_the_new_ones(
    run: TrainedRun, folder: Path
) -> None:
    """Against NumPy on the tables themselves."""
    table, vectors = new_rows(folder)
    found = run.evaluate(table, embeddings=str(vectors)).baselines
    y = rows_of(2)[1]["y"]
    predictions = run.predictions.to_pydict()
    pairs = zip(predictions["target.y"], predictions["split"], strict=True)
    trained = np.array([value for value, side in pairs if side == "train"])
    for of, values in (("training", trained), ("new", y)):
        expected = {"mean": values.mean(), "median": np.median(values)}
        errors = {name: (found[of][name] or {})["mae"] for name in expected}
        assert errors == pytest.approx({n: np.abs(y - v).mean() for n, v in expected.items()})
    assert found["held_out"] == run.summary["baselines"]


def test_the_table_has_a_row_for_each_example(run: TrainedRun, folder: Path) -> None:
    def some_without(x, columns):
        columns["y"] = [None if row % 10 == 0 else value for row, value in enumerate(columns["y"])]
        return x, columns

    table, _ = new_rows(folder, some_without, name="gaps")
    x, columns = rows_of(2)
    having = np.delete(np.arange(ROWS), 5)  # row 5 has no vector
    names = [f"row-{row:06}" for row in having]
    np.savez(folder / "gaps.npz", ids=np.array(names), vectors=x[having])
    found = run.evaluate(table, embeddings=str(folder / "gaps.npz"))
    lines = found.table.to_pylist()
    assert (len(lines), found.rows, found.failed) == (ROWS, ROWS - ROWS // 10 - 1, 1)
    assert found.table.column_names[-2:] == ["trained", "reason"]
    assert lines[5]["reason"]
    assert lines[5]["error.y"] is None
    assert lines[10]["error.y"] is None
    assert lines[10]["prediction.y"] is not None
    one = lines[21]
    assert one["error.y"] == pytest.approx(one["prediction.y"] - columns["y"][21], rel=1e-5)
    assert one["absolute_error.y"] == abs(one["error.y"])
    assert one["slice.weather"] == columns["weather"][21]
    low, _, high = one["slice.target.y"].partition(" to ")
    assert float(low) - 0.01 <= columns["y"][21] <= float(high) + 0.01


def test_slices_hold_the_errors_of_their_rows(run: TrainedRun, folder: Path) -> None:
    """Rain hides the road: errors there are planted, so it is the worst weather."""

    def rain(x, columns):
        columns["y"] = columns["y"] + np.where(columns["weather"] == "rain", 1.0, 0.0)
        return x, columns

    table, vectors = new_rows(folder, rain, name="rain")
    found = run.evaluate(table, embeddings=str(vectors))
    x, columns = rain(*rows_of(2))
    error = run.predict_features(x)[:, 0] - columns["y"]
    own = {one.value: one for one in found.slices if one.by == "weather"}
    for value in ("rain", "sun"):
        some = error[columns["weather"] == value]
        assert own[value].rows == len(some)
        assert own[value].mae == pytest.approx(np.abs(some).mean(), rel=1e-5)
        assert own[value].bias == pytest.approx(some.mean(), rel=1e-4)
    assert own["rain"].times > 1 > own["sun"].times
    assert len([one for one in found.slices if one.by == "group"]) == GROUPS
    assert {one.rows for one in found.slices if one.by == "group"} == {OF_GROUP}
    assert len([one for one in found.slices if one.by == "target"]) == 10
    assert [one.times for one in found.slices] == sorted(
        (one.times for one in found.slices), reverse=True
    )


@pytest.mark.parametrize(
    ("change", "expected", "words"),
    [
        (lambda x, y, rng: (x, y[rng.permutation(ROWS)]), ["targets-mismatched"], "do not go with"),
        (lambda x, y, rng: (x, -y), ["predictions-reversed"], "fall where the targets rise"),
        (lambda x, y, rng: (x, 3 * y), ["targets-shifted", "targets-mismatched"], "their std is"),
        (lambda x, y, rng: (x, y + 3), ["targets-shifted", "targets-mismatched"], "mean lies"),
        (lambda x, y, rng: (x + np.float32(2), y), ["images-shifted"], "linear classifier"),
    ],
    ids=["shuffled", "sign", "scaled", "moved", "images"],
)  # fmt: skip
def test_the_planted_cause_is_named(
    run: TrainedRun, folder: Path, change: Any, expected: list[str], words: str
) -> None:
    def changed(x, columns):
        x, columns["y"] = change(x, columns["y"], np.random.default_rng(0))
        return x, columns

    table, vectors = new_rows(folder, changed, name="changed")
    found = run.evaluate(table, embeddings=str(vectors))
    assert codes(found) == expected
    assert found.headline.startswith("far worse than promised: MAE ")
    assert found.headline.endswith(f"({', '.join(expected)})")
    assert words in found.findings[0].evidence
    assert {finding.severity for finding in found.findings} == {"warning"}


def test_other_rows_of_the_same_kind_are_not_called_different(
    run: TrainedRun, folder: Path
) -> None:
    for seed in range(3, 9):
        table, vectors = new_rows(folder, seed=seed)
        found = run.evaluate(table, embeddings=str(vectors))
        assert (codes(found), found.far_worse) == ([], False), found.headline


def test_rows_that_trained_the_run_are_counted(run: TrainedRun, folder: Path) -> None:
    found = run.evaluate(folder / "known.csv", embeddings=str(folder / "known.npy"))
    trained = run.summary["rows"]["train"]
    assert found.trained == trained
    assert f"{trained} of the {ROWS} rows trained the run" in found.headline
    assert sum(found.table["trained"].to_pylist()) == trained


def test_a_bundle_says_what_it_cannot_test(run: TrainedRun, folder: Path) -> None:
    assert bundle.main([str(run.path), "--out", str(folder / "b.zip")]) == 0
    table, vectors = new_rows(folder, lambda x, c: (x, {**c, "y": -c["y"]}), name="sign")
    found = jaxreg.load_run(folder / "b.zip").evaluate(table, embeddings=str(vectors))
    assert found.headline.startswith("far worse than promised")
    assert codes(found) == ["predictions-reversed"]
    assert len([note for note in found.notes if note.startswith("nobody can say")]) == 2
    assert found.baselines["training"] == {}


def test_the_example_of_the_documentation_holds(
    run: TrainedRun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_rows(folder)
    monkeypatch.chdir(folder)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    [example] = finder.find(TrainedRun.evaluate, "evaluate", globs={"run": run})
    assert example.examples
    assert runner.run(example).failed == 0


def test_a_source_without_the_target(run: TrainedRun, folder: Path) -> None:
    def without(x, columns):
        return x, {"why": columns.pop("y"), **columns}

    table, vectors = new_rows(folder, without, name="without")
    with pytest.raises(InputError, match=r"has no column 'y'[\s\S]*target of the run: y"):
        run.evaluate(table, embeddings=str(vectors))


def test_a_folder_of_images_names_the_table_beside_them(run: TrainedRun, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    (tmp_path / "labels.csv").write_text("image,y\none.png,1\n")
    said: list[str] = []
    with pytest.raises(InputError, match="has no column 'y'"):
        run.evaluate(str(tmp_path), say=said.append)
    assert any(f"{tmp_path / 'labels.csv'} is a table beside the images" in text for text in said)


def test_the_r2_of_a_mean_is_0_in_the_table() -> None:
    nothing = {"mae": 1.0, "rmse": 1.0, "r2": 1.11e-16, "spearman": None}
    alike = {"training": {"mean": {**nothing, "r2": -1.11e-16}}, "new": {}, "held_out": {}}
    found: Any = SimpleNamespace(by_target={"y": {**nothing, "baselines": alike, "held_out": None}})
    _, rows = score_rows(found)
    assert [row[1:] for row in rows] == [["1", "1", "0", "-"]] * 2


def test_a_source_without_a_usable_row(run: TrainedRun, folder: Path) -> None:
    def none(x, columns):
        return x, {**columns, "y": [None] * ROWS}

    def text(x, columns):
        return x, {**columns, "y": ["far"] * ROWS}

    table, vectors = new_rows(folder, none, name="none")
    with pytest.raises(InputError, match=r"no row of .*none\.csv has a number for y"):
        run.evaluate(table, embeddings=str(vectors))
    table, vectors = new_rows(folder, text, name="text")
    with pytest.raises(InputError, match="the target y holds string, not numbers"):
        run.evaluate(table, embeddings=str(vectors))


@pytest.mark.parametrize(
    ("mae", "error", "trained", "expected"),
    [
        (0.2, 0.05, 0, "better than promised: MAE 0.2 ± 0.05 here, 0.5 ± 0.1 on"),
        (0.2, 0.2, 0, "better than promised, but it may be chance: MAE 0.2"),
        (0.2, float("inf"), 1, "better than promised, but it may be chance, and the row trained"),
        (0.6, 0.01, 1, "about as promised, but the row trained the run: MAE 0.6"),
        (0.8, 0.4, 0, "worse than promised, but it may be chance: MAE 0.8"),
    ],
)
def test_the_headline_says_what_may_be_chance(
    mae: float, error: float, trained: int, expected: str
) -> None:
    scores = {"mae": mae, "mae_error": error, "held_out_mae_error": 0.1, "far_worse": False}
    told = headline_of({"y": {**scores, "held_out": {"mae": 0.5}}}, [], 1, trained)
    assert told.startswith(expected)


def test_the_error_of_a_correlation_of_many_rows_is_that_of_the_formula() -> None:
    """More rows than are drawn alone: (1 - r²) / √n, for normal numbers (Fisher, 1921)."""
    rng, count, slope = np.random.default_rng(0), 2 * MOST_DRAWN + 7, 0.6
    y = rng.normal(size=count)
    predictions = slope * y + np.sqrt(1 - slope**2) * rng.normal(size=count)
    for units in (None, np.arange(count)[::-1]):
        side = Scored(y, predictions, units)
        found, error = Compared(PLAIN, side, None, 0.0).correlation
        assert found == pytest.approx(np.corrcoef(y, predictions)[0, 1], rel=1e-9)
        assert error == pytest.approx((1 - found**2) / np.sqrt(count), rel=0.12)
