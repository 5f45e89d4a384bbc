"""An evaluation in words and tables, for a terminal."""

from collections.abc import Mapping
from typing import Any

from jaxreg.evaluation.interval_coverage import coverage_lines
from jaxreg.evaluation.result import Evaluation

WORST = 12  # slices that are shown

_PREDICTORS = {
    "training": ("mean of the training targets", "median of the training targets"),
    "new": ("mean of these targets", "median of these targets"),
}

_Table = tuple[list[str], list[list[str]]]


def lines_of(found: Evaluation) -> list[str]:
    """The headline, then a line for each finding and each note."""
    lines = [found.headline]
    for finding in found.findings:
        lines.append(f"{finding.code}: {finding.evidence}")
        if finding.remedy:
            lines.append(f"  try: {finding.remedy}")
    if found.intervals is not None:
        lines += coverage_lines(found.intervals)
    lines += [f"note: {note}" for note in found.notes]
    scored = "1 row is" if found.rows == 1 else f"{found.rows} rows are"
    failed = f"; {found.failed} could not be used" if found.failed else ""
    return [*lines, f"{scored} scored{failed}"]


def score_rows(found: Evaluation) -> _Table:
    """The scores of the run and of the baselines, by target."""
    several = len(found.by_target) > 1
    rows = []
    for name, one in found.by_target.items():
        baselines = one["baselines"]
        each: list[tuple[str, Mapping[str, Any] | None]] = [("the run, here", one)]
        if "weighted" in one:
            each.append(("the run, here, weighted", one["weighted"]))
        for of, words in _PREDICTORS.items():
            each += [
                (word, baselines[of].get(key))
                for word, key in zip(words, ("mean", "median"), strict=True)
            ]
        each += [
            ("the run, on its held-out rows", one["held_out"]),
            ("the ridge, on these held-out rows", baselines["held_out"].get("ridge")),
        ]
        for word, scores in each:
            if scores is not None:
                values = [_text(key, scores.get(key)) for key in ("mae", "rmse", "r2", "spearman")]
                rows.append([*([name] if several else []), word, *values])
    columns = ["predictions", "MAE", "RMSE", "R²", "Spearman"]
    return ([*(["target"] if several else []), *columns], rows)


def slice_rows(found: Evaluation) -> _Table:
    """The slices with the largest errors for their target."""
    several = len(found.by_target) > 1
    columns = ["slice", "value", "rows", "MAE", "times all", "bias"]
    rows = [
        [
            *([one.target] if several else []),
            one.by,
            one.value,
            str(one.rows),
            f"{one.mae:.3g}",
            f"{one.times:.2f}",
            f"{one.bias:+.3g}",
        ]
        for one in found.slices[:WORST]
    ]
    return ([*(["target"] if several else []), *columns], rows)


def _text(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    # the R² of the mean of the targets is 0 but for the last bits
    return f"{round(value, 9) + 0.0 if key == 'r2' else value:.3g}"
