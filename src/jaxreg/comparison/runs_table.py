"""The finished runs of a folder as one table: `jaxreg runs`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from jaxreg.common.steps import counted
from jaxreg.comparison.comparable import FinishedRun, Group, group_runs
from jaxreg.comparison.held_out_errors import Known, read_held_out
from jaxreg.config_io import command_line
from jaxreg.errors import InputError, nearest_option, reading
from jaxreg.training.replace_run import is_run
from jaxreg.training.run_directory import RunDirectory, runs_in

COLUMNS: tuple[str, ...] = (
    "run", "dataset", "head", "columns", "split", "rows", "mae", "mae_low", "mae_high", "r2",
    "gain_over_median", "gain_over_ridge", "seconds", "healthy", "comparable", "difference",
)  # fmt: skip

FLAT: tuple[str, ...] = (*COLUMNS, "difference_low", "difference_high")
"""The columns where a value is one number: in CSV and Arrow."""

_HIGHER_IS_BETTER = ("r2", "gain_over_median", "gain_over_ridge")

Row = dict[str, Any]


class RunsTable(NamedTuple):
    """The runs of a folder."""

    rows: list[Row]  # sorted; each has the keys of COLUMNS
    runs: list[FinishedRun]  # of each row
    groups: list[Group]
    left_out: list[str]  # a sentence for each run that is no row

    @property
    def best(self) -> str | None:
        """The run that lies furthest below its median predictor, in shares of its error.

        Runs of several targets have no error in one unit. If all runs are such runs, the one with
        the highest R² is the best.
        """
        by = "gain_over_median" if any(row["mae"] is not None for row in self.rows) else "r2"
        scored = [row for row in self.rows if row[by] is not None]
        scored = [row for row in scored if by == "r2" or row["mae"] is not None]
        return max(scored, key=lambda row: row[by])["run"] if scored else None


def read_runs(
    folder: Path,
    *,
    dataset: str | None = None,
    sort: str = "mae",
    say: Callable[[str], None] = lambda _: None,
) -> RunsTable:
    """Read and compare the finished runs that are children of `folder`.

    docs/comparing-runs.md says what the columns are. Runs with the same number in `comparable` have
    the same dataset, targets and validation rows; `difference` is to the best of them, row by row.

    Args:
        folder: of runs.
        dataset: only its runs; None: all.
        sort: a key of FLAT. Numbers that are better when high come first when high. Runs without a
            value come last; among equal ones the highest r2 comes first.
        say: gets a line for each run that is left out.

    Raises:
        InputError: no such folder or column.
    """
    if sort not in FLAT:
        remedy = nearest_option("--sort", sort, FLAT)
        raise InputError(f"--sort {sort}", expected=" or ".join(FLAT), remedy=remedy)
    if not folder.is_dir():
        raise InputError(f"no folder {folder}", expected="a folder of runs")
    if is_run(folder):
        raise InputError(
            f"{folder} is a run",
            expected="a folder of runs",
            remedy=command_line("jaxreg runs", [folder.resolve().parent]),
        )
    runs, left_out, known = list[FinishedRun](), list[str](), Known()
    for path in counted("reading the runs", runs_in(folder), "runs"):
        try:
            with reading(str(path)):
                run = _read(RunDirectory(path), dataset, known)
        except InputError as error:
            left_out.append(f"{path} is left out: {error.found}")
            say(left_out[-1])
        else:
            runs += [run] if run is not None else []
    groups = group_runs(runs)
    number = {id(run): group.number for group in groups for run in group.runs}
    rows = [_row(run, number[id(run)]) for run in runs]
    order = sorted(range(len(rows)), key=lambda i: _place(rows[i], sort))
    return RunsTable([rows[i] for i in order], [runs[i] for i in order], groups, left_out)


def load_runs(
    folder: str | os.PathLike[str] = "ckpts",
    *,
    dataset: str | None = None,
    sort: str = "mae",
    say: Callable[[str], None] = lambda _: None,
) -> pa.Table:
    """The finished runs of a folder as an Arrow table, as `jaxreg runs --csv` has them.

    docs/comparing-runs.md says what the columns are. `to_pandas()` makes a DataFrame.

    >>> runs = jaxreg.load_runs("ckpts", sort="r2")
    >>> runs.column_names[:8]
    ['run', 'dataset', 'head', 'columns', 'split', 'rows', 'mae', 'mae_low']
    >>> runs.to_pandas()["healthy"].all()
    np.True_

    Args:
        folder: of runs.
        dataset: only the runs of this dataset.
        sort: the column that decides the order.
        say: gets a line for each run that is left out: damaged, not finished, of another format.

    Raises:
        InputError: no such folder or column.
    """
    return arrow_table(read_runs(Path(folder), dataset=dataset, sort=sort, say=say))


def _read(directory: RunDirectory, dataset: str | None, known: Known) -> FinishedRun | None:
    """A run; None if it is of another dataset."""
    config = directory.read_config()
    if dataset is not None and config["dataset"] != dataset:
        return None
    summary = directory.read_summary()
    if summary is None:
        raise InputError("it is not finished")
    held_out = read_held_out(directory, config["settings"], summary, known)
    run = FinishedRun(directory, config, summary, held_out)
    _ = _row(run, 0), run.kind, run.version  # a run that lacks what is read later is left out now
    return run


def _row(run: FinishedRun, number: int) -> Row:
    settings, summary = run.settings, run.summary
    low, high = run.interval or (None, None)
    apart = run.difference
    names = ("r2", "low", "high") if run.several else ("mae", "low", "high")
    return {
        "run": str(run.directory.path),
        "dataset": run.config["dataset"],
        "head": settings["head"],
        "columns": settings["columns"],
        "split": settings["split"],
        "rows": summary["rows"]["validation"],
        "mae": summary["metrics"]["mae"],
        "mae_low": low,
        "mae_high": high,
        "r2": summary["metrics"]["r2"],
        "gain_over_median": _gain(summary, "median"),
        "gain_over_ridge": _gain(summary, "ridge"),
        "seconds": summary["seconds"]["total"],
        "healthy": summary["verdict"]["healthy"],
        "comparable": number,
        "difference": apart and {"mae": None} | dict(zip(names, apart, strict=True)),
    }


def flat(row: Row) -> Row:
    """A row with the keys of FLAT."""
    apart = row["difference"] or {}
    value = apart.get("r2", apart.get("mae"))
    ends = {f"difference_{end}": apart.get(end) for end in ("low", "high")}
    return {**row, "difference": value, **ends}


def arrow_table(table: RunsTable) -> pa.Table:
    """The rows as an Arrow table with the columns FLAT."""
    types = {
        **dict.fromkeys(FLAT, pa.float64()),
        **dict.fromkeys(("run", "dataset", "head", "split"), pa.string()),
        **dict.fromkeys(("rows", "comparable"), pa.int64()),
        "columns": pa.list_(pa.string()),
        "healthy": pa.bool_(),
    }
    schema = pa.schema([(name, types[name]) for name in FLAT])
    return pa.Table.from_pylist([flat(row) for row in table.rows], schema=schema)


def _place(row: Row, sort: str) -> tuple[bool, Any, bool, float]:
    own, r2 = flat(row), row["r2"]
    value = own[sort]
    higher = sort in _HIGHER_IS_BETTER or (sort.startswith("difference") and row["mae"] is None)
    if isinstance(value, int | float):
        value = -value if higher else value
    return value is None, "" if value is None else value, r2 is None, -(r2 or 0.0)


def _gain(summary: Row, baseline: str) -> float | None:
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
