"""Runs whose heads differ in numbers, as a sweep makes them."""

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

import jaxreg
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, Stopped
from jaxreg.experiment.finalists import NUMERIC, checked_finalists, number_of_members
from jaxreg.experiment.resolve import resolve
from jaxreg.head.rates import Rates
from jaxreg.run_loading import load_states
from jaxreg.runner import execute
from jaxreg.train_config import TrainConfig
from jaxreg.trained_run import TrainedRun
from jaxreg.training.run_directory import RunDirectory
from planted_runs import QUICK, run_quick

NUMBERS = (
    {"learning_rate": 0.01, "dropout": 0.1, "patience": 3},
    {"learning_rate": 0.02, "dropout": 0.4, "weight_decay": 0.1, "huber_delta": 0.3},
)


def run_several(
    planted: Path, name: str, finalists: Sequence[Mapping[str, Any]] = NUMBERS, **more: Any
) -> TrainedRun:
    """A run of such heads, with two folds."""
    store = Cache(planted)
    stop = more.pop("should_stop", lambda: False)
    asked = {**QUICK, "folds": 2, "split": "hash", **more}
    resolved = resolve(store, read_dataset(store, "planted"), asked)
    resolved = dataclasses.replace(resolved, finalists=tuple(finalists))
    directory = RunDirectory(planted.parent / "ckpts" / name)
    execute(
        directory,
        resolved,
        resume=False,
        overwrite=False,
        say=lambda text: None,
        on_epoch=lambda row: None,
        should_stop=stop,
        begin=time.perf_counter(),
    )
    return jaxreg.load_run(directory.path)


def test_each_head_has_the_bits_of_a_run_with_its_numbers(planted: Path) -> None:
    run = run_several(planted, "both")
    members = [(one["fold"], one["finalist"], one["seed"]) for one in run.summary["members"]]
    assert members == [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0)]
    assert run.config["finalists"] == list(NUMBERS)
    states, _ = load_states(RunDirectory(run.path), lambda text: None)
    held_out = []
    for place, numbers in enumerate(NUMBERS):
        alone = run_quick(planted, run=f"alone-{place}", folds=2, split="hash", **numbers)
        own, _ = load_states(RunDirectory(alone.path), lambda text: None)
        for fold in (0, 1):
            pair = own[fold], states[2 * fold + place]
            assert all(jax.tree.leaves(jax.tree.map(np.array_equal, *pair)))
        held_out.append(alone.predictions["prediction.angle"].to_numpy())
    # a held-out row is predicted by the mean of the heads of its fold: NumPy's
    told = run.predictions["prediction.angle"].to_numpy()
    np.testing.assert_allclose(told, np.mean(held_out, axis=0), rtol=1e-5, atol=1e-6)
    header, *lines = (run.path / "history.csv").read_text().splitlines()
    assert header.startswith("fold,finalist,seed,epoch,loss")
    assert {line.split(",")[1] for line in lines} == {"0", "1"}
    assert "fold 1, finalist 1, seed 0" in (run.path / "report.html").read_text()


def test_one_finalist_is_a_run_of_its_settings(planted: Path) -> None:
    run = run_several(planted, "one", NUMBERS[1:])
    alone = run_quick(planted, run="alone", folds=2, split="hash", **NUMBERS[1])
    assert run.predictions.equals(alone.predictions)
    assert [one["finalist"] for one in run.summary["members"]] == [None, None]
    assert (run.path / "history.csv").read_text().startswith("fold,seed,")


def test_a_stopped_run_of_several_goes_on_to_the_same_bits(planted: Path, monkeypatch) -> None:
    from jaxreg.training import loop

    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)  # one epoch at a time
    whole = run_several(planted, "whole")
    asked = iter([False, False, True])
    with pytest.raises(Stopped, match="stopped after epoch 3"):
        run_several(planted, "cut", should_stop=lambda: next(asked, False))
    cut = planted.parent / "ckpts" / "cut"
    resumed = jaxreg.train_head(cache=planted, run=cut, resume=True)
    assert resumed.predictions.equals(whole.predictions)
    assert resumed.summary["members"] == whole.summary["members"]


def test_everything_that_loads_a_run_loads_one_of_several(planted: Path, capsys) -> None:
    from jaxreg import bundle, diagnose, verify

    run = run_several(planted, "both", components=5)
    out = planted.parent / "both.zip"
    assert bundle.main([str(run.path), "--out", str(out)]) == 0
    x = np.random.default_rng(1).normal(size=(5, 12)).astype(np.float32)
    packed = jaxreg.load_run(out)
    np.testing.assert_array_equal(packed.predict_features(x), run.predict_features(x))
    assert verify.main([str(run.path)]) == 0
    capsys.readouterr()
    assert diagnose.main([str(run.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert Path(told["page"]).exists()
    assert "the first of 4" in Path(told["page"]).read_text()
    assert verify.main([str(run.path)]) == 0


def test_the_numbers_are_those_that_one_program_takes() -> None:
    rates = {"dropout" if name == "keep" else name for name in Rates._fields}  # keep = 1 − dropout
    assert rates == set(NUMERIC)
    config = TrainConfig(folds=3, seeds=2)
    assert number_of_members(config) == 6
    assert number_of_members(config, NUMBERS) == 12
    # deltas of several targets come from JSON as a list
    assert checked_finalists(config, [{"huber_delta": [0.5, 2.0]}])[0] == {"huber_delta": (0.5, 2)}


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ({"hidden": [3]}, "finalists that differ in hidden"),
        ({"dropout": 1.5}, "--dropout is 1.5"),
        ({"patience": "3"}, "--patience is '3'"),
    ],
)
def test_other_finalists_are_refused(numbers: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=found):
        checked_finalists(TrainConfig(), [numbers])


def test_a_run_of_before_has_no_finalist(planted: Path) -> None:
    run = run_quick(planted, folds=2)
    assert "finalists" not in run.config
    table = pq.read_table(run.path / "predictions.parquet")
    assert "finalist" not in table.column_names
