"""The table of `jaxreg runs` as text for people: in a terminal and on a page."""

from typing import Any

from jaxreg.comparison.comparable import FinishedRun
from jaxreg.comparison.runs_table import Row, RunsTable
from jaxreg.training.sweep_files import SWEEP, has_ended

SHOWN_GROUPS = 20
SHOWN_COLUMNS = 3

SPARE = ("seconds", "gain over ridge", "columns", "gain over median")
"""Columns that a narrow terminal does without."""

Cells = dict[str, str]


def printed(table: RunsTable) -> tuple[list[str], list[list[str]], list[str]]:
    """Headers, cells and the lines below them. What the lines say of all runs is no column."""
    pairs = zip(table.rows, table.runs, strict=True)
    cells = [_cells(row, run) for row, run in pairs]
    known = [name for name in cells[0] if any(own[name] != "-" for own in cells)]
    if len(table.groups) == 1:
        known.remove("comparable")
    return known, [[own[name] for name in known] for own in cells], group_lines(table)


def _cells(row: Row, run: FinishedRun) -> Cells:
    return {
        "run": run.directory.path.name,
        "head": head_text(run),
        "columns": columns_text(row["columns"]),
        "mae": number(row["mae"]),
        "95%": span(row["mae_low"], row["mae_high"]),
        "r2": number(row["r2"]),
        "gain over median": number(row["gain_over_median"]),
        "gain over ridge": number(row["gain_over_ridge"]),
        "seconds": number(row["seconds"]),
        "healthy": {True: "yes", False: "no"}.get(row["healthy"], "-"),
        "difference": difference_text(run),
        "comparable": str(row["comparable"]),
    }


def head_text(run: FinishedRun) -> str:
    """The head, and whether a sweep chose its settings: as long as it runs, on the scored rows."""
    path, head = run.directory.path, run.settings["head"]
    if not (path / SWEEP).is_file():
        return head
    return f"{head} (sweep)" if has_ended(path) else f"{head} (sweep, not finished)"


def columns_text(columns: list[Any]) -> str:
    """The columns as `train --columns` takes them, of many the first ones."""
    names = [str(column).replace("identity.", "") for column in columns]
    left_out = len(names) - SHOWN_COLUMNS
    if left_out > 1:
        return f"{' '.join(names[:SHOWN_COLUMNS])} and {left_out} more"
    return " ".join(names)


def difference_text(run: FinishedRun) -> str:
    """How far the run is from the best of its group."""
    apart = run.difference
    if apart is None:
        return "-"
    if apart == (0, 0, 0):
        return "0"
    return f"{number(apart.value)} ({span(apart.low, apart.high)})"


def span(low: float | None, high: float | None) -> str:
    """An interval."""
    return "-" if low is None or high is None else f"{number(low)} to {number(high)}"


def number(value: float | None) -> str:
    """A number with three digits; a dash for None."""
    return "-" if value is None else f"{value:.3g}"


def group_lines(table: RunsTable) -> list[str]:
    """What each number of `comparable` means, and what the intervals are made of."""
    lines, groups = [], table.groups
    for group in groups[:SHOWN_GROUPS]:
        count = len(group.runs)
        runs = f"{count} run{'s' * (count > 1)}"
        drawn = dict.fromkeys(run.drawn for run in group.runs if run.drawn)
        by = f"; intervals draw {', '.join(drawn)}" if drawn else ""
        why = f"; {group.why}" if group.why else ""
        lines.append(f"comparable {group.number}: {runs} of {group.text}{by}{why}")
    if len(groups) > SHOWN_GROUPS:
        lines.append(f"and {len(groups) - SHOWN_GROUPS} more groups of comparable runs")
    return lines
