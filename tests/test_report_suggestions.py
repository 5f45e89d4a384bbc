"""A run says that a ridge on another cached column is better, and only where that is not chance."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import jaxreg
from jaxreg import train
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.report import suggestions
from jaxreg.trained_run import TrainedRun

WEAK = "mixed3.grid2x4"


def add(cache: Path, column: Column, values: np.ndarray) -> None:
    store = Cache(cache)
    dataset = read_dataset(store, "planted")
    store.add(dataset.feature_set, column, dataset.digests, values.astype(np.float32))


@pytest.fixture
def weak(planted: Path) -> Path:
    """The planted cache with a column that knows less of the targets than the first one."""
    store = Cache(planted)
    dataset = read_dataset(store, "planted")
    strong = store.read(dataset.feature_set, [Column()], dataset.digests)
    rng = np.random.default_rng(0)
    add(planted, Column(layer="mixed3", pool="grid:2x4"), strong + 4 * rng.normal(size=(240, 12)))
    return planted


def run_of(cache: Path, **options: Any) -> TrainedRun:
    given = {"head": "ridge", "target": "angle", "columns": WEAK, **options}
    return jaxreg.train_head("planted", cache=cache, ckpts=cache.parent / "ckpts", **given)


def again(cache: Path, command: str) -> TrainedRun:
    """The run that the command makes."""
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("jaxreg", "train")
    folder = cache.parent / "again"
    assert train.main([*words, "--ckpts", str(folder), "--quiet"]) == 0
    return jaxreg.load_run(next(folder.iterdir()))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"folds": 3, "split": "blocks"},
        {"head": "mlp", "hidden": (8,), "epochs": 2},
        {"side_columns": "speed", "weight_column": "frame"},
    ],
    ids=["ridge", "folds", "mlp", "side columns and weights"],
)
def test_a_better_column_is_named_and_its_command_reaches_the_error(
    weak: Path, options: dict[str, Any]
) -> None:
    run = run_of(weak, **options)
    (found,) = run.summary["suggestions"]
    assert found["text"].startswith("a ridge on mixed10.avg, also cached, reaches MAE ")
    assert found["text"].endswith("--head ridge --columns mixed10.avg")
    assert found["mae"] < run.summary["metrics"]["mae"]
    page = (run.path / "report.html").read_text()
    assert "Another column" in page
    assert "also cached, reaches MAE" in page
    assert run.summary["seconds"]["suggestions"] > 0
    other = again(weak, found["command"])
    assert other.summary["metrics"]["mae"] == pytest.approx(found["mae"], rel=1e-5)
    assert other.summary["suggestions"] == []  # it is the best column
    assert other.summary["rows"] == run.summary["rows"]


def test_the_line_is_printed_once(weak: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["planted", "--cache", str(weak), "--ckpts", str(weak.parent / "printed")]
    assert train.main([*words, "--target", "angle", "--head", "ridge", "--columns", WEAK]) == 0
    told = capsys.readouterr().err
    assert told.count("suggestion: a ridge on mixed10.avg, also cached, reaches MAE") == 1


def test_several_targets_are_compared_by_r2(weak: Path) -> None:
    run = run_of(weak, target=("angle", "speed"))
    (found,) = run.summary["suggestions"]
    assert found["mae"] is None
    assert "reaches R² " in found["text"]
    other = again(weak, found["command"])
    r2 = other.summary["metrics"]["r2"]
    assert f"R² {r2:.3g} on the same rows" in found["text"]


def test_an_angle_on_a_circle(weak: Path) -> None:
    store = Cache(weak)
    dataset = read_dataset(store, "planted")
    strong = store.read(dataset.feature_set, [Column()], dataset.digests)
    degrees = np.degrees(np.arctan2(strong[:, 0], strong[:, 1])) % 360
    table = dataset.table.append_column("heading", pa.array(degrees.astype(np.float64)))
    write_dataset(store, dataclasses.replace(dataset, table=table))
    run = run_of(weak, target="heading", target_type="circular:360")
    (found,) = run.summary["suggestions"]
    other = again(weak, found["command"])
    assert other.summary["metrics"]["mae"] == pytest.approx(found["mae"], rel=1e-5)


def test_noise_gets_no_suggestion(planted: Path) -> None:
    """Twelve columns of which none knows anything: the best of them is only luck."""
    rng = np.random.default_rng(1)
    for number in range(12):
        add(planted, Column(layer=f"mixed{number}", pool="max"), rng.normal(size=(240, 12)))
    for number in range(3):
        run = run_of(planted, columns=f"mixed{number}.max", target="speed", run=f"noise-{number}")
        named = [one["text"] for one in run.summary["suggestions"]]
        assert all("mixed10.avg" in text for text in named)  # the one that knows the speed
    jitter = np.random.default_rng(2).normal(size=240)
    store = Cache(planted)
    dataset = read_dataset(store, "planted")
    place = dataset.table.column_names.index("speed")
    table = dataset.table.set_column(place, "speed", pa.array(jitter))
    write_dataset(store, dataclasses.replace(dataset, table=table))
    run = run_of(planted, columns="mixed0.max", target="speed", run="jitter")
    assert run.summary["suggestions"] == []


def test_nothing_is_solved_where_there_is_nothing_to_compare(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("a ridge was solved")

    monkeypatch.setattr(suggestions, "held_out_by_ridge", never)
    one = run_of(planted, columns="mixed10.avg")  # a dataset of one column
    assert one.summary["suggestions"] == []
    add(planted, Column(layer="mixed3", pool="grid:2x4"), np.ones((240, 40)))
    monkeypatch.setattr(suggestions, "SECONDS", 1e-9)  # too wide for what is left
    assert run_of(planted, columns="mixed10.avg", run="wide").summary["suggestions"] == []


def test_a_column_that_takes_too_long_is_left_out_before_any_is_solved(
    weak: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns are taken from the narrowest on, while their estimates fit."""
    solved = []
    original = suggestions.held_out_by_ridge

    def noted(experiment: Any, x: np.ndarray) -> np.ndarray:
        solved.append(x.shape[1])
        return original(experiment, x)

    monkeypatch.setattr(suggestions, "held_out_by_ridge", noted)
    for width in (2, 5, 200_000 // 240):
        add(weak, Column(layer=f"mixed{width % 9}", pool="max"), np.ones((240, width)))
    monkeypatch.setattr(suggestions, "READ", 240 * 2.0)  # a second for two columns
    run_of(weak, run="few")
    assert solved == [2]


def test_damage_of_another_column_leaves_the_run_whole(weak: Path) -> None:
    expected = run_of(weak).metrics
    [part] = weak.glob("features/*/*.mixed10.avg/*.parquet")
    part.write_bytes(part.read_bytes()[:-9])
    run = run_of(weak, overwrite=True)
    assert run.metrics == expected
    assert run.summary["suggestions"] == []
