"""A loaded run as a line of text, and as a small table for a notebook."""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


def text_of_run(run: "TrainedRun") -> str:
    """`repr` of a run."""
    scores = "".join(f", {n}={_short(run.metrics[n])}" for n in ("mae", "r2"))
    healthy, head = run.verdict["healthy"], run.settings.head
    return f"TrainedRun({str(run.path)!r}, {head=}, targets={run.targets}{scores}, {healthy=})"


def page_of_run(run: "TrainedRun") -> str:
    """The headline and the scores of each target, as HTML."""
    names = ("mae", "r2", "spearman")
    cells: list[tuple[str, ...]] = [("target", *names, "median's mae")]
    for target, scores in run.summary["by_target"].items():
        median = scores.get("baselines", run.summary["baselines"])["median"]["mae"]
        cells.append((target, *map(_short, [*(scores[name] for name in names), median])))
    lines = ("".join(f"<td>{escape(text)}</td>" for text in row) for row in cells)
    table = "".join(f"<tr>{line}</tr>" for line in lines)
    headline = escape(run.verdict["headline"])
    return f"<p><b>{escape(str(run.path))}</b> {headline}</p><table>{table}</table>"


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
