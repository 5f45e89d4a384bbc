"""The summary of a run: scores, epochs, verdict, provenance. summary.json is its JSON."""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxreg import metrics
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.members import Member
from jaxreg.head.state import State
from jaxreg.metrics import Scores
from jaxreg.report.run_predictions import RunPredictions, member_baselines, score_baselines
from jaxreg.report.run_verdict import verdict_of
from jaxreg.train_config import HeadConfig
from jaxreg.training.loop import Trained

SPLITS = ("train", "validation", "test", "left-out")


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """What the summaries of a run and of one of its members share."""

    metrics: Scores  # on the validation rows; with folds, on all rows that a fold held out
    test: Scores | None
    baselines: dict[str, Scores | None]  # mean, median, ridge; scored on the rows of `metrics`
    epochs: int  # with several members, the most of any member
    best_epoch: int | None  # counted from 1; None with several members
    stopping_epoch_best: int | None
    stopped_early: bool
    blend_share: list[float] | None  # the ridge's weight in a blend, by target


@dataclass(frozen=True, kw_only=True)
class MemberSummary(TrainingSummary):
    """The summary of one training of a run with folds or seeds."""

    fold: int | None  # counted from 0; None without folds
    seed: int

    @property
    def label(self) -> str:
        """The name of this training in the report."""
        return f"seed {self.seed}" if self.fold is None else f"fold {self.fold}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Summary(TrainingSummary):
    """The summary of a run. Fields that only several members have are None for a single one."""

    by_target: dict[str, Scores]
    members: list[MemberSummary] | None
    members_mean: Scores | None
    members_std: Scores | None
    combined: Scores | None  # repeats `metrics`
    dead: str | None  # why the training stopped early, if the head was dead
    rows: dict[str, int]  # the number of rows of each split
    notes: list[str]
    seconds: dict[str, float]
    verdict: dict[str, Any]  # healthy, headline, findings
    intervals: dict[str, Any] | None = None
    suggestions: list[dict[str, Any]] = field(default_factory=list)
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The content of summary.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Summary":
        """Read what `to_json` wrote. Other keys, such as the format, are ignored."""
        known = {one.name: content[one.name] for one in dataclasses.fields(cls)}
        members = known["members"]
        known["members"] = members and [MemberSummary(**member) for member in members]
        return cls(**known)


def summarize(
    experiment: Experiment,
    members: Sequence[Member],
    trained: Trained,
    predictions: RunPredictions,
    *,
    device: str,
    seconds: dict[str, float],
) -> Summary:
    """Score, judge and describe a finished training."""
    rows = {split: experiment.rows(split) for split in SPLITS}
    y, predicted, delta = experiment.y, predictions.predictions, experiment.config.huber_delta
    validation, test = rows["validation"], rows["test"]
    each = [
        _summarize_member(member, state, own)
        for member, state, own in zip(members, trained.states, predictions.by_member, strict=True)
    ]
    several, first = len(each) > 1, each[0]
    scored = y[validation], predicted[validation], delta
    pooled = metrics.scores(*scored)
    own_scores = [one.metrics for one in each]
    shares = [one.blend_share for one in each if one.blend_share is not None]
    return Summary(
        metrics=pooled,
        test=metrics.scores(y[test], predicted[test], delta) if len(test) else None,
        by_target=metrics.by_target(experiment.targets, *scored),
        baselines=score_baselines(predictions.baselines, y, validation, delta),
        members=each if several else None,
        members_mean=metrics.mean_of(own_scores) if several else None,
        members_std=metrics.std_of(own_scores) if several else None,
        combined=pooled if several else None,
        epochs=max(one.epochs for one in each),
        best_epoch=None if several else first.best_epoch,
        stopping_epoch_best=None if several else first.stopping_epoch_best,
        stopped_early=all(one.stopped_early for one in each),
        dead=trained.dead or None,
        blend_share=np.mean(shares, axis=0).round(4).tolist() if shares else None,
        rows={split: len(numbers) for split, numbers in rows.items()},
        notes=experiment.notes,
        seconds=seconds,
        verdict=verdict_of(experiment, members, trained, predictions),
        provenance=_provenance(experiment, device),
    )


def _summarize_member(member: Member, state: State, predictions: np.ndarray) -> MemberSummary:
    y, delta, scored = member.experiment.y, member.config.huber_delta, member.scored
    test = member.experiment.rows("test") if member.fold is None else scored[:0]
    blend = state.best_params.get("blend")
    return MemberSummary(
        fold=member.fold,
        seed=member.seed,
        metrics=metrics.scores(y[scored], predictions[scored], delta),
        test=metrics.scores(y[test], predictions[test], delta) if len(test) else None,
        baselines=score_baselines(member_baselines(member), y, scored, delta),
        epochs=int(state.epoch),
        best_epoch=int(state.best_epoch) or None,
        stopping_epoch_best=int(state.early_stopping.best_epoch) or None,
        stopped_early=bool(state.stopped),
        blend_share=blend and [round(float(share), 4) for share in np.asarray(blend["share"])],
    )


def head_text(config: HeadConfig, summary: Summary, targets: Sequence[str]) -> str:
    """Describe a head in a few words."""
    on = f" on {config.components} components" if config.components else ""
    if config.head == "ridge":
        return f"ridge{on}"
    mlp = "MLP " + "-".join(str(width) for width in config.hidden) if config.hidden else "linear"
    if summary.blend_share is None:
        return f"{mlp}{on}"
    names = [f" for {name}" for name in targets] if len(targets) > 1 else [""]
    pairs = zip(summary.blend_share, names, strict=True)
    shares = ", ".join(f"{share:.0%}{name}" for share, name in pairs)
    mean = "on average " if summary.members else ""
    return f"blend: {mean}{shares} ridge, the rest {mlp}{on}"


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
        "weights": experiment.recipe.weights_tag,
        "dataset": experiment.dataset.fingerprint,
        "git_commit": _git_commit(),
        "command_line": sys.argv,
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
