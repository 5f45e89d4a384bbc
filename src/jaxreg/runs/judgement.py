"""The verdict of a run: of its one training, or of several together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxreg.features.cache import Cache
from jaxreg.heads.state import State
from jaxreg.runs import metrics
from jaxreg.runs.evidence import observe
from jaxreg.runs.experiment import Experiment
from jaxreg.runs.members import Member
from jaxreg.runs.training import Trained
from jaxreg.verdict import headline, judge
from jaxreg.verdict.finding import ORDER, Finding
from jaxreg.verdict.headline import Compared

MOST = 5  # trainings of a run that are looked at one by one, beside those that are not finite


@dataclass(frozen=True)
class Told:
    """What a run says of every row of the dataset; each (rows, targets), target units.

    With folds a row's prediction is its fold's; of several seeds it is the mean.
    """

    predictions: np.ndarray
    each: tuple[np.ndarray, ...]  # of every member
    median: np.ndarray  # of the training rows
    ridge: np.ndarray | None


def verdict_of(
    experiment: Experiment,
    members: Sequence[Member],
    trained: Trained,
    told: Told,
    cache: Cache,
) -> dict[str, Any]:
    """`verdict` of summary.json.

    Of several trainings the headline is about their predictions together, and a finding is what at
    least half of those looked at have, or what is an error in any of them.
    """
    verdicts = [
        judge(
            observe(
                members[number],
                trained.states[number],
                trained.history_of(members[number]),
                told.each[number],
                cache,
            )
        )
        for number in looked_at(trained.states)
    ]
    if len(members) == 1:
        return verdicts[0]
    seen = _together(experiment, members[0].config.head == "ridge", told)
    findings = _findings([verdict["findings"] for verdict in verdicts])
    errors = [finding for finding in findings if finding.severity == "error"]
    return {
        "healthy": seen.learns and not errors,
        "headline": headline(seen, errors, errors[0].remedy if errors else ""),
        "findings": [vars(finding) for finding in findings],
    }


def looked_at(states: Sequence[State]) -> list[int]:
    """Which trainings are looked at one by one: MOST of them, and all that are not finite."""
    some = set(range(0, len(states), -(-len(states) // MOST)))
    return sorted(some | {number for number, state in enumerate(states) if not state.finite})


def _together(experiment: Experiment, is_ridge: bool, told: Told) -> Compared:
    rows = experiment.rows("validation")
    y, predictions, median = experiment.y[rows], told.predictions[rows], told.median[rows]
    finite = bool(np.isfinite(predictions).all())
    gain, error = np.nan, np.inf
    if finite:
        blocks = experiment.runs_of(rows)
        gain, error = metrics.bootstrap_gain(y, predictions, median, blocks=blocks)
    ridge = None if told.ridge is None or is_ridge else told.ridge[rows]
    return Compared(
        mae=float(np.abs(predictions - y).mean()) if finite else None,
        median_mae=float(np.abs(median - y).mean()),
        ridge_mae=None if ridge is None else float(np.abs(ridge - y).mean()),
        gain=gain,
        gain_error=error,
    )


def _findings(each: Sequence[Sequence[dict[str, Any]]]) -> list[Finding]:
    """One finding for each cause, in the words of the first training that has it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for findings in each:
        for finding in findings:
            found.setdefault(finding["code"], []).append(finding)
    told = []
    for same in found.values():
        worst = min(same, key=lambda finding: ORDER.index(finding["severity"]))
        if worst["severity"] == "error" or 2 * len(same) >= len(each):
            share = "" if len(each) == len(same) else f" ({len(same)} of {len(each)} trainings)"
            told.append(Finding(**{**worst, "evidence": worst["evidence"] + share}))
    return sorted(told, key=lambda finding: ORDER.index(finding.severity))
