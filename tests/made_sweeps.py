"""Sweeps that nobody ran: their records and trials, for tests of what is made of these."""

import io
from csv import writer
from pathlib import Path
from typing import Any

import numpy as np

SEARCHED: dict[str, dict[str, Any]] = {
    "learning_rate": {"from": 1e-5, "to": 1e-2, "scale": "log"},
    "dropout": {"from": 0.0, "to": 0.5, "scale": "linear"},
    "head": {"choices": ["mlp", "blend"]},
    "hidden": {"choices": [[512, 256], [64]]},
    "columns": {"choices": ["all"]},
}

CHOSEN = {
    "head": "blend",
    "hidden": [64],
    "columns": ["mixed10.avg"],
    "finalists": [
        {"learning_rate": 0.01, "dropout": 0.1},
        {"learning_rate": 0.02, "dropout": 0.3},
    ],
}

OTHER = {"head": "mlp", "hidden": [64], "columns": ["mixed2.max"], "learning_rate": 0.003}


def sweep_content(**changes: Any) -> dict[str, Any]:
    """The content of sweep.json before the outer folds."""
    return {
        "kind": "sweep",
        "dataset": "planted",
        "search": {"asked": None, "read": SEARCHED},
        "settings": {},
        "trials": 16,
        "minutes": None,
        "folds": 2,
        "seed": 0,
        "metrics": None,
        "baselines": None,
        "chosen": CHOSEN,
        "chosen_by_fold": [CHOSEN, OTHER],
        "optimism": None,
        "best_inner_mae": 0.1,
        "seconds": {"total": 20.0},
        "finished": False,
        **changes,
    }


def trials_text(trials: int = 16, columns: tuple[str, ...] = ("mixed10.avg", "mixed2.max")) -> str:
    """trials.csv: a ridge on each column and so many heads, for the final choice and two folds.

    Of the heads number 2 failed, and the error of number 3 is far larger than all others. The
    trial with the lowest error of the final choice has an MAE of 0.1.
    """
    rng, lines, number = np.random.default_rng(5), [], 0
    for fold in ("", "0", "1"):
        for place in range(len(columns) + trials):
            number += 1
            head = place - len(columns)
            ridge, failed = head < 0, head == 2
            mae = 0.1 if head == 0 and not fold else float(rng.uniform(0.11, 0.4))
            mae = 40.0 if head == 3 else mae
            column = columns[place % len(columns)]
            rate, dropped = float(10 ** rng.uniform(-5, -2)), float(rng.uniform(0, 0.5))
            settings = [f"{rate:.4g}", f"{dropped:.3g}", ("mlp", "blend")[head % 2], "64", column]
            status = "failed" if failed else "done" if ridge or head < 4 else "stopped"
            scores = ["", "", ""] if failed else [repr(mae), repr(1 - 2 * mae), repr(mae / 9)]
            stage = "ridge" if ridge else "heads"
            own = ["", "", "", "", column] if ridge else settings
            epochs, seconds = 0 if ridge else 100, f"{rng.uniform(0.1, 9):.3f}"
            lines.append([number, stage, fold, status, *own, *scores, 240, epochs, seconds])
    text = io.StringIO()
    rows = writer(text, lineterminator="\n")
    scores = ("mae", "r2", "huber", "rows", "epochs", "seconds")
    rows.writerow(["trial", "stage", "fold", "status", *SEARCHED, *scores])
    rows.writerows(lines)
    return text.getvalue()


def write_trials(folder: Path, **options: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trials.csv").write_text(trials_text(**options))
