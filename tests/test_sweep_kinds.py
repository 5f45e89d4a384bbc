"""Sweeps of all kinds of runs, and those that cannot be."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import jaxreg
from jaxreg.common.json_files import load_json, write_json
from jaxreg.errors import InputError
from jaxreg.search import watch
from jaxreg.sweep_api import FinishedSweep
from sweep_tables import BAD, GOOD, make_table

RIDGES = {"head": ["ridge"], "columns": "all"}
HEADS = {"head": ["mlp", "ridge"], "columns": f"{GOOD},{BAD}"}


def sweep(cache: Path, **options: Any) -> FinishedSweep:
    asked = {"folds": 3, "split": "group:patient", "epochs": 3, "trials": 3, "hidden": (4,)}
    return jaxreg.sweep_heads(
        "table", cache=cache, ckpts=cache.parent / "ckpts", **{**asked, **options}
    )


def mae_of(found: FinishedSweep) -> float:
    mae = found.metrics["mae"]
    assert mae is not None
    return mae


def lines_of(run: Path) -> list[dict[str, str]]:
    with (run / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_table(tmp_path_factory.mktemp("kinds"), sequential=False)


def test_several_targets_minimize_the_scaled_loss(cache: Path) -> None:
    found = sweep(cache, search=HEADS, target=("y", "y2"))
    lines = [line for line in lines_of(found.run.path) if not line["fold"]]
    assert {line["mae"] for line in lines} == {""}
    heads = [line for line in lines if line["stage"] == "heads" and line["status"] == "done"]
    assert found.record["best_inner_mae"] == min(float(line["huber"]) for line in heads)
    assert found.metrics["mae"] is None
    assert found.metrics["huber"] == found.run.summary["metrics"]["huber"]
    assert found.record["optimism"] == pytest.approx(
        found.metrics["huber"] - found.record["best_inner_mae"]
    )
    assert found.chosen["columns"] == [GOOD]


def test_a_circular_target_is_scored_around_the_circle(cache: Path) -> None:
    found = sweep(cache, search=RIDGES, target="angle", target_type="circular:360")
    table = pq.read_table(found.run.path / "predictions.parquet")
    y, predicted = (table[f"{kind}.angle"].to_numpy() for kind in ("target", "prediction"))
    apart = np.abs(predicted - y)
    around = np.minimum(apart, 360 - apart).mean()  # by hand
    assert found.metrics["mae"] == pytest.approx(around, rel=1e-5)
    assert around < 30


def test_side_columns_and_weights(cache: Path) -> None:
    without = sweep(cache, search=RIDGES)
    beside = sweep(cache, search=RIDGES, side_columns=("height",), weight_column="weight")
    assert beside.run.settings.side_columns == ("height",)
    assert beside.run.summary["weighted"]["mae"] > 0
    assert mae_of(beside) < mae_of(without)  # y depends on the height


def test_views_seeds_and_components(cache: Path) -> None:
    found = sweep(
        cache, search={"head": ["blend"], "learning_rate": "1e-3,1e-2", "components": "2,4"},
        columns=(GOOD,), views=("identity", "mirror"), seeds=2,
    )  # fmt: skip
    assert found.run.settings.components == found.chosen["components"]
    members = found.run.summary["members"]
    assert len(members) == 3 * 2 * max(1, len(found.chosen.get("finalists", ())))


def test_features_of_float16(tmp_path: Path, cache: Path) -> None:
    half = sweep(make_table(tmp_path, dtype="float16"), search=RIDGES)
    whole = sweep(cache, search=RIDGES)
    assert half.metrics["mae"] == pytest.approx(whole.metrics["mae"], rel=0.02)
    assert half.run.config["dtype"] == "float16"


@pytest.mark.parametrize("split", ["hash", "blocks", "blocks:5", "column:part"])
def test_every_split_that_has_folds(cache: Path, split: str) -> None:
    folds = 4 if split.startswith("column") else 2
    found = sweep(cache, search=RIDGES, folds=folds, split=split)
    assert len(found.record["chosen_by_fold"]) == folds
    assert mae_of(found) < 0.6


def test_missing_targets_and_features_that_stay_in_parts(cache: Path, tmp_path: Path) -> None:
    gaps = make_table(tmp_path, change=lambda y: np.where(np.arange(len(y)) % 9 == 0, np.nan, y))
    found = sweep(gaps, search=RIDGES)
    assert found.run.summary["rows"]["validation"] == 240 - 27
    with pytest.raises(InputError, match="--memory-limit"):
        sweep(cache, search=RIDGES, memory_limit="1kB")


def test_a_trial_that_diverges_has_failed_and_is_never_chosen(cache: Path) -> None:
    words = {"head": ["mlp"], "learning_rate": "1e-2,1e30"}
    found = sweep(cache, search=words, columns=(GOOD,))
    by_rate = {}
    for line in lines_of(found.run.path):
        by_rate.setdefault(line["learning_rate"], set()).add((line["status"], line["mae"] != ""))
    assert by_rate["0.01"] == {("done", True)}
    assert by_rate["1e+30"] == {("failed", False)}
    assert found.chosen["learning_rate"] == 0.01


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "all fail": (
        {"search": {"learning_rate": "1e30,1e31"}, "columns": (GOOD,)},
        "all 2 trials on all rows failed",
    ),
    "test": ({"search": RIDGES, "test": 0.2}, "--folds with --test"),
    "no folds": ({"search": RIDGES, "split": "tail"}, "--split tail, which has only one end"),
    "few groups": (
        {"search": RIDGES, "split": "group:part", "folds": 3},
        "settings are chosen on folds within",
    ),
    "trials": ({"search": RIDGES, "trials": 0}, "--trials is 0"),
    "both": ({"search": RIDGES, "trials": 3, "minutes": 1.0}, "--trials with --minutes"),
    "minutes": ({"search": RIDGES, "trials": None, "minutes": 0.0}, "--minutes is 0.0"),
    "no such column": ({"search": ["columns=mixed9.avg,mixed2.avg"]}, "mixed9.avg"),
    "settings that do not go": (
        {"search": {"head": ["ridge"], "scale_features": [False]}, "columns": (GOOD,)},
        "--head ridge with --no-scale-features",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_sweep_that_cannot_be(cache: Path, name: str) -> None:
    options, told = REFUSED[name]
    runs = sorted((cache.parent / "ckpts").glob("*"))
    said: list[str] = []
    with pytest.raises(InputError) as caught:
        sweep(cache, say=said.append, **options)
    assert told in "\n".join([str(caught.value), *said])
    if name not in ("all fail", "settings that do not go"):  # found before
        assert sorted((cache.parent / "ckpts").glob("*")) == runs


def test_a_dataset_without_features(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(InputError, match="no dataset"):
        sweep(tmp_path / "nothing", search=RIDGES)


MINUTES: dict[str, Any] = {
    "trials": None,
    "minutes": 5.0,
    "search": RIDGES | {"head": ["mlp"], "learning_rate": "1e-3..1e-1"},
}


def each_look_takes(seconds: float, patch: pytest.MonkeyPatch) -> None:
    ticks = [0.0]

    def tick() -> float:
        ticks[0] += seconds
        return ticks[0]

    patch.setattr(watch, "clock", tick)


def test_minutes_are_kept_and_resumed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock of which each look takes two seconds, a minute is soon over."""
    each_look_takes(2.0, monkeypatch)
    found = sweep(cache, run="minutes", **MINUTES)
    heads = [line for line in lines_of(found.run.path) if line["stage"] == "heads"]
    assert found.record["trials"] is None
    assert 0 < len(heads) < 8 * 4 * 10
    assert mae_of(found) > 0
    # killed before its end, when its time was over: what the file has needs no time
    run, before = found.run.path, lines_of(found.run.path)
    said = load_json(run / "sweep.json")
    seconds = {"final": 1.0, "total": 301.0}
    said |= {"choices": 0, "chosen_by_fold": [], "finished": False, "seconds": seconds}
    write_json(run / "sweep.json", {n: v for n, v in said.items() if n != "sha256"})
    again = jaxreg.sweep_heads(run=run, resume=True)
    assert lines_of(run) == before
    assert again.chosen == found.chosen
    assert again.record["chosen_by_fold"] == found.record["chosen_by_fold"]


@pytest.mark.parametrize("columns", ["all", f"{GOOD},{BAD}", None])
def test_without_time_for_a_trial_the_first_settings_are_taken(
    cache: Path, monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    each_look_takes(1000.0, monkeypatch)
    search = {"head": ["mlp"], "learning_rate": "1e-2"} | ({"columns": columns} if columns else {})
    found = sweep(cache, **{**MINUTES, "search": search})
    assert lines_of(found.run.path) == []
    assert "No trial on all rows had ended in time" in (found.run.path / "report.html").read_text()
    assert found.chosen["learning_rate"] == 0.01
    assert found.record["optimism"] is None
    assert mae_of(found) > 0
    assert found.record["finished"] is True


def test_a_delta_that_stays_fixed_is_of_the_huber_loss_alone(cache: Path) -> None:
    search = {"loss": "huber,mse", "head": "mlp"}
    found = sweep(cache, search=search, huber_delta=0.4, columns=(GOOD,))
    assert {line["status"] for line in lines_of(found.run.path)} == {"done"}
    assert found.record["settings"]["huber_delta"] == 0.4
    delta = found.run.settings.huber_delta
    assert delta == (0.4 if found.chosen["loss"] == "huber" else None)
