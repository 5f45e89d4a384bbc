"""A whole sweep on a small table: what it chooses, and of which rows its scores are."""

import csv
import doctest
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import jaxreg
from jaxreg.errors import InputError
from jaxreg.search.head_stage import rungs_of
from jaxreg.sweep_api import FinishedSweep
from sweep_tables import BAD, GOOD, make_table

# the same for all sweeps where nothing else is asked: each other one has to be compiled
QUICK: dict[str, Any] = {"folds": 3, "split": "group:patient", "epochs": 8, "trials": 6}
SEARCH = ["head=mlp,ridge", "learning_rate=1e-3..1e-1", "hidden=8", "columns=all"]


def sweep(cache: Path, **options: Any) -> FinishedSweep:
    asked = {"search": SEARCH, **QUICK, **options}
    return jaxreg.sweep_heads("table", cache=cache, ckpts=cache.parent / "ckpts", **asked)


def lines_of(run: Path, *, seconds: bool = False) -> list[dict[str, str]]:
    with (run / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{n: v for n, v in row.items() if seconds or n != "seconds"} for row in rows]


def predictions_of(run: Path) -> np.ndarray:
    return pq.read_table(run / "predictions.parquet")["prediction.y"].to_numpy()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_table(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def finished(cache: Path) -> FinishedSweep:
    return sweep(cache, run="first")


def test_rungs_halve_until_four_are_left() -> None:
    assert rungs_of(100, 4) == [100]
    assert rungs_of(100, 8) == [25, 100]
    assert rungs_of(100, 16) == [12, 25, 100]
    assert rungs_of(20, 32) == [1, 2, 5, 20]
    assert rungs_of(1, 32) == [1]


def test_the_scores_are_those_of_the_predictions(finished: FinishedSweep) -> None:
    run, record = finished.run, finished.record
    table = pq.read_table(run.path / "predictions.parquet")
    y, predicted = (table[f"{kind}.y"].to_numpy() for kind in ("target", "prediction"))
    error = predicted - y
    # NumPy by hand
    assert finished.metrics["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    r2 = 1 - np.square(error).sum() / np.square(y - y.mean()).sum()
    assert finished.metrics["r2"] == pytest.approx(r2, rel=1e-5)
    assert run.summary["metrics"] == record["metrics"]
    assert record["baselines"]["median"] == run.summary["baselines"]["median"]
    assert record["optimism"] == pytest.approx(
        finished.metrics["mae"] - record["best_inner_mae"], rel=1e-9
    )
    assert record["finished"] is True
    assert json.loads((run.path / "sweep.json").read_text())["metrics"] == record["metrics"]


def test_each_choice_has_its_trials_and_numbers_are_unique(finished: FinishedSweep) -> None:
    lines = lines_of(finished.run.path)
    assert list(lines[0]) == ["trial", "stage", "fold", "status", "head", "learning_rate", "hidden",
                              "columns", "mae", "r2", "huber", "rows", "epochs"]  # fmt: skip
    numbers = [int(line["trial"]) for line in lines]
    assert len(set(numbers)) == len(numbers)
    for fold in ("", "0", "1", "2"):
        own = [line for line in lines if line["fold"] == fold]
        ridges = [line["columns"] for line in own if line["stage"] == "ridge"]
        assert len(ridges) == 3 + 3 + 1  # three columns, their pairs, and the three together
        heads = [line for line in own if line["stage"] == "heads"]
        assert len(heads) == 6
        assert {line["status"] for line in heads} <= {"done", "stopped"}
    held_out = [int(line["rows"]) for line in lines if line["stage"] == "heads"]
    assert max(held_out) == 240  # of the final choice; those of a fold saw fewer
    assert finished.trials.num_rows == len(lines)


def test_the_settings_are_those_of_the_best_trial(finished: FinishedSweep) -> None:
    lines = [line for line in lines_of(finished.run.path) if not line["fold"]]
    ended = [one for one in lines if one["stage"] == "heads" and one["status"] == "done"]
    best = min(ended, key=lambda line: float(line["mae"]))
    chosen, settings = finished.chosen, finished.run.settings
    assert chosen["head"] == best["head"] == settings.head
    assert "+".join(chosen["columns"]) == best["columns"]
    assert BAD not in chosen["columns"]
    assert [name.removeprefix("identity.") for name in settings.columns] == chosen["columns"]
    if "finalists" not in chosen:
        assert finished.record["best_inner_mae"] == float(best["mae"])
    assert len(finished.record["chosen_by_fold"]) == 3


def test_a_ridge_of_every_column_beats_that_of_noise(finished: FinishedSweep) -> None:
    lines = [line for line in lines_of(finished.run.path) if line["stage"] == "ridge"]
    for fold in ("", "0", "1", "2"):
        own = {line["columns"]: float(line["mae"]) for line in lines if line["fold"] == fold}
        assert min(own, key=lambda name: own[name]).startswith(GOOD)
        assert own[GOOD] < 0.6 * own[BAD]


def test_outer_predictions_are_those_of_train_with_what_was_chosen(cache: Path) -> None:
    """`train_head` knows nothing of sweeps: its fold has the bits of the sweep's."""
    found = sweep(cache, run="blends", trials=2, search=["head=blend", "learning_rate=0.01,0.02"],
                  columns=(GOOD,), hidden=(8,))  # fmt: skip
    held_out = predictions_of(found.run.path)
    fixed = {name: QUICK[name] for name in ("folds", "split", "epochs")}
    for fold, chosen in enumerate(found.record["chosen_by_fold"]):
        numbers = chosen.get("finalists", [chosen])
        each = [
            jaxreg.train_head(
                "table", cache=cache, ckpts=cache.parent / "ckpts", run=f"own-{fold}-{number}",
                **fixed, head="blend", hidden=(8,), columns=(GOOD,),
                learning_rate=one["learning_rate"],
            )
            for number, one in enumerate(numbers)
        ]  # fmt: skip
        rows = np.array(each[0].summary and pq.read_table(
            each[0].path / "predictions.parquet")["fold"].to_pylist()) == fold  # fmt: skip
        mean = np.mean([predictions_of(run.path)[rows] for run in each], axis=0)
        np.testing.assert_allclose(held_out[rows], mean, rtol=1e-6)


def test_a_choice_sees_no_row_of_its_fold(tmp_path: Path, finished: FinishedSweep) -> None:
    """With other targets in one fold, all that was chosen without the fold stays, to the bit."""
    table = pq.read_table(finished.run.path / "predictions.parquet")
    other = np.array(table["fold"].to_pylist()) == 1
    cache = make_table(tmp_path, change=lambda y: np.where(other, 1000.0 - 50 * y, y))
    found = sweep(cache, run="changed")
    before, after = (lines_of(one.run.path) for one in (finished, found))
    assert [one for one in after if one["fold"] == "1"] == [
        one for one in before if one["fold"] == "1"
    ]
    assert [one for one in after if one["fold"] == "0"] != [
        one for one in before if one["fold"] == "0"
    ]
    assert found.record["chosen_by_fold"][1] == finished.record["chosen_by_fold"][1]
    before_out, after_out = (predictions_of(one.run.path)[other] for one in (finished, found))
    np.testing.assert_array_equal(after_out, before_out)


def test_a_sweep_again_has_the_same_bits(cache: Path, finished: FinishedSweep) -> None:
    again = sweep(cache, run="again")
    assert lines_of(again.run.path) == lines_of(finished.run.path)
    np.testing.assert_array_equal(predictions_of(again.run.path), predictions_of(finished.run.path))


def test_what_is_not_searched_stays(cache: Path) -> None:
    words = {"search": {"head": ["ridge", "mlp"]}, "hidden": (4,), "columns": (BAD,), "trials": 9}
    found = sweep(cache, run="fixed", **words)
    lines = lines_of(found.run.path)
    assert len(lines) == 4 * 2  # two settings there are, whatever --trials says
    assert "columns" not in lines[0]
    assert found.run.settings.columns == (f"identity.{BAD}",)
    assert set(found.chosen) == {"head"}


def test_a_finished_sweep_is_left_alone(cache: Path, finished: FinishedSweep) -> None:
    said: list[str] = []
    content = (finished.run.path / "sweep.json").read_bytes()
    jaxreg.sweep_heads(run=finished.run.path, resume=True, say=said.append)
    assert said == [f"{finished.run.path} is finished"]
    assert (finished.run.path / "sweep.json").read_bytes() == content
    with pytest.raises(InputError, match="first exists"):
        sweep(cache, run="first")


def test_the_example_of_the_documentation_holds(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cache").symlink_to(cache)
    [example] = doctest.DocTestFinder().find(jaxreg.sweep_heads, globs={"jaxreg": jaxreg})
    result = doctest.DocTestRunner().run(example)
    assert (result.failed, result.attempted) == (0, 3)
