"""What a run amounts to: predictions, scores, verdict and where it all came from."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg import metrics
from jaxreg.cache.lazy_features import read_pieces
from jaxreg.cache.store import Cache
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.members import Member
from jaxreg.head.apply import predict_rows
from jaxreg.head.state import State
from jaxreg.report.run_verdict import Told, verdict_of
from jaxreg.train_config import HeadConfig, TrainConfig
from jaxreg.training.loop import Trained


def predict_all(
    experiment: Experiment, members: Sequence[Member], config: TrainConfig, trained: Trained
) -> Told:
    """Predictions with the best weights, and those of the predictors to compare with."""
    heads = [(state.best_params, state.scalers) for state in trained.states]
    each = tuple(np.empty(experiment.y.shape, np.float32) for _ in heads)
    for rows, x in read_pieces(experiment.x, np.arange(len(experiment.y))):
        for predictions, (params, scalers) in zip(each, heads, strict=True):
            predictions[rows] = predict_rows(params, scalers, config, x)
    medians = [np.broadcast_to(_median(m.experiment), experiment.y.shape) for m in members]
    bars = [m.baseline.predictions for m in members if m.baseline is not None]
    return Told(
        predictions=_combine(experiment, members, each),
        each=each,
        median=_combine(experiment, members, medians),
        ridge=_combine(experiment, members, bars) if len(bars) == len(members) else None,
    )


def _median(experiment: Experiment) -> np.ndarray:
    """Of the training rows' targets (targets,)."""
    return np.median(experiment.y[experiment.rows("train")], axis=0)


def _combine(
    experiment: Experiment, members: Sequence[Member], each: Sequence[np.ndarray]
) -> np.ndarray:
    """The mean over members, but of a row in a fold only over the members that held it out."""
    if len(each) == 1:
        return each[0]
    combined = np.asarray(np.mean(each, axis=0, dtype=np.float64), np.float32)
    if experiment.folds:
        fold_of_row = experiment.fold_of_row
        for fold in range(len(experiment.folds)):
            rows = np.flatnonzero(fold_of_row == fold)
            own = [a[rows] for m, a in zip(members, each, strict=True) if m.fold == fold]
            combined[rows] = np.mean(own, axis=0, dtype=np.float64)
    return combined


def predictions_table(experiment: Experiment, predictions: np.ndarray) -> pa.Table:
    """The table of predictions.parquet."""
    columns: dict[str, Any] = {
        "id": experiment.dataset.table["id"],
        "split": pa.array(experiment.split.labels.tolist(), pa.string()),
    }
    if experiment.folds:
        columns["fold"] = pa.array(
            [None if fold < 0 else fold for fold in experiment.fold_of_row.tolist()], pa.int32()
        )
    for kind, values in [("target", experiment.y), ("prediction", predictions)]:
        for name, column in zip(experiment.targets, values.T, strict=True):
            columns[f"{kind}.{name}"] = pa.array(column, from_pandas=kind == "target")
    return pa.table(columns)


def summarize(
    experiment: Experiment,
    members: Sequence[Member],
    config: TrainConfig,
    trained: Trained,
    told: Told,
    device: str,
    cache: Cache,
) -> dict[str, Any]:
    """summary.json but for `seconds`, which the caller completes."""
    rows = {side: experiment.rows(side) for side in ("train", "validation", "test", "left-out")}
    each = [
        _summarize_one(member, state, predictions)
        for member, state, predictions in zip(members, trained.states, told.each, strict=True)
    ]
    validation, delta = rows["validation"], config.huber_delta
    y, predictions = experiment.y[validation], told.predictions[validation]
    several = len(members) > 1
    return {
        **(_over_members(each) if several else {**each[0], "std": None}),
        "by_target": metrics.by_target(experiment.targets, y, predictions, delta),
        "combined": metrics.scores(y, predictions, delta) if several else None,
        "members": each if several else None,
        "rows": {side: len(numbers) for side, numbers in rows.items()},
        "notes": experiment.notes,
        "dead": trained.dead or None,  # why it was ended, where it could not recover
        "verdict": verdict_of(experiment, members, trained, told, cache),
        "provenance": provenance(experiment, config, device),
    }


