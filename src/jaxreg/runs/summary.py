"""What a run amounts to: predictions, scores, verdict and where it all came from."""

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.config import TrainConfig
from jaxreg.features.cache import Cache
from jaxreg.features.streaming import read_pieces
from jaxreg.heads.fit import predict_rows
from jaxreg.runs import metrics
from jaxreg.runs.bar import Bar
from jaxreg.runs.evidence import observe
from jaxreg.runs.experiment import Experiment
from jaxreg.runs.training import Trained
from jaxreg.verdict import judge


def predict_all(experiment: Experiment, config: TrainConfig, trained: Trained) -> np.ndarray:
    """Predictions (rows, targets) for every row of the dataset, with the best weights."""
    params, scalers = trained.state.best_params, trained.state.scalers
    predictions = np.empty(experiment.y.shape, np.float32)
    for rows, x in read_pieces(experiment.x, np.arange(len(predictions))):
        predictions[rows] = predict_rows(params, scalers, config, x)
    return predictions


def predictions_table(experiment: Experiment, predictions: np.ndarray) -> pa.Table:
    """The table of predictions.parquet."""
    columns: dict[str, Any] = {
        "id": experiment.dataset.table["id"],
        "split": pa.array(experiment.split.labels.tolist(), pa.string()),
    }
    for kind, values in [("target", experiment.y), ("prediction", predictions)]:
        for name, column in zip(experiment.targets, values.T, strict=True):
            columns[f"{kind}.{name}"] = pa.array(column, from_pandas=kind == "target")
    return pa.table(columns)


def summarize(
    experiment: Experiment,
    config: TrainConfig,
    trained: Trained,
    predictions: np.ndarray,
    bar: Bar | None,
    device: str,
    cache: Cache,
) -> dict[str, Any]:
    """summary.json but for `seconds`, which the caller completes."""
    delta, state = config.huber_delta, trained.state
    rows = {side: experiment.rows(side) for side in ("train", "validation", "test", "left-out")}
    watched, tested = rows["validation"], rows["test"]
    y, train_y = experiment.y, experiment.y[rows["train"]]
    ridge = None if bar is None else bar.predictions[watched]
    best_epoch = int(state.best_epoch)
    return {
        "metrics": metrics.scores(y[watched], predictions[watched], delta),
        "test": metrics.scores(y[tested], predictions[tested], delta) if len(tested) else None,
        "by_target": metrics.by_target(experiment.targets, y[watched], predictions[watched], delta),
        "baselines": metrics.baselines(train_y, y[watched], delta, ridge),
        "epochs": int(state.epoch),
        "best_epoch": best_epoch or None,
        "stopping_epoch_best": int(state.stopping.best_epoch) or None,
        "stopped_early": bool(state.stopped),
        "lost": trained.lost or None,  # why it was ended, where it could not recover
        "rows": {side: len(numbers) for side, numbers in rows.items()},
        "notes": experiment.notes,
        "verdict": judge(observe(experiment, config, trained, predictions, bar, cache)),
        "provenance": provenance(experiment, config, device),
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
