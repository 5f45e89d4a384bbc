"""What the verdict looks at, of a training that has ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxreg import metrics
from jaxreg.cache.lazy_features import read_rows
from jaxreg.cache.store import Cache
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.members import Member
from jaxreg.head.state import State
from jaxreg.training.loop import Trained
from jaxreg.training.run_directory import Row
from jaxreg.verdict.finding import ORDER, Compared, Finding
from jaxreg.verdict.judge import headline, judge
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.sampling import choose_rows


def observe(
    member: Member, state: State, history: Sequence[Row], predictions: np.ndarray, cache: Cache
) -> Observed:
    """Plain arrays for `jaxreg.verdict.judge`; of the features only a sample of rows is read.

    Args:
        member: the training; what a fold holds out counts as its validation rows.
        state: at its end.
        history: its lines of history.csv.
        predictions: (rows, targets), its own for every row.
        cache: where the features came from.
    """
    experiment, config, bar = member.experiment, member.config, member.baseline
    dataset, y = experiment.dataset, experiment.y
    labels = experiment.split.labels
    if member.fold is not None:
        swapped = {"test": "validation", "validation": "test"}
        labels = np.array([swapped.get(label, label) for label in labels], dtype=object)
    sequence, order = experiment.places
    train, validation = np.flatnonzero(labels == "train"), np.flatnonzero(labels == "validation")
    told = predictions[validation]
    gain, error = np.nan, np.inf
    if np.isfinite(told).all():
        median = np.broadcast_to(np.median(y[train], axis=0), told.shape)
        blocks = experiment.runs_of(validation)
        gain, error = metrics.bootstrap_gain(y[validation], told, median, blocks=blocks)
    sampled = choose_rows(labels, sequence, order)
    state = jax.device_get(state)
    names = ("loss", "val_loss", "val_mae", "learning_rate")
    return Observed(
        config=config,
        words=(dataset.name, "--cache", str(cache.root)),
        extract=dataset.extract_command(),
        y=y,
        predictions=predictions,
        labels=labels,
        digests=dataset.digests,
        sequence=sequence,
        order=order,
        sequential=dataset.sequential,
        split=experiment.split.kind,
        sampled=sampled,
        x=read_rows(experiment.x, sampled),
        history={n: np.array([float(row[n]) for row in history]) for n in names},
        params=state.best_params,
        last_params=state.params,
        scalers=state.scalers,
        finite=bool(state.finite),
        best_epoch=int(state.best_epoch),
        stopped_early=bool(state.stopped),
        ridge=None if bar is None else bar.predictions,
        gain=gain,
        gain_error=error,
        random_seed=experiment.recipe.random_seed,
    )


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
    obs = _together(experiment, members[0].config.head == "ridge", told)
    findings = _findings([verdict["findings"] for verdict in verdicts])
    errors = [finding for finding in findings if finding.severity == "error"]
    return {
        "healthy": obs.learns and not errors,
        "headline": headline(obs, errors, errors[0].remedy if errors else ""),
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