def _summarize_one(member: Member, state: State, predictions: np.ndarray) -> dict[str, Any]:
    """Scores and epochs of one training."""
    its, delta, scored = member.experiment, member.config.huber_delta, member.scored
    y, train_y, bar = its.y, its.y[its.rows("train")], member.baseline
    ridge = None if bar is None else bar.predictions[scored]
    tested = its.rows("test") if member.fold is None else scored[:0]
    return {
        **member.label,
        "metrics": metrics.scores(y[scored], predictions[scored], delta),
        "test": metrics.scores(y[tested], predictions[tested], delta) if len(tested) else None,
        "baselines": metrics.baselines(train_y, y[scored], delta, ridge),
        "epochs": int(state.epoch),
        "best_epoch": int(state.best_epoch) or None,
        "stopping_epoch_best": int(state.early_stopping.best_epoch) or None,
        "stopped_early": bool(state.stopped),
        "blend_share": blend_share(state),
    }


def blend_share(state: State) -> list[float] | None:
    """Of a blend, by target; None for another head."""
    blend = state.best_params.get("blend")
    return (
        None if blend is None else [round(float(share), 4) for share in np.asarray(blend["share"])]
    )


def mean_share(each: Sequence[dict[str, Any]]) -> list[float] | None:
    """The mean over trainings."""
    shares = [one["blend_share"] for one in each]
    return None if None in shares else np.mean(shares, axis=0).round(4).tolist()


def head_text(config: HeadConfig, summary: Mapping[str, Any], targets: Sequence[str]) -> str:
    """What a head is made of, in a few words."""
    on = f" on {config.components} components" if config.components else ""
    if config.head == "ridge":
        return f"ridge{on}"
    mlp = "MLP " + "-".join(str(width) for width in config.hidden) if config.hidden else "linear"
    shares = summary["blend_share"]
    if shares is None:
        return f"{mlp}{on}"
    of = [f" for {name}" for name in targets] if len(targets) > 1 else [""]
    told = ", ".join(f"{share:.0%}{name}" for share, name in zip(shares, of, strict=True))
    mean = "on average " if summary["members"] else ""
    return f"blend: {mean}{told} ridge, the rest {mlp}{on}"


def _over_members(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the members, and the std of each metric; epochs are the most of any."""
    own = [one["metrics"] for one in each]
    tests = [one["test"] for one in each]
    return {
        "metrics": metrics.mean_of(own),
        "std": metrics.std_of(own),
        "test": metrics.mean_of(tests) if all(tests) else None,
        "baselines": {
            name: metrics.mean_of(lines) if all(lines) else None
            for name in each[0]["baselines"]
            for lines in [[one["baselines"][name] for one in each]]
        },
        "epochs": max(one["epochs"] for one in each),
        "best_epoch": None,
        "stopping_epoch_best": None,
        "stopped_early": all(one["stopped_early"] for one in each),
        "blend_share": mean_share(each),
    }


def provenance(experiment: Experiment, config: TrainConfig, device: str) -> dict[str, Any]:
    """Who made this, of what."""
    from importlib.metadata import version

    packages = ("jaxreg", "jax", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn")
    return {
        "versions": {
            "python": ".".join(map(str, sys.version_info[:3])),
            **{name: version(name) for name in packages},
        },
        "device": device,
        "seed": config.seed,
        "recipe": experiment.recipe.to_json(),
        "weights": experiment.recipe.weights_tag,
        "dataset": experiment.dataset.fingerprint,
        "git_commit": _git_commit(),
        "command_line": sys.argv,
    }


def _git_commit() -> str | None:
    """The commit of the folder the command runs in, if it is a repository."""
    try:
        told = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() if told.returncode == 0 else None
