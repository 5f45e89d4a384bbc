"""Sweeps that were stopped or killed: they go on, lose no line, and end with the same bits."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import jaxreg
from jaxreg.common.json_files import load_json, write_json
from jaxreg.errors import InputError, Stopped
from jaxreg.search.trials_file import alone
from jaxreg.sweep_api import FinishedSweep
from jaxreg.training.lanes import Lanes
from jaxreg.training.sweep_files import read_sweep
from sweep_tables import GOOD, make_table

QUICK: dict[str, Any] = {"folds": 3, "split": "group:patient", "epochs": 8, "trials": 6}
SEARCH = ["head=mlp", "learning_rate=1e-3..1e-1", "hidden=8", "columns=all"]


def sweep(cache: Path, **options: Any) -> FinishedSweep:
    asked = {"search": SEARCH, **QUICK, **options}
    return jaxreg.sweep_heads("table", cache=cache, ckpts=cache.parent / "ckpts", **asked)


def lines_of(run: Path) -> list[list[str]]:
    """All lines without their seconds, which are the last value."""
    with (run / "trials.csv").open() as file:
        return [row[:-1] for row in csv.reader(file)]


def head_of(run: Path) -> tuple[bytes, list[np.ndarray]]:
    """The predictions, and the weights in the checkpoint."""
    loaded = jaxreg.load_run(run)
    weights = [leaf for params in loaded.params for leaf in leaves(params)]
    return pq.read_table(run / "predictions.parquet").to_pydict(), weights


def leaves(params: Any) -> list[np.ndarray]:
    import jax

    return [np.asarray(leaf) for leaf in jax.tree.leaves(params)]


def assert_same(run: Path, other: Path) -> None:
    assert lines_of(run) == lines_of(other)
    (table, weights), (others, theirs) = head_of(run), head_of(other)
    assert table == others
    for one, two in zip(weights, theirs, strict=True):
        np.testing.assert_array_equal(one, two)
    same = [
        {name: value for name, value in load_json(each / "sweep.json").items()
         if name not in ("seconds", "sha256")}
        for each in (run, other)
    ]  # fmt: skip
    assert same[0] == same[1]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_table(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def finished(cache: Path) -> Path:
    return sweep(cache, run="whole").run.path


def killed_at(finished: Path, name: str, lines: int, *, torn: int = 0) -> Path:
    """The folder of a sweep that a kill left with so many lines, and some bytes of the next."""
    run = finished.parent / name
    run.mkdir()
    content = (finished / "trials.csv").read_bytes().splitlines(keepends=True)
    (run / "trials.csv").write_bytes(b"".join([*content[:lines], content[lines][:torn]]))
    said = load_json(finished / "sweep.json")
    empty = {"metrics": None, "baselines": None, "chosen": None, "chosen_by_fold": [],
             "optimism": None, "best_inner_mae": None, "choices": 0, "seconds": {},
             "finished": False}  # fmt: skip
    write_json(run / "sweep.json", {n: v for n, v in (said | empty).items() if n != "sha256"})
    return run


def line_of(finished: Path, is_it: Callable[[dict[str, str]], bool]) -> int:
    """The number of the first line, from 1 after that of the names, that is so."""
    with (finished / "trials.csv").open() as file:
        return next(n for n, row in enumerate(csv.DictReader(file), 1) if is_it(row))


WHERE: dict[str, Callable[[dict[str, str]], bool]] = {
    "a pair": lambda row: "+" in row["columns"],
    "a stopped trial": lambda row: row["status"] == "stopped",
    "the end of the final choice": lambda row: row["stage"] == "heads" and row["epochs"] == "8",
    "the last fold": lambda row: row["fold"] == "2" and row["stage"] == "heads",
}


@pytest.mark.parametrize("where", WHERE)
def test_a_sweep_goes_on_behind_any_line(finished: Path, where: str) -> None:
    lines = line_of(finished, WHERE[where])
    run = killed_at(finished, f"killed-{list(WHERE).index(where)}", lines, torn=9)
    before = lines_of(run)[:lines]
    jaxreg.sweep_heads(run=run, resume=True)
    assert lines_of(run)[:lines] == before
    assert_same(run, finished)


def test_a_request_to_stop_saves_the_best_so_far(cache: Path, finished: Path) -> None:
    run = finished.parent / "stopped"

    def enough() -> bool:
        return run.exists() and len(lines_of(run)) > 9 if (run / "trials.csv").exists() else False

    with pytest.raises(Stopped) as caught:
        sweep(cache, run=run, should_stop=enough)
    assert f"jaxreg sweep table --run {run} --resume" in str(caught.value)
    said = json.loads((run / "sweep.json").read_text())
    assert said["finished"] is False
    assert said["metrics"] is None
    loaded = jaxreg.load_run(run)  # usable: it has a checkpoint and a summary
    assert loaded.summary["metrics"]["mae"] > 0
    assert said["chosen"]["head"] == loaded.settings.head
    jaxreg.sweep_heads(run=run, resume=True)
    assert_same(run, finished)


def test_a_stop_while_finalists_train_again_decides_nothing(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their mean is scored with predictions, which the file does not have."""
    is_mean = line_of(finished, lambda row: row["stage"] == "mean" and not row["fold"])
    run, stopping, trained = killed_at(finished, "again", is_mean), [], Lanes.run

    def stop_in_it(self: Lanes, until: int, should_stop: Callable[[], bool]) -> bool:
        stopping.append(True)
        return trained(self, until, should_stop)

    with monkeypatch.context() as patch:
        patch.setattr(Lanes, "run", stop_in_it)
        with pytest.raises(Stopped):
            jaxreg.sweep_heads(run=run, resume=True, should_stop=lambda: bool(stopping))
    assert len(lines_of(run)) == is_mean  # with the line of the names
    jaxreg.sweep_heads(run=run, resume=True)
    assert_same(run, finished)


