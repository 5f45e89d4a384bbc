"""The summary of a run: scores, epochs, verdict, provenance. summary.json is its JSON."""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxreg import metrics
from jaxreg.common.remote_file import shown
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.members import Member
from jaxreg.head.state import State
from jaxreg.head.target_outputs import of_targets
from jaxreg.metrics import Loss, Scores
from jaxreg.report.run_predictions import (
    RunPredictions,
    member_baselines,
    score_each,
    score_side,
)
from jaxreg.train_config import HeadConfig
from jaxreg.training.loop import Trained
from jaxreg.verdict.judge import Verdict

SPLITS = ("train", "validation", "test", "left-out")


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """What the summaries of a run and of one of its members share."""

    # On the validation rows; with folds, on all rows that a fold held out. With several targets,
    # here and below, only r2 and huber have a value.
    metrics: Scores
    test: Scores | None
    baselines: dict[str, Scores | None]  # mean, median, ridge; scored on the rows of `metrics`
    epochs: int | None  # None with several members: each has its own
    best_epoch: int | None  # counted from 1; None with several members
    stopping_epoch_best: int | None
    stopped_early: bool
    blend_share: list[float] | None  # the ridge's weight in a blend, by target


@dataclass(frozen=True, kw_only=True)
class MemberSummary(TrainingSummary):
    """The summary of one training of a run with folds or seeds."""

    fold: int | None  # counted from 0; None without folds
    finalist: int | None = None  # counted from 0; None where a sweep did not choose several
    seed: int

    @property
    def label(self) -> str:
        """The name of this training in the report."""
        numbers = {"fold": self.fold, "finalist": self.finalist, "seed": self.seed}
        return ", ".join(f"{name} {own}" for name, own in numbers.items() if own is not None)


@dataclass(frozen=True, kw_only=True)
class Summary(TrainingSummary):
    """The summary of a run. Fields that only several members have are None for a single one."""

    # Scores; with several targets also test, baselines, healthy, and of several members their
    # scores (members), members_mean and members_std
    by_target: dict[str, dict[str, Any]]
    members: list[MemberSummary] | None
    weighted: Scores | None = None  # with a weight column, `metrics` with these weights
    members_mean: Scores | None
    members_std: Scores | None
    combined: Scores | None  # repeats `metrics`
    dead: str | None  # why the training stopped early, if the head was dead
    rows: dict[str, int]  # the number of rows of each split
    notes: list[str]
    seconds: dict[str, float] = field(default_factory=dict)  # by part, when all is drawn
    verdict: dict[str, Any]  # healthy, headline, title, text, remedy, findings
    intervals: dict[str, Any] | None = None
    suggestions: list[dict[str, Any]] = field(default_factory=list)
    # Of each target the rows whose label looks least like the others: id, target, label,
    # prediction, score, nearest
    label_errors: list[dict[str, Any]] = field(default_factory=list)
    slices: list[dict[str, Any]] = field(default_factory=list)  # worst first, as `RunSlice`
    worst_slices: list[dict[str, Any]] = field(default_factory=list)  # beyond chance
    slope: dict[str, dict[str, Any] | None] = field(default_factory=dict)  # by target
    files: dict[str, str] = field(default_factory=dict)  # SHA-256 by name, when all are written
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The content of summary.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Summary":
        """Read what `to_json` wrote. Other keys, such as the format, are ignored."""
        known = {
            one.name: content[one.name]
            for one in dataclasses.fields(cls)
            if one.name in content
            or (one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING)
        }
        members = known["members"]
        known["members"] = members and [MemberSummary(**member) for member in members]
        return cls(**known)


def summarize(
    experiment: Experiment,
    members: Sequence[Member],
    trained: Trained,
    predictions: RunPredictions,
    verdict: Verdict,
    *,
    device: str,
) -> Summary:
    """Score and describe a finished training; `seconds` and `files` follow when all is done."""
    rows = {split: experiment.rows(split) for split in SPLITS}
    baselines = score_side(experiment, predictions, "validation")
    pooled = baselines.pop("run")
    assert pooled is not None
    each = [
        _summarize_member(member, state, predictions.y, own, experiment.loss)
        for member, state, own in zip(members, trained.states, predictions.by_member, strict=True)
    ]
    several, first = len(each) > 1, each[0]
    own_scores = [one.metrics for one in each]
    shares = [one.blend_share for one in each if one.blend_share is not None]
    return Summary(
        metrics=pooled,
        test=score_side(experiment, predictions, "test").get("run"),
        by_target=_by_target(experiment, members, predictions, verdict.healthy),
        baselines=baselines,
        weighted=_weighted(experiment, predictions),
        members=each if several else None,
        members_mean=metrics.mean_of(own_scores) if several else None,
        members_std=metrics.std_of(own_scores) if several else None,
        combined=pooled if several else None,
        epochs=None if several else first.epochs,
        best_epoch=None if several else first.best_epoch,
        stopping_epoch_best=None if several else first.stopping_epoch_best,
        stopped_early=all(one.stopped_early for one in each),
        dead=trained.dead or None,
        blend_share=np.mean(shares, axis=0).round(4).tolist() if shares else None,
        rows={split: len(numbers) for split, numbers in rows.items()},
        notes=experiment.notes,
        verdict=verdict.to_json(),
        provenance=_provenance(experiment, device),
    )


