"""The verdict of a finished run: observe its members, judge each, and join the verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np

from jaxreg import metrics
from jaxreg.cache.lazy_features import read_rows
from jaxreg.common.steps import counted
from jaxreg.config_io import command_line
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.members import Member
from jaxreg.experiment.row_units import row_units
from jaxreg.head.state import State
from jaxreg.report.run_intervals import Measured
from jaxreg.report.run_predictions import RunPredictions
from jaxreg.target_types import TargetType, difference
from jaxreg.training.loop import Trained
from jaxreg.training.run_directory import Row
from jaxreg.verdict.catalogue import CAUSES
from jaxreg.verdict.finding import ORDER, Compared, Finding
from jaxreg.verdict.judge import Verdict, conclude, find, verdict_of_one
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.sampling import choose_rows

MOST = 5  # members whose verdict is computed, besides those that are not finite


def observe(
    member: Member, state: State, history: Sequence[Row], predictions: np.ndarray
) -> Observed:
    """Collect plain arrays for `jaxreg.verdict.judge`. It reads the features of sampled rows only.

    Args:
        member: the training. The rows that a fold holds out count as its validation rows.
        state: the state at the end of the training.
        history: the lines of history.csv of this training.
        predictions: (rows, targets), this member's prediction for every row.
    """
    experiment, config = member.experiment, member.config
    dataset, y = experiment.dataset, experiment.y
    labels = experiment.split.labels
    if member.fold is not None:
        swapped = {"test": "validation", "validation": "test"}
        labels = np.array([swapped.get(label, label) for label in labels], dtype=object)
    sequence, order = experiment.places
    sampled = choose_rows(labels, sequence, order)
    words = (dataset.name, "--cache", experiment.cache.root)
    names = ("loss", "val_loss", "val_mae", "learning_rate")
    units = row_units(dataset, experiment.split.kind)
    networks = experiment.features.networks
    untrained = next((one for one in networks if one.random_seed is not None), None)
    trained = "" if untrained is None else dataset.command_into(untrained, weights=None)
    return Observed(
        targets=experiment.targets,
        config=config,
        asked=experiment.asked,
        words=words,
        extract=dataset.extract_command(),
        extract_trained=f"{trained} --weights imagenet" if trained else "",
        diagnose=command_line("jaxreg diagnose", words),
        y=y,
        weights=experiment.weights,
        predictions=predictions,
        labels=labels,
        digests=experiment.features.row_digests(dataset),
        sequence=sequence,
        order=order,
        sequential=dataset.sequential,
        split=experiment.split.kind,
        units=experiment.split.units,
        sampled=sampled,
        x=read_rows(experiment.x, sampled),
        history={n: np.array([float(row[n]) for row in history]) for n in names},
        state=jax.device_get(state),
        ridge=None if member.baseline is None else member.baseline.predictions,
        side=experiment.side,
        beside={} if member.baseline is None else member.baseline.beside,
        random_seed=experiment.features.random_seed,
        unit_of_row=None if units is None else units.numbers,
        unit_word="rows" if units is None else units.word,
        noun="image" if networks else "embedding",
    )


def verdict_of(
    experiment: Experiment,
    members: Sequence[Member],
    trained: Trained,
    predictions: RunPredictions,
    intervals: Measured | None = None,
) -> Verdict:
    """The verdict of a run.

    With several members, the headline compares their pooled predictions. A finding is kept if at
    least half of the judged members have it, or if it is an error in one of them; it names them.
    If the pooled predictions learn a target, an error in fewer than half is a warning where those
    members do not learn it: their share of the error is in the score. What compares predictions
    with targets alone is looked for in the pooled predictions.
    """
    of_members = [cause for cause in CAUSES if not cause.pooled]
    judged, obs = [], None
    for number in counted("looking for causes", judged_members(trained.states), "trainings"):
        member, state = members[number], trained.states[number]
        history = trained.history_of(member)
        obs = observe(member, state, history, predictions.by_member[number])
        if len(members) == 1:
            return verdict_of_one(obs)
        learns = {name: one.learns for name, one in obs.compared_by_target.items()}
        judged.append(Judged(member, learns, find(obs, of_members)))
    compared = _compare(experiment, members[0].config.head == "ridge", predictions)
    assert obs is not None  # there is a member
    pooled = replace(
        obs,
        labels=experiment.split.labels,
        predictions=predictions.predictions,
        ridge=predictions.baselines["ridge"],
        coverage={} if intervals is None else intervals.targets,
        beside={
            name: values
            for name, values in predictions.baselines.items()
            if name in obs.beside and values is not None
        },
    )
    of_all = find(pooled, [cause for cause in CAUSES if cause.pooled])
    joined = join(judged, {name: one.learns for name, one in compared.items()})
    return conclude(compared, _sorted([*joined, *of_all]), pooled)


def judged_members(states: Sequence[State]) -> list[int]:
    """The numbers of the members to judge: MOST of them, and all that are not finite."""
    spread = set(range(0, len(states), -(-len(states) // MOST)))
    return sorted(spread | {number for number, state in enumerate(states) if not state.finite})


def _compare(
    experiment: Experiment, is_ridge: bool, predictions: RunPredictions
) -> dict[str, Compared]:
    """Compare the pooled predictions of each target with the pooled baselines."""
    median, ridge = predictions.baselines["median"], predictions.baselines["ridge"]
    assert median is not None
    compared = {}
    for number, name in enumerate(experiment.targets):
        column, rows = slice(number, number + 1), experiment.rows("validation")
        rows = rows[~np.isnan(predictions.y[rows, number])]
        blocks = experiment.runs_of(rows)
        y, pooled = predictions.y[rows, column], predictions.predictions[rows, column]
        usual = median[rows, column]
        kind = experiment.types[number]
        gain, gain_error = metrics.bootstrap_gain(y, pooled, usual, blocks, kind=kind)
        compared[name] = Compared(
            mae=_mae(kind, pooled, y) if np.isfinite(pooled).all() else None,
            median_mae=_mae(kind, usual, y),
            ridge_mae=None if ridge is None or is_ridge else _mae(kind, ridge[rows, column], y),
            gain=gain,
            gain_error=gain_error,
        )
    return compared


def _mae(kind: TargetType, values: np.ndarray, y: np.ndarray) -> float:
    return float(np.abs(difference([kind], values, y)).mean())


class Judged(NamedTuple):
    """What was found in one training of several."""

    member: Member
    learns: Mapping[str, bool]  # by target
    findings: Sequence[Finding]


def join(judged: Sequence[Judged], learns: Mapping[str, bool]) -> list[Finding]:
    """One finding for each cause and target, with the evidence of the first that has it worst.

    Args:
        judged: the members.
        learns: whether their pooled predictions do, by target.
    """
    alike: dict[tuple[str, tuple[str, ...]], list[tuple[Judged, Finding]]] = {}
    for one in judged:
        for finding in one.findings:
            alike.setdefault((finding.code, finding.targets), []).append((one, finding))
    joined = []
    for same in alike.values():
        of, worst = min(same, key=lambda pair: ORDER.index(pair[1].severity))
        few = 2 * len(same) < len(judged)
        if few and worst.severity != "error":
            continue
        milder = few and _all_about(learns, worst) and not _all_about(of.learns, worst)
        severity = "warning" if milder else worst.severity
        share = f"all {len(judged)} trainings"
        if len(same) < len(judged):
            names = ", ".join(_name(one.member) for one, _ in same)
            share = f"{len(same)} of {len(judged)} trainings: {names}"
        if any(finding.evidence != worst.evidence for _, finding in same):
            share += f"; the numbers are those of {_name(of.member)}"
        elif len(same) == len(judged):
            share = ""
        evidence = worst.evidence + (f" ({share})" if share else "")
        joined.append(replace(worst, severity=severity, evidence=evidence))
    return joined


def _sorted(findings: Sequence[Finding]) -> list[Finding]:
    """The most severe first; of equal severity, in the order of the table of causes."""
    place = {cause.code: number for number, cause in enumerate(CAUSES)}
    return sorted(findings, key=lambda one: (ORDER.index(one.severity), place[one.code]))


def _all_about(learns: Mapping[str, bool], finding: Finding) -> bool:
    """Whether every target that the finding is about is learned."""
    return all(known for name, known in learns.items() if finding.about(name))


def _name(member: Member) -> str:
    """The name of a training of several, with the numbers that history.csv has."""
    return " ".join(f"{name} {number}" for name, number in member.label.items())
