"""The page of `jaxreg runs --html`: tables of comparable runs, with small pictures."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from jaxreg.comparison.comparable import FinishedRun, Group
from jaxreg.comparison.runs_table import Row, RunsTable
from jaxreg.comparison.runs_text import columns_text, head_text, number, span
from jaxreg.report.html_file import UNDEFINED, write_page

SIDE = 40
"""Units of the width and the height of a picture."""

_EDGE = 2  # units around its points


def write_runs_page(path: Path, table: RunsTable, folder: str) -> None:
    """Write the page of a table of runs over `path`.

    Args:
        path: of the page; links to reports are relative to it.
        table: the runs, in the order of the page.
        folder: where they were, for the title.
    """
    rows = {id(run): row for run, row in zip(table.runs, table.rows, strict=True)}
    order = sorted(table.groups, key=lambda group: (bool(group.why), group.number))
    groups = [_group(group, rows, path.parent) for group in order]
    write_page(
        path,
        "comparison/runs.html.jinja",
        title="Runs",
        subtitle=folder,
        verdict={"healthy": None, "title": _title(table), "text": "", "remedy": "", "findings": []},
        groups=groups,
        left_out=table.left_out,
        SIDE=SIDE,
    )


def _title(table: RunsTable) -> str:
    count = len(table.rows)
    if not count:
        return "no finished run"
    best = next((row for row in table.rows if row["run"] == table.best), None)
    if best is None:
        return f"{count} run{'s' * (count > 1)}, of which none has a score"
    which = "the only run is" if count == 1 else f"the best of {count} runs is"
    score = f"R² {best['r2']:.3g}" if best["mae"] is None else f"MAE {best['mae']:.3g}"
    gain = best["gain_over_median"]
    below = f", {gain:.0%} below the median predictor" if gain is not None and gain > 0 else ""
    healthy = ", but it is not healthy" if best["healthy"] is False else ""
    return f"{which} {Path(best['run']).name}: {score}{below}{healthy}"


def _group(group: Group, rows: dict[int, Row], page: Path) -> dict[str, Any]:
    """What the template shows of a group."""
    own = {id(run): run for run in group.runs}
    runs = [own[place] for place in rows if place in own]
    shown = [run.held_out.shown for run in runs]
    spans = [rows[id(run)]["mae_high"] for run in runs if rows[id(run)]["mae_high"] is not None]
    median = _median(runs[0])
    most = max(median * 1.1, min(spans, default=0.0) * 1.1)  # a run that failed hides no other
    limits = _limits(shown[0][:, 0])
    lines = [
        {
            "row": rows[id(run)],
            "name": run.directory.path.name,
            "report": _link(run, page),
            "head": head_text(run),
            "columns": columns_text(run.settings["columns"]),
            "best": run is group.best,
            "apart": run.difference,
            **_texts(run, rows[id(run)]),
            "whisker": _whisker(rows[id(run)], most),
            "points": _points(points, *limits),
        }
        for run, points in zip(runs, shown, strict=True)
    ]
    return {
        "number": group.number,
        "text": group.text,
        "why": group.why,
        "drawn": ", ".join(dict.fromkeys(run.drawn for run in runs if run.drawn)),
        "target": runs[0].settings["target"][0],
        "several": runs[0].several,
        "median": round(100 * median / most, 1) if most else None,
        "lines": lines,
    }


def _texts(run: FinishedRun, row: Row) -> dict[str, str]:
    """Cells of a run with three digits, as a page writes them."""
    apart = run.difference
    texts = {
        "span": span(row["mae_low"], row["mae_high"]),
        "difference": "-" if apart is None else number(apart.value),
        "difference_span": "" if apart in (None, (0, 0, 0)) else span(apart.low, apart.high),
        "over_median": number(row["gain_over_median"]),
        "over_ridge": number(row["gain_over_ridge"]),
    }
    return {
        name: UNDEFINED if text == "-" else text.replace("-", "\N{MINUS SIGN}")
        for name, text in texts.items()
    }


def _median(run: FinishedRun) -> float:
    """The MAE of the median baseline; 0 where there is none."""
    baseline = run.summary["baselines"].get("median") or {}
    return baseline.get("mae") or 0.0


def _link(run: FinishedRun, page: Path) -> str:
    """The address of a run's report, relative to the page; "" without a report."""
    report = run.directory.path / "report.html"
    return quote(os.path.relpath(report, page)) if report.is_file() else ""


def _whisker(row: Row, most: float) -> tuple[float, float, float] | None:
    """Low, MAE and high in percent of the scale; None without an interval."""
    if row["mae"] is None or row["mae_low"] is None or not most:
        return None
    low, middle, high = (
        min(100 * row[name] / most, 100.0) for name in ("mae_low", "mae", "mae_high")
    )
    return round(low, 1), round(middle, 1), round(high, 1)


def _limits(true: np.ndarray) -> tuple[float, float]:
    known = true[np.isfinite(true)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _points(shown: np.ndarray, low: float, high: float) -> str:
    """True numbers to the right and predicted ones upwards, as a path of points of SVG."""
    some = shown[np.isfinite(shown).all(axis=1)]
    places = np.clip((some - low) / (high - low), 0, 1) * (SIDE - 2 * _EDGE) + _EDGE
    return "".join(f"M{x:.3g} {SIDE - y:.3g}h0" for x, y in places.tolist())