def _by_target(
    experiment: Experiment,
    members: Sequence[Member],
    predictions: RunPredictions,
    healthy: Mapping[str, bool],
) -> dict[str, dict[str, Any]]:
    """The scores of each target; if there are several, all that a summary says of it."""
    found: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(experiment.targets):
        baselines = score_side(experiment, predictions, "validation", number)
        found[name] = dict(baselines.pop("run") or {})
        if (weighted := _weighted(experiment, predictions, number)) is not None:
            found[name]["weighted"] = weighted
        if len(experiment.targets) > 1:
            test = score_side(experiment, predictions, "test", number).get("run")
            found[name] |= {"test": test, "baselines": baselines, "healthy": healthy[name]}
            if len(members) > 1:
                loss = experiment.loss.of_target(number)
                each = _member_scores(members, predictions, number, loss)
                found[name] |= {
                    "members": each,
                    "members_mean": metrics.mean_of(each),
                    "members_std": metrics.std_of(each),
                }
    return found


def _weighted(
    experiment: Experiment, predictions: RunPredictions, target: int | None = None
) -> Scores | None:
    """The weighted scores of the held-out rows; None without a weight column."""
    found = score_side(experiment, predictions, "validation", target, weighted=True).get("run")
    return found and {name: found[name] for name in metrics.WEIGHTED}


def _member_scores(
    members: Sequence[Member], predictions: RunPredictions, target: int, loss: Loss
) -> list[Scores]:
    """The scores of one target for each member, on the rows that it is scored on."""
    column, each = slice(target, target + 1), []
    for member, own in zip(members, predictions.by_member, strict=True):
        rows = member.scored
        each.append(metrics.scores(predictions.y[rows, column], own[rows, column], loss))
    return each


def _summarize_member(
    member: Member, state: State, y: np.ndarray, predictions: np.ndarray, loss: Loss
) -> MemberSummary:
    scored = member.scored
    test = member.experiment.rows("test") if member.fold is None else scored[:0]
    blend, types = state.best_params.get("blend"), member.experiment.types
    return MemberSummary(
        fold=member.fold,
        finalist=member.finalist,
        seed=member.seed,
        metrics=metrics.scores(y[scored], predictions[scored], loss),
        test=metrics.scores(y[test], predictions[test], loss) if len(test) else None,
        baselines=score_each(member_baselines(member), y, scored, loss),
        epochs=int(state.epoch),
        best_epoch=int(state.best_epoch) or None,
        stopping_epoch_best=int(state.early_stopping.best_epoch) or None,
        stopped_early=bool(state.stopped),
        blend_share=blend
        and [round(float(share), 4) for share in of_targets(types, np.asarray(blend["share"]))],
    )


def trainings_text(summary: Summary) -> str:
    """How many trainings a run with folds or seeds has, and how long they were; else empty."""
    if not summary.members:
        return ""
    epochs = [member.epochs or 0 for member in summary.members]
    least, most = min(epochs), max(epochs)
    text = f"{len(epochs)} trainings"
    if most:
        text += f" of {most}" if least == most else f" of {least} to {most}"
        text += f" epoch{'s' * (most > 1)}"
    stopped = sum(member.stopped_early for member in summary.members)
    return text + (f", {stopped} stopped early" if stopped else "")


def head_text(config: HeadConfig, summary: Summary, targets: Sequence[str]) -> str:
    """Describe a head in a few words."""
    on = f" on {config.components} components" if config.components else ""
    if config.head == "ridge":
        return f"ridge{on}"
    mlp = "MLP " + "-".join(str(width) for width in config.hidden) if config.hidden else "linear"
    if summary.blend_share is None:
        return f"{mlp}{on}"
    names = [f" for {name}" for name in targets] if len(targets) > 1 else [""]
    share_of = dict(zip(names, summary.blend_share, strict=True))
    shares = ", ".join(f"{_percent(share)}{name}" for name, share in share_of.items())
    mean = "on average " if summary.members else ""
    idle = [name for name, share in share_of.items() if share == 1]
    if len(idle) == len(names):
        return f"blend: {mean}{shares} ridge; the {mlp}{on} adds nothing"
    adds = f"; it adds nothing{' and'.join(idle)}" if idle else ""
    return f"blend: {mean}{shares} ridge, the rest {mlp}{on}{adds}"


def _percent(share: float) -> str:
    """A share as whole percent; 100% and 0% mean all and nothing."""
    whole = f"{share:.0%}"
    return whole if whole not in ("0%", "100%") or share in (0, 1) else f"{share:.2%}"


def _provenance(experiment: Experiment, device: str) -> dict[str, Any]:
    """Versions, device and command of this run. config.json has the recipe and the settings."""
    from importlib.metadata import version

    packages = ("jaxreg", "jax", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn")
    return {
        "versions": {
            "python": ".".join(map(str, sys.version_info[:3])),
            **{name: version(name) for name in packages},
        },
        "device": device,
        "seed": experiment.config.seed,
        "weights": experiment.features.recipe.weights_tag,
        "dataset": experiment.dataset_sha256,
        "git_commit": _git_commit(),
        "command_line": list(map(shown, sys.argv)),
    }


def _git_commit() -> str | None:
    """The commit of the current folder, if it is a repository."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
