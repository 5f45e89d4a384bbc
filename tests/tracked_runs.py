"""Finished runs and a sweep on the planted dataset, for tests of what trackers get of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jaxreg
from conftest import make_planted
from jaxreg.tracking.logged_run import Epoch, LoggedRun, Training, Trial, read_logged_run
from planted_runs import run_quick

ODD = {
    "user/angle": 1.0,
    "Größe (m²)": 2.0,
    "a%b": 3.0,
    "a?b": 4.0,
    "../x": 5.0,
    "/": 6.0,
    "a//b": 7.0,
    "<b>x</b>": 8.0,
    "z" * 300: 9.0,
    "": 10.0,
}
"""Names that columns may have, and a number for each."""


def make_runs(folder: Path) -> Path:
    """A folder of runs: `one`, `folds` (two), `two` (targets, a ridge), and the sweep `sweep`."""
    planted = make_planted(folder)
    run_quick(planted, run="one", epochs=5, test=0.1)
    run_quick(planted, run="folds", epochs=5, folds=2)
    run_quick(planted, run="two", head="ridge", target=("angle", "speed"))
    common: dict[str, Any] = {"cache": planted, "ckpts": folder / "ckpts", "run": "sweep"}
    search = ["head=ridge", "columns=all"]
    jaxreg.sweep_heads("planted", search=search, trials=1, folds=2, **common)
    return folder / "ckpts"


def odd_run(run: Path, epochs: int = 1) -> LoggedRun:
    """A run whose names and numbers are as odd as they can be."""
    numbers = {"nan": float("nan"), "inf": float("inf"), "-inf": -float("inf"), "big": 1e300}
    made = read_logged_run(run)
    lines = [
        Epoch(number, made.started + number / 100, {"loss": 1 / number, "val_loss": float("nan")})
        for number in range(1, epochs + 1)
    ]
    trials = [
        Trial(1, "heads", "", "done", {"learning_rate": 0.01, "head": "mlp"}, {"mae": 0.5}, 2.0),
        Trial(2, "heads", "1", "failed", {"head": "<i>ridge</i>"}, {}, 0.5),
    ]
    return replace(
        made,
        parameters={**made.parameters, **ODD, "long": "x" * 9000},
        scores={**ODD, **numbers},
        tags={**made.tags, "headline": "y" * 9000, "<script>": "a | b"},
        trainings=[Training("", lines)],
        trials=trials,
    )
