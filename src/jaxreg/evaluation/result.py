"""What an evaluation found: scores, baselines, slices, findings, and the table of examples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from jaxreg.metrics import Scores
from jaxreg.slices.slice_errors import Slice, slices_to_json
from jaxreg.verdict.finding import Finding


@dataclass(frozen=True, repr=False)
class Evaluation:
    """A run on other labelled data. `docs/evaluate.md` describes each part."""

    run: Path
    source: str
    headline: str  # how the scores compare with those that the run promised
    metrics: Scores  # mae, rmse, r2, spearman, huber
    weighted: Scores | None  # with the weights of the source; None without a weight column
    #: by target: its scores, `baselines`, `held_out`, `mae_error`, `far_worse`
    by_target: dict[str, dict[str, Any]]
    #: by where they come from: `training` and `new` are scored on these rows, `held_out` are those
    #: of summary.json
    baselines: dict[str, dict[str, Scores | None]]
    held_out: Scores  # what the run promised: its own scores
    rows: int  # that are scored
    failed: int  # examples that could not be used
    trained: int  # of the scored rows, how many trained the run
    far_worse: bool  # for some target
    intervals: dict[str, Any] | None
    findings: tuple[Finding, ...]
    slices: tuple[Slice, ...]  # the worst come first
    notes: tuple[str, ...]
    table: pa.Table  # a row for each example

    def __repr__(self) -> str:
        codes = [finding.code for finding in self.findings]
        return f"Evaluation({self.headline!r}, rows={self.rows}, findings={codes})"

    def to_json(self) -> dict[str, Any]:
        """The object that `jaxreg evaluate --json` prints."""
        return {
            "run": str(self.run),
            "source": self.source,
            "headline": self.headline,
            "metrics": self.metrics,
            "weighted": self.weighted,
            "by_target": self.by_target,
            "baselines": self.baselines,
            "held_out": self.held_out,
            "rows": self.rows,
            "failed": self.failed,
            "trained": self.trained,
            "far_worse": self.far_worse,
            "intervals": self.intervals,
            "findings": [finding.to_json() for finding in self.findings],
            "slices": slices_to_json(self.slices),
            "notes": list(self.notes),
        }
