"""A run told on one page: a single HTML file that needs nothing beside it, and no network."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jaxreg.common.files import write_whole
from jaxreg.metrics import METRICS, Scores

NO_MEANING = "\N{EN DASH}"
HIGHER_IS_BETTER = ("r2", "spearman")

PREDICTORS = {
    "model": "this model",
    "ridge": "ridge",
    "median": "training median",
    "mean": "training mean",
}
"""How the page calls what is scored; the first line of its table is the first of these."""

SPLITS = ("train", "validation", "test", "left-out")

WorstImage = tuple[str, bytes | None, Mapping[str, tuple[float, float]]]
"""An id, its thumbnail as JPEG or None, and by target its true and its predicted value."""

Line = tuple[str, list[tuple[str, bool]]]
"""Of a score table: a name, then for each metric the number and whether it is the best."""


@dataclass(frozen=True)
class Report:
    """All that the page says, as plain values. What is None or empty is not shown."""

    run: str  # the run's name
    headline: str  # one sentence: is it learning, and how well
    healthy: bool | None  # colours the headline; None: not judged
    random_weights: bool  # the features come from a backbone that was never trained
    scores: Mapping[str, Mapping[str, Scores | None]]  # split → predictor (of PREDICTORS) → scores
    by_target: Mapping[str, Mapping[str, Scores]]  # split → target → the model's scores
    members: Mapping[str, Scores]  # of folds and seeds, each one's; then their mean and std

    dataset: str
    source: str | Mapping[str, Any]  # where the images came from
    rows: Mapping[str, int]  # how many of each of SPLITS
    split: str  # as blocks:10
    notes: Sequence[str]  # sentences about the split and the rows
    feature_set: str  # the features' feature set in the cache
    columns: Sequence[str]  # of that feature set, as identity.mixed10.avg
    weights: str  # the backbone's: a name for people, or where they came from
    targets: Mapping[str, tuple[float, float]]  # target → its lowest and highest value
    head: str  # what it is made of
    epochs: int | None  # trained; None for a head without epochs
    best_epoch: int | None  # lowest validation loss, from 1: the weights that are scored
    stopped_early: bool

    curves: bytes | None  # PNG
    predicted: Mapping[str, bytes]  # target → PNG, predicted against true
    residuals: Mapping[str, bytes]  # target → PNG
    worst: Sequence[WorstImage]  # of the validation rows, worst first

    findings: Sequence[Mapping[str, str]]  # code, severity (error, warning, note), evidence, remedy
    settings: Mapping[str, Any]
    seconds: Mapping[str, float]  # by part
    provenance: Mapping[str, Any]  # versions, device, …
    command: str  # repeats the run


def write_report(path: Path, report: Report) -> None:
    """Write the page to `path`, over what is there."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": _number,
        "count": lambda value: f"{value:,}",
        "value": _value,
        "data_uri": data_uri,
    }
    template = files("jaxreg.report").joinpath("run.html.jinja").read_text(encoding="utf-8")
    page = environment.from_string(template).render(
        report=report,
        metrics=METRICS,
        splits=[split for split in SPLITS if report.rows.get(split)],
        compared={split: _compared(scores) for split, scores in report.scores.items()},
        by_target={split: _lines(scores, {}) for split, scores in report.by_target.items()},
        members=_lines(report.members, {}),
    )
    # A file's name may hold bytes that are no text in any encoding.
    write_whole(path, page.encode(errors="replace"))


def _compared(scores: Mapping[str, Scores | None]) -> list[Line]:
    """One line for each predictor that has scores, the best number of each metric marked."""
    known = {told: line for name, told in PREDICTORS.items() if (line := scores.get(name))}
    best = {}
    for metric in METRICS:
        numbers = [value for line in known.values() if (value := line[metric]) is not None]
        best[metric] = (max if metric in HIGHER_IS_BETTER else min)(numbers, default=None)
    return _lines(known, best)


def _lines(scores: Mapping[str, Scores], best: Scores) -> list[Line]:
    return [
        (
            name,
            [
                (
                    _number(line[metric]),
                    line[metric] is not None and line[metric] == best.get(metric),
                )
                for metric in METRICS
            ],
        )
        for name, line in scores.items()
    ]


def _number(value: float | None) -> str:
    """Four significant digits, or a dash for what has no meaning."""
    return NO_MEANING if value is None else f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _value(value: object) -> str:
    """A setting or a fact, in words."""
    if value is None:
        return NO_MEANING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_value(part)}" for name, part in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(_value(part) for part in value) or "none"
    return str(value)


def data_uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
