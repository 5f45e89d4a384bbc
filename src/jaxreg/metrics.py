"""Scores of predictions, and the uncertainty of a gain over a baseline."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from jaxreg.target_numbers import mean_and_std
from jaxreg.target_types import PLAIN, TargetType, Types, circular_mean, difference

METRICS = ("mae", "rmse", "r2", "spearman", "huber")
"""The names of the scores. For the errors mae, rmse, huber, 0 is best; for r2, spearman, 1 is."""

WEIGHTED = ("mae", "rmse", "r2", "huber")
"""The names of the scores in which each row can have a weight."""

Scores = dict[str, float | None]
"""One finite number for each of METRICS, or None where the score is undefined."""

Name = TypeVar("Name")


class Loss(NamedTuple):
    """The Huber loss of a run, for the score `huber`."""

    delta: np.ndarray  # target units, one for all targets or (T,)
    std: np.ndarray  # (T,) target units, above 0; several targets are divided by it
    types: Types = ()  # of the T targets; empty: all are plain

    def of_target(self, number: int) -> "Loss":
        """The loss of one target."""
        delta, column = np.broadcast_to(self.delta, self.std.shape), slice(number, number + 1)
        return Loss(delta[column], self.std[column], tuple(self.types)[column])


def scores(
    targets: np.ndarray,
    predictions: np.ndarray,
    loss: Loss,
    weights: np.ndarray | None = None,
) -> Scores:
    """Score predictions. Each target is scored on the rows that have it.

    Args:
        targets: (N, T), in target units; NaN where a target is missing.
        predictions: (N, T), in target units.
        loss: the Huber loss is quadratic below its delta and linear above it.
        weights: (N, T), 0 or more: the sums of errors are weighted. spearman is None then.

    Returns:
        mae and rmse are in target units. r2 is 1 − squared error / variance. spearman is the rank
        correlation. huber is the mean of 0.5 e² for |e| ≤ delta and of delta |e| − 0.5 delta²
        above. r2 and spearman are None for a constant target; spearman is also None for constant
        predictions. All scores are None if a prediction is not finite, or no row has the target
        or a weight. The errors of a circular target are the shorter way around, its variance is
        that around the circular mean, and its spearman is None.

        Several targets have no common unit, so mae, rmse and spearman are None; `by_target` gives
        them. huber is the mean over the targets, with the error and the delta of each divided by
        its std. r2 is the mean over the targets, None if that of one target is None.

    Raises:
        ValueError: the shapes differ, are not (N, T), or have no rows.
    """
    _check_shapes(targets, predictions)
    if targets.shape[1] == 1:
        known = ~np.isnan(targets[:, 0])
        own, predicted = (one[known, 0].astype(np.float64) for one in (targets, predictions))
        its = None if weights is None else weights[known, 0]
        kind = loss.types[0] if loss.types else PLAIN
        return _score_one(own, predicted, float(np.max(loss.delta)), its, kind)
    each = list(by_target(range(len(loss.std)), targets, predictions, loss, weights).values())
    # an error and a delta that are both divided by std divide their Huber loss by its square
    pairs = zip((own["huber"] for own in each), loss.std, strict=True)
    scaled = [None if value is None else float(value / std**2) for value, std in pairs]
    r2 = [own["r2"] for own in each]
    return {**dict.fromkeys(METRICS), "r2": _mean(r2), "huber": _mean(scaled)}


def by_target(
    names: Iterable[Name],
    targets: np.ndarray,
    predictions: np.ndarray,
    loss: Loss,
    weights: np.ndarray | None = None,
) -> dict[Name, Scores]:
    """The scores of each target alone. `names` are the names of the T columns."""
    _check_shapes(targets, predictions)
    found = {}
    for i, name in enumerate(names):
        its = None if weights is None else weights[:, i : i + 1]
        own = targets[:, i : i + 1], predictions[:, i : i + 1], loss.of_target(i)
        found[name] = scores(*own, its)
    return found


def constant_baselines(
    train_targets: np.ndarray, rows: int, weights: np.ndarray | None = None, types: Types = ()
) -> dict[str, np.ndarray]:
    """Predictions (rows, T) of the mean and of the median of the training targets (M, T).

    Args:
        train_targets: NaN where a target is missing.
        rows: how many predictions.
        weights: (M, T), as `entry_weights`; None: 1. With different weights the median is the
            least number that half of the weight does not exceed, as in scikit-learn.
        types: of the targets. Both baselines of a circular one are the circular mean.
    """
    train = train_targets.astype(np.float64)
    each = np.where(np.isnan(train), 0.0, 1.0) if weights is None else weights
    mean, _ = mean_and_std(train)
    middle = np.array([_median(*own) for own in zip(train.T, each.T, strict=True)])
    for i, (own, its) in enumerate(zip(train.T, each.T, strict=True)):
        if types and types[i].circular and (its > 0).any():
            mean[i] = middle[i] = circular_mean(types[i], own[its > 0], its[its > 0])
        elif np.ptp(its[its > 0]) > 0:
            mean[i] += np.average(own[its > 0] - mean[i], weights=its[its > 0])
    constants = {"mean": mean, "median": middle}
    return {
        name: np.broadcast_to(value, (rows, train.shape[1])) for name, value in constants.items()
    }


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    some = weights > 0
    values, weights = values[some], weights[some]
    if np.ptp(weights) == 0:
        return float(np.median(values))
    return float(np.quantile(values, 0.5, weights=weights, method="inverted_cdf"))


def mean_of(several: Sequence[Scores]) -> Scores:
    """The mean of each metric over several scores; None where one of them is None."""
    return {metric: _mean([scores[metric] for scores in several]) for metric in METRICS}


def std_of(several: Sequence[Scores]) -> Scores:
    """The sample std (N - 1) of each metric over several scores; None where one of them is None."""
    std: Scores = {}
    for metric in METRICS:
        values = [value for scores in several if (value := scores[metric]) is not None]
        complete = len(values) == len(several) > 1
        std[metric] = float(np.std(values, ddof=1)) if complete else None
    return std


def bootstrap_gain(
    targets: np.ndarray,
    predictions: np.ndarray,
    baseline_predictions: np.ndarray,
    blocks: np.ndarray | None = None,
    *,
    kind: TargetType = PLAIN,
    seed: int = 0,
    draws: int = 1000,
) -> tuple[float, float]:
    """The gain in MAE over a baseline for one target, and the standard error of that gain.

    Args:
        targets, predictions, baseline_predictions: (N, 1), in target units.
        blocks: (N,) integers. The bootstrap draws whole blocks: all rows with the same number.
            Consecutive frames have similar errors, so they form a block; see `runs_of_rows`.
        kind: the type of the target.
        seed: of the random draws.
        draws: the number of bootstrap samples. Each sample draws N rows with replacement and uses
            the same rows for both predictions.

    Returns:
        The gain in target units; it is positive if the predictions are better than the baseline.
        Then the std of the gain over the draws. With a single row or a single block this std is
        infinite. NaN and infinity if a prediction is not finite.

    Raises:
        ValueError: the shapes differ, are not (N, 1), or have no rows.
    """
    _check_shapes(targets, predictions)
    _check_shapes(targets, baseline_predictions)
    if targets.shape[1] != 1:
        raise ValueError(f"{targets.shape[1]} targets: errors of several have no common unit")
    if not np.isfinite(predictions).all():
        return math.nan, math.inf
    error = np.abs(difference([kind], predictions, targets))
    baseline_error = np.abs(difference([kind], baseline_predictions, targets))
    gain_of_row = (baseline_error - error)[:, 0]
    total, size = gain_of_row, np.ones(len(gain_of_row))
    if blocks is not None:
        _, number = np.unique(blocks, return_inverse=True)
        total, size = np.bincount(number, gain_of_row), np.bincount(number).astype(np.float64)
    count = len(total)
    if count == 1:
        return float(gain_of_row.mean()), math.inf

    rng = np.random.default_rng(seed)
    gain_of_draw = np.empty(draws)
    chunk = max(1, 2**22 // count)  # limits the memory of one step
    for start in range(0, draws, chunk):
        gains = gain_of_draw[start : start + chunk]
        drawn = rng.integers(count, size=(len(gains), count), dtype=np.int32)
        gains[:] = total[drawn].sum(axis=1) / size[drawn].sum(axis=1)
    return float(gain_of_row.mean()), float(gain_of_draw.std(ddof=1))


def runs_of_rows(sequence: np.ndarray, order: np.ndarray, length: int | None = None) -> np.ndarray:
    """Blocks for `bootstrap_gain`: runs of √N consecutive rows.

    Args:
        sequence: (N,) the sequence of each row. A run never spans two sequences.
        order: (N,) the place of each row within its sequence.
        length: the rows of a run; None: √N.

    Returns:
        (N,) the number of the run of each row.
    """
    length = math.isqrt(len(order)) if length is None else length
    place = np.lexsort((order, sequence))
    of = sequence[place]
    first = np.flatnonzero(np.r_[True, of[1:] != of[:-1]])
    within = np.arange(len(of)) - np.repeat(first, np.diff(np.r_[first, len(of)]))
    new = (within % length == 0) if len(of) else np.zeros(0, bool)
    number = np.empty(len(of), np.int64)
    number[place] = np.cumsum(new) - 1
    return number


def _check_shapes(targets: np.ndarray, predictions: np.ndarray) -> None:
    # (N, 1) and (N,) would broadcast to N × N and give a wrong number without an error.
    if targets.ndim != 2 or targets.shape != predictions.shape or not targets.size:
        raise ValueError(
            f"targets {targets.shape} and predictions {predictions.shape}: expected one (N, T)"
        )


def _score_one(
    target: np.ndarray,
    prediction: np.ndarray,
    delta: float,
    weights: np.ndarray | None,
    kind: TargetType,
) -> Scores:
    # jaxreg computes the scores itself: importing scikit-learn's metrics and SciPy's statistics
    # takes longer than everything else that a short run does after its last epoch.
    if weights is not None:
        some = weights > 0
        target, prediction, weights = target[some], prediction[some], weights[some]
    if not (len(target) and np.isfinite(target).all() and np.isfinite(prediction).all()):
        return dict.fromkeys(METRICS)
    varies = target.max() > target.min()
    ranked = prediction.max() > prediction.min() and not kind.circular
    with np.errstate(over="ignore", invalid="ignore"):  # squares of a diverged head may overflow
        error = np.abs(difference([kind], prediction[:, None], target[:, None])[:, 0])
        squares = np.square(error)
        center = np.average(target, weights=weights)
        if kind.circular:
            center = circular_mean(kind, target, weights)
        spread = np.square(difference([kind], target[:, None], center)[:, 0])
        mean = lambda values: np.average(values, weights=weights)  # noqa: E731
        total = lambda values: (values if weights is None else weights * values).sum()  # noqa: E731
        correlated = varies and ranked and weights is None
        values = {
            "mae": mean(error),
            "rmse": np.sqrt(mean(squares)),
            "r2": 1 - total(squares) / total(spread) if varies else None,
            "spearman": _spearman(target, prediction) if correlated else None,
            "huber": mean(huber(error, delta)),
        }
    return {
        name: None if value is None or not math.isfinite(value) else float(value)
        for name, value in values.items()
    }


def huber(error: np.ndarray, delta: float | np.ndarray) -> np.ndarray:
    """The Huber loss of absolute errors: 0.5 e² up to delta, delta e − 0.5 delta² beyond."""
    return np.where(error <= delta, 0.5 * np.square(error), delta * error - 0.5 * delta**2)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of two arrays (N,) that both vary: Pearson's correlation of the ranks."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of (N,) values, from 1. Equal values get the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