def test_a_sweep_before_its_first_head_is_named(finished: Path) -> None:
    run = killed_at(finished, "headless", 3)
    with pytest.raises(InputError, match="headless has no head yet") as caught:
        jaxreg.load_run(run)
    assert caught.value.remedy == f"jaxreg sweep table --run {run} --resume"


def test_what_a_kill_leaves_of_the_first_file_is_no_run(cache: Path) -> None:
    run = cache.parent / "ckpts" / "first-file"
    run.mkdir(parents=True)
    (run / ".sweep.json.123.0123abcd.tmp").write_text("{")
    found = sweep(cache, run=run, resume=True, search=["head=ridge"], columns=(GOOD,))
    assert sorted(path.name for path in found.run.path.glob(".*")) == []


def test_two_sweeps_in_one_folder(finished: Path) -> None:
    run = killed_at(finished, "two", 3)
    before = (run / "trials.csv").read_bytes()
    with alone(run), pytest.raises(InputError, match="another sweep is at work in"):
        jaxreg.sweep_heads(run=run, resume=True)
    assert (run / "trials.csv").read_bytes() == before


def test_a_sweep_without_its_last_files_has_no_scores(finished: Path) -> None:
    run = finished.parent / "without-summary"
    shutil.copytree(finished, run)
    (run / "summary.json").unlink()
    assert read_sweep(finished)["metrics"]["mae"] > 0  # type: ignore[index]
    assert read_sweep(run)["metrics"] is None  # type: ignore[index]
    jaxreg.sweep_heads(run=run, resume=True)
    assert_same(run, finished)
    (run / "sweep.json").unlink()
    with pytest.raises(InputError, match=r"sweep\.json is absent"):
        jaxreg.sweep_heads(run=run, resume=True)


def test_other_settings_are_refused_and_named(finished: Path) -> None:
    run = killed_at(finished, "other", 3)
    content = (run / "trials.csv").read_bytes()
    for options, told in [
        ({"trials": 7}, "--trials 6 there, 7 now"),
        ({"minutes": 1.0}, "--minutes not given there, 1.0 now"),
        ({"epochs": 9}, "--epochs 8 there, 9 now"),
        ({"dropout": 0.1}, "--dropout not given there, 0.1 now"),
        ({"search": ["head=mlp,ridge"]}, "--search head=mlp learning_rate=1e-3..1e-1"),
    ]:
        asked: dict[str, Any] = options
        with pytest.raises(InputError) as caught:
            jaxreg.sweep_heads(run=run, resume=True, **asked)
        assert told in str(caught.value)
    assert (run / "trials.csv").read_bytes() == content


def test_a_file_of_another_search_is_refused(finished: Path) -> None:
    run = killed_at(finished, "foreign", 12)
    path = run / "trials.csv"
    path.write_text(path.read_text().replace(GOOD, "mixed9.avg", 1))
    with pytest.raises(InputError, match="is of another search: trial 1 is of mixed9"):
        jaxreg.sweep_heads(run=run, resume=True)


def test_a_run_of_train_and_a_missing_name(cache: Path, finished: Path) -> None:
    with pytest.raises(InputError, match="--resume without --run"):
        jaxreg.sweep_heads(resume=True)
    head = {"head": "ridge", "columns": (GOOD,), "split": "group:patient"}
    run = jaxreg.train_head("table", cache=cache, run=finished.parent / "ridge", **head).path
    with pytest.raises(InputError, match="is the run of jaxreg train"):
        jaxreg.sweep_heads(run=run, resume=True)


@pytest.mark.slow
def test_a_sweep_that_is_killed_ten_times_ends_as_one_that_was_not(
    cache: Path, finished: Path
) -> None:
    run, random = finished.parent / "killed", np.random.default_rng(0)
    words = ["sweep", "table", "--cache", str(cache), "--run", str(run), "--trials", "6",
             "--folds", "3", "--split", "group:patient", "--epochs", "8", "--search",
             *SEARCH]  # fmt: skip
    known: list[list[str]] = []
    kills = 0
    while kills < 10:
        resume = ["--resume"] if run.exists() else []
        process = subprocess.Popen([sys.executable, "-m", "jaxreg", *words, *resume])
        more = len(known) + int(random.integers(1, 3))
        while process.poll() is None:
            time.sleep(0.02)
            there = len(lines_of(run)) if (run / "trials.csv").exists() else 0
            if there >= more:  # a little further each time, and then at any moment
                time.sleep(float(random.uniform(0, 0.3)))
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
        code = process.wait()
        whole = [row for row in lines_of(run) if len(row) == len(known[0] if known else row)]
        assert whole[: max(0, len(known) - 1)] == known[:-1]  # the last may have been torn
        known = whole
        if code == 0:
            break
    assert kills == 10, "the sweep was too quick to be killed so often"
    subprocess.run([sys.executable, "-m", "jaxreg", *words, "--resume"], check=True)
    numbers = [row[0] for row in lines_of(run)]
    assert len(set(numbers)) == len(numbers)
    assert_same(run, finished)
