"""The finished runs of a folder as one table: `jaxreg runs`."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxreg.common.steps import counted
from jaxreg.errors import InputError, reading
from jaxreg.training.run_directory import RunDirectory, runs_in

COLUMNS: tuple[str, ...] = (
    "run", "dataset", "head", "columns", "split", "rows", "mae", "r2", "gain_over_median",
    "gain_over_ridge", "seconds", "healthy", "comparable",
)  # fmt: skip


def runs_table(
    folder: Path, dataset: str | None, sort: str, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One row, with the keys of COLUMNS, for each finished run that is a child of `folder`.

    `mae` and `r2` are of the validation rows; `gain_over_median` is 1 − mae / mae of the median.
    With several targets `mae` is None; `r2` and the gains are means over the targets.
    Runs with the same number in `comparable` have the same dataset, targets and validation rows.

    Args:
        folder: of runs.
        dataset: only its runs; None: all.
        sort: a key of COLUMNS. Numbers that are better when high come first when high. Runs
            without a value come last; among equal ones the highest r2 comes first.
        say: gets a line for each run that is left out.

    Raises:
        InputError: no such folder or column.
    """
    if sort not in COLUMNS:
        raise InputError(f"--sort {sort}", expected=" or ".join(COLUMNS))
    if not folder.is_dir():
        raise InputError(f"no folder {folder}", expected="a folder of runs")
    rows, groups = [], dict[str, int]()
    for path in counted("reading the runs", runs_in(folder), "runs"):
        try:
            directory = RunDirectory(path)
            config, summary = directory.read_config(), directory.read_summary()
        except InputError as error:
            say(f"{path} is left out: {error.found}")
            continue
        if dataset is not None and config["dataset"] != dataset:
            continue
        if summary is None:
            say(f"{path} is left out: it is not finished")
            continue
        try:
            with reading(str(path)):
                rows.append(_row(directory, config, summary, groups))
        except InputError as error:
            say(f"{path} is left out: {error.found}")
    sign = -1 if sort in ("r2", "gain_over_median", "gain_over_ridge") else 1

    def place(row: dict[str, Any]) -> tuple[bool, Any, bool, float]:
        value, r2 = row[sort], row["r2"]
        placed = sign * value if isinstance(value, float) else "" if value is None else value
        return value is None, placed, r2 is None, -(r2 or 0.0)

    return sorted(rows, key=place)


def best_of(rows: list[dict[str, Any]]) -> str | None:
    """The run that lies furthest below its median predictor, in shares of its error.

    Runs of several targets have no error in one unit. If all runs are such runs, the one with the
    highest R² is the best.
    """
    by = "gain_over_median" if any(row["mae"] is not None for row in rows) else "r2"
    scored = [row for row in rows if row[by] is not None and (by == "r2" or row["mae"] is not None)]
    return max(scored, key=lambda row: row[by])["run"] if scored else None


def _row(
    directory: RunDirectory,
    config: dict[str, Any],
    summary: dict[str, Any],
    groups: dict[str, int],
) -> dict[str, Any]:
    settings, scores = config["settings"], summary["metrics"]
    return {
        "run": str(directory.path),
        "dataset": config["dataset"],
        "head": settings["head"],
        "columns": settings["columns"],
        "split": settings["split"],
        "rows": summary["rows"]["validation"],
        "mae": scores["mae"],
        "r2": scores["r2"],
        "gain_over_median": _gain(summary, "median"),
        "gain_over_ridge": _gain(summary, "ridge"),
        "seconds": summary["seconds"]["total"],
        "healthy": summary["verdict"]["healthy"],
        "comparable": groups.setdefault(_held_out(directory, config, summary), len(groups) + 1),
    }


def _gain(summary: dict[str, Any], baseline: str) -> float | None:
    """The share of the baseline's MAE that the run saves; the mean over the targets."""
    each = (
        summary["by_target"].values()
        if len(summary["by_target"]) > 1
        else [{**summary["metrics"], "baselines": summary["baselines"]}]
    )
    gains = []
    for scores in each:
        its = scores["baselines"][baseline]
        if its is None or scores["mae"] is None or not its["mae"]:
            return None
        gains.append(1 - scores["mae"] / its["mae"])
    return sum(gains) / len(gains)


def _held_out(directory: RunDirectory, config: dict[str, Any], summary: dict[str, Any]) -> str:
    """A digest of the dataset, the targets and the validation rows."""
    table = directory.read_predictions(summary).select(["id", "split"])
    pairs = zip(*table.to_pydict().values(), strict=True)
    ids = [name for name, split in pairs if split == "validation"]
    facts = [config["dataset_sha256"], config["settings"]["target"], ids]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
