"""Another cached column on which a ridge is better than the run: at most one suggestion.

The columns that are compared are decided before the first is solved, from the time that the ridge
of the run took. So their ridges add about SECONDS to a run at most.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from jaxreg import metrics
from jaxreg.config_io import command_line, from_json
from jaxreg.errors import InputError
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.column_ridges import (
    CachedColumn,
    cached_columns,
    held_out_by_ridge,
    read_column,
)
from jaxreg.experiment.members import Member
from jaxreg.experiment.row_units import row_units
from jaxreg.report.run_predictions import RunPredictions
from jaxreg.target_types import difference
from jaxreg.train_config import TrainConfig

SECONDS = 2.0  # that all ridges together are estimated to take at most
READ = 5e7  # numbers a second that are read from the cache, at least
CHANCE = 0.05  # that a column of many that are no better is suggested
OF_HEAD = ("head", "components", "seeds", "views", "mirror_targets", "layers", "pool",
           "feature_set", "columns")  # fmt: skip
"""The settings that a ridge on another column has by default, whatever the run has."""


def suggestions_of(
    experiment: Experiment, members: Sequence[Member], predictions: RunPredictions
) -> list[dict[str, Any]]:
    """`suggestions` of summary.json: empty, or one of {text, command, mae}.

    A column is suggested if a ridge on it has a lower error than the run on the rows that the run
    holds out, and if the gain cannot be chance: it is above its bootstrap error times a quantile of
    Student's t. The error is paired by row and drawn by block or group. The quantile is that of
    CHANCE over the number of columns. Several targets are compared by the mean of their errors in
    std, and mae is None. There is no suggestion if another column is damaged: the run is whole.
    """
    with suppress(InputError):
        return _suggestions(experiment, members, predictions)
    return []


def _suggestions(
    experiment: Experiment, members: Sequence[Member], predictions: RunPredictions
) -> list[dict[str, Any]]:
    held_out = experiment.rows("validation")
    own = _errors(experiment, predictions.predictions)[held_out]
    columns = list(_columns(experiment, members))
    if not columns or not np.isfinite(own).all():
        return []
    found = row_units(experiment.dataset, experiment.split.kind)
    units = None if found is None else found.numbers[held_out]
    bound = _quantile(len(held_out) if units is None else len(np.unique(units)), len(columns))
    best, lowest = None, np.inf
    for column in columns:
        ridge = held_out_by_ridge(experiment, read_column(experiment, column.features))
        errors = _errors(experiment, ridge)[held_out]
        if not np.isfinite(errors).all() or errors.mean() >= lowest:
            continue
        zeros = np.zeros((len(errors), 1))
        pair = errors[:, None], own[:, None]
        gain, error = metrics.bootstrap_gain(zeros, *pair, units)
        if gain > bound * error:
            best, lowest = (column, ridge), float(errors.mean())
    return [] if best is None else [_suggestion(experiment, predictions, *best)]


def _columns(experiment: Experiment, members: Sequence[Member]) -> Iterator[CachedColumn]:
    """The other columns whose ridges are estimated to fit into SECONDS, the narrowest first."""
    baselines = {id(member.baseline): member.baseline for member in members}
    if None in baselines.values() or not isinstance(experiment.x, np.ndarray):
        return  # the run's own ridge was left out, because it would take long
    spent = sum(one.seconds for one in baselines.values() if one is not None)
    rows, width = len(experiment.y), experiment.x.shape[1]
    side = experiment.side.width
    rate = spent / _work(rows, width)  # seconds for a unit of work

    def seconds(own: int) -> float:
        return max(rate * _work(rows, own + side), spent * own / width) + rows * own / READ

    most = next((own for own in 2 ** np.arange(20, -1, -0.25) if seconds(int(own)) < SECONDS), 0)
    others = [
        column
        for column in cached_columns(experiment, int(most))
        if column.features.columns[0] not in experiment.features.columns
    ]
    left = SECONDS
    for column in sorted(others, key=lambda one: one.width):
        left -= seconds(column.width)
        if left < 0:
            return
        yield column


def _work(rows: int, columns: int) -> float:
    """What the time of a ridge grows with: its scatter matrix, and the decomposition of that."""
    fewer = min(rows, columns)
    return rows * columns * fewer + 10 * fewer**3


def _errors(experiment: Experiment, predicted: np.ndarray) -> np.ndarray:
    """(rows,) absolute errors; of several targets the mean of those there are, each in std."""
    errors = np.abs(difference(experiment.types, predicted, experiment.y))
    if errors.shape[1] == 1:
        return errors[:, 0]
    errors = errors / experiment.loss.std[None, :]
    known = ~np.isnan(experiment.y)
    total = np.where(known, errors, 0).sum(axis=1)
    return total / np.maximum(known.sum(axis=1), 1)


def _quantile(units: int, columns: int) -> float:
    """How many errors a gain must be above 0, for the best of so many columns; at least 2."""
    from scipy.special import stdtrit

    return float("inf") if units < 2 else max(2.0, stdtrit(units - 1, 1 - CHANCE / 2 / columns))


def _suggestion(
    experiment: Experiment, predictions: RunPredictions, column: CachedColumn, ridge: np.ndarray
) -> dict[str, Any]:
    rows = experiment.rows("validation")
    both = [
        metrics.scores(experiment.y[rows], one[rows], experiment.loss)
        for one in (ridge, predictions.predictions)
    ]
    name = "mae" if len(experiment.targets) == 1 else "r2"
    shown, here = (f"{one[name]:.3g}" for one in both)
    score = {"mae": "MAE", "r2": "R²"}[name]
    word = column.word_of(experiment)
    options = f"--head ridge --columns {word}"
    return {
        "text": f"a ridge on {column.word}, also cached, reaches {score} {shown} on the same rows, "
        f"and this run {here}: {options}",
        "command": _command(experiment, word),
        "mae": both[0]["mae"],
    }


def _command(experiment: Experiment, word: str) -> str:
    """The command that trains a ridge on that column, with the rows and targets of the run."""
    asked = {name: value for name, value in experiment.asked.items() if name not in OF_HEAD}
    settings = replace(from_json(TrainConfig, asked), head="ridge", columns=(word,))
    words = (experiment.dataset.name, "--cache", experiment.cache.root)
    return command_line("jaxreg train", words, settings)
