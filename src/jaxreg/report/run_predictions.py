"""Predictions of a finished run for every row of its dataset, and those of its baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.cache.lazy_features import read_pieces
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.members import Member
from jaxreg.experiment.row_units import unit_names
from jaxreg.head.apply import predict_rows
from jaxreg.metrics import Loss, Scores, constant_baselines, scores
from jaxreg.target_numbers import number_type
from jaxreg.target_types import center_and_std, held, mean_over
from jaxreg.training.loop import Trained


@dataclass(frozen=True)
class RunPredictions:
    """Predictions for every row of the dataset: (rows, targets) float64, in target units.

    Targets and predictions are rounded as predictions.parquet holds them, so that its scores are
    those of the run. With folds, a row's prediction comes from the heads of the fold that held the
    row out. The predictions of several seeds are averaged, around the circle for a circular target.
    The same holds for the baselines.
    """

    y: np.ndarray
    predictions: np.ndarray
    by_member: tuple[np.ndarray, ...]
    #: mean, median, ridge; with side columns also those of `side_baselines`
    baselines: Mapping[str, np.ndarray | None]


def score_each(
    predictors: Mapping[str, np.ndarray | None],
    y: np.ndarray,
    rows: np.ndarray,
    loss: Loss,
    weights: np.ndarray | None = None,
) -> dict[str, Scores | None]:
    """The scores of each predictor on some rows; None for a baseline without predictions."""
    its = None if weights is None else weights[rows]
    return {
        name: None if values is None else scores(y[rows], values[rows], loss, its)
        for name, values in predictors.items()
    }


def score_side(
    experiment: Experiment,
    predictions: RunPredictions,
    side: str,
    target: int | None = None,
    *,
    weighted: bool = False,
) -> dict[str, Scores | None]:
    """The scores of the run, under "run", and of its baselines on one side of the split.

    Args:
        experiment: has the targets and the split.
        predictions: those of the run.
        side: validation or test.
        target: the number of the target to score alone; None: all together.
        weighted: whether rows count by their weights.

    Returns:
        Nothing where the side has no rows, or for weighted scores of a run without weights.
    """
    rows = experiment.rows(side)
    if not len(rows) or (weighted and experiment.config.weight_column is None):
        return {}
    column = slice(None) if target is None else slice(target, target + 1)
    loss = experiment.loss if target is None else experiment.loss.of_target(target)
    predictors = {"run": predictions.predictions, **predictions.baselines}
    own = {name: None if a is None else a[:, column] for name, a in predictors.items()}
    weights = experiment.weights[:, column] if weighted else None
    return score_each(own, predictions.y[:, column], rows, loss, weights)


def predict_all(
    experiment: Experiment, members: Sequence[Member], trained: Trained
) -> RunPredictions:
    """Predict every row with the best weights of every member, and with the baselines."""
    heads = [(state.best_params, state.scalers) for state in trained.states]
    by_member = tuple(np.empty(experiment.y.shape) for _ in heads)
    for rows, x in read_pieces(experiment.x, np.arange(len(experiment.y))):
        for predictions, (params, scalers) in zip(by_member, heads, strict=True):
            predictions[rows] = predict_rows(params, scalers, experiment.config, x)
    baselines: dict[str, np.ndarray | None] = {}
    each = [member_baselines(member) for member in members]
    for name in each[0]:
        known = [values for one in each if (values := one.get(name)) is not None]
        complete = len(known) == len(members)
        baselines[name] = _combine(experiment, members, known) if complete else None
    combined = _rounded(experiment, _combine(experiment, members, by_member))
    by_member = tuple(_rounded(experiment, one) for one in by_member)
    return RunPredictions(_rounded(experiment, experiment.y), combined, by_member, baselines)


def with_held_out(
    experiment: Experiment, predictions: RunPredictions, held_out: np.ndarray
) -> RunPredictions:
    """The predictions with others for the rows that a fold holds out.

    `held_out` (rows, targets) is in target units. It has all rows; what it says of a row that no
    fold holds out is not taken.
    """
    rows = experiment.fold_of_row >= 0
    combined = np.where(rows[:, None], _rounded(experiment, held_out), predictions.predictions)
    return replace(predictions, predictions=combined)


def _number_types(experiment: Experiment) -> list[type[np.floating]]:
    """The type of each target in predictions.parquet, as `TrainedRun` has it for a constant."""
    _, std = center_and_std(experiment.types, experiment.y)
    units, largest = np.where(std == 0, 1.0, std), np.nanmax(np.abs(experiment.y), axis=0)
    return [number_type(*both) for both in zip(largest, units, strict=True)]


def _rounded(experiment: Experiment, values: np.ndarray) -> np.ndarray:
    """Numbers (rows, targets) as predictions.parquet holds them, as float64."""
    columns = held(experiment.types, values, _number_types(experiment))
    return np.stack(columns, axis=1).astype(np.float64)


def member_baselines(member: Member) -> dict[str, np.ndarray | None]:
    """Predictions (rows, targets) of what one training is compared with: mean, median, ridge.

    With side columns, those of `side_baselines` follow.

    They are rounded as those of the run are.
    """
    experiment, y = member.experiment, member.experiment.y
    train, types = experiment.rows("train"), experiment.types
    constants = constant_baselines(y[train], len(y), experiment.weights[train], types)
    ridge = None if member.baseline is None else member.baseline.predictions
    beside = {} if member.baseline is None else member.baseline.beside
    each = {**constants, "ridge": ridge, **beside}
    return {n: None if one is None else _rounded(experiment, one) for n, one in each.items()}


def _combine(
    experiment: Experiment, members: Sequence[Member], by_member: Sequence[np.ndarray]
) -> np.ndarray:
    """The mean over members; for a row in a fold, only over the members that held it out."""
    combined = mean_over(experiment.types, by_member)
    if experiment.folds:
        fold_of_row = experiment.fold_of_row
        for fold in range(len(experiment.folds)):
            rows = np.flatnonzero(fold_of_row == fold)
            own = [a[rows] for m, a in zip(members, by_member, strict=True) if m.fold == fold]
            combined[rows] = mean_over(experiment.types, own)
    return combined


def predictions_table(
    experiment: Experiment, predictions: RunPredictions, label_scores: np.ndarray
) -> pa.Table:
    """The table of predictions.parquet; the scores (rows, targets) are NaN where a row has none."""
    columns: dict[str, Any] = {
        "id": experiment.dataset.table["id"],
        "split": pa.array(experiment.split.labels.tolist(), pa.string()),
    }
    if experiment.folds:
        folds = [None if fold < 0 else fold for fold in experiment.fold_of_row.tolist()]
        columns["fold"] = pa.array(folds, pa.int32())
    columns["unit"] = _units(experiment)
    types = _number_types(experiment)
    for kind, values in [("target", predictions.y), ("prediction", predictions.predictions)]:
        own = held(experiment.types, values, types)
        for name, numbers in zip(experiment.targets, own, strict=True):
            columns[f"{kind}.{name}"] = pa.array(numbers, from_pandas=kind == "target")
    for name, numbers in zip(experiment.targets, label_scores.T, strict=True):
        columns[f"label_score.{name}"] = pa.array(numbers.astype(np.float32), from_pandas=True)
    return pa.table(columns)


def unit_of_rows(experiment: Experiment) -> tuple[np.ndarray | None, str]:
    """The unit that a fold holds out whole, for each row, and what such a unit is called.

    None where each row is a unit. A row that no fold holds out has the unit "".
    """
    kind = experiment.split.kind.partition(":")[0]
    names = None if kind == "hash" else unit_names_of(experiment)
    if names is None:
        return None, "row"
    names[experiment.fold_of_row < 0] = ""
    return names.astype(str), {"blocks": "block", "column": "fold"}.get(kind, kind)


def _units(experiment: Experiment) -> pa.Array:
    """The block or group of each row with a target, by its name; null where there are neither.

    `--split hash` holds out single rows of a unit; other splits hold out whole units.
    """
    names = unit_names_of(experiment)
    return pa.array([None] * len(experiment.y) if names is None else names, pa.string())


def unit_names_of(experiment: Experiment) -> np.ndarray | None:
    """(rows,) text, None for a row without a target; None where rows have no units."""
    rows = np.flatnonzero(experiment.usable)
    found = unit_names(experiment.dataset.rows(rows), experiment.split.kind)
    if found is None:
        return None
    names = np.full(len(experiment.y), None, object)
    names[rows] = found
    return names
