"""How far predictions are from targets, and how far from having learned nothing."""

import math
from collections.abc import Sequence

import numpy as np

METRICS = ("mae", "rmse", "r2", "spearman", "huber")
"""The names of all scores. mae, rmse and huber are errors; r2 and spearman are best at 1."""

Scores = dict[str, float | None]
"""A number for each of METRICS, None where it has no meaning; never NaN or infinite."""


def scores(targets: np.ndarray, predictions: np.ndarray, delta: float) -> Scores:
    """Score predictions; with several targets, the plain mean of each one's scores.

    Args:
        targets: (N, T), in target units.
        predictions: (N, T), in target units.
        delta: target units, where the Huber loss turns from square to straight.

    Returns:
        mae and rmse in target units; r2 (1 − squared error / variance) and spearman (rank
        correlation), None for a constant target or a single row, spearman also for constant
        predictions; huber, the mean of 0.5 e² up to delta and delta |e| − 0.5 delta² beyond. All
        are None where a prediction is not finite, and a mean is None where a part of it is.

    Raises:
        ValueError: shapes that differ, are not (N, T), or have no rows.
    """
    _check_shapes(targets, predictions)
    columns = [
        _score_one(target.astype(np.float64), prediction.astype(np.float64), delta)
        for target, prediction in zip(targets.T, predictions.T, strict=True)
    ]
    return {metric: _mean([column[metric] for column in columns]) for metric in METRICS}


def by_target(
    names: Sequence[str], targets: np.ndarray, predictions: np.ndarray, delta: float
) -> dict[str, Scores]:
    """The scores of each target on its own; `names` are those of the T columns."""
    _check_shapes(targets, predictions)
    return {
        name: scores(targets[:, i : i + 1], predictions[:, i : i + 1], delta)
        for i, name in enumerate(names)
    }


def baselines(
    train_targets: np.ndarray, targets: np.ndarray, delta: float, ridge: np.ndarray | None = None
) -> dict[str, Scores | None]:
    """The scores on `targets` (N, T) of predicting what training rows (M, T) have in the middle.

    And those of a ridge, if its predictions (N, T) are given.
    """
    train = train_targets.astype(np.float64)
    constants = {"mean": train.mean(axis=0), "median": np.median(train, axis=0)}
    told: dict[str, Scores | None] = {
        name: scores(targets, np.broadcast_to(constant, targets.shape), delta)
        for name, constant in constants.items()
    }
    return {**told, "ridge": None if ridge is None else scores(targets, ridge, delta)}


def mean_of(several: Sequence[Scores]) -> Scores:
    """The mean of each metric over several scores, None where one of them has none."""
    return {metric: _mean([scores[metric] for scores in several]) for metric in METRICS}


def std_of(several: Sequence[Scores]) -> Scores:
    """The sample std (N - 1) of each metric over several scores, None where one has none."""
    told: Scores = {}
    for metric in METRICS:
        values = [value for scores in several if (value := scores[metric]) is not None]
        whole = len(values) == len(several) > 1
        told[metric] = float(np.std(values, ddof=1)) if whole else None
    return told


def bootstrap_gain(
    targets: np.ndarray,
    predictions: np.ndarray,
    baseline_predictions: np.ndarray,
    seed: int = 0,
    draws: int = 1000,
    blocks: np.ndarray | None = None,
) -> tuple[float, float]:
    """How far the MAE lies below a baseline's, and how sure that is.

    Args:
        targets, predictions, baseline_predictions: (N, T), in target units.
        seed: of the draws.
        draws: how often N rows are drawn with replacement, the same rows for both predictions.
        blocks: (N,) whole numbers: rows of the same one are drawn together, as many blocks as there
            are. For consecutive frames, which err alike; see `runs_of_rows`.

    Returns:
        The gain in target units (positive: better than the baseline; the mean over targets), and
        its standard std over the draws; infinite for one row, which cannot tell.

    Raises:
        ValueError: shapes that differ, are not (N, T), or have no rows.
    """
    _check_shapes(targets, predictions)
    _check_shapes(targets, baseline_predictions)
    wrong = np.abs(predictions.astype(np.float64) - targets)
    baseline_wrong = np.abs(baseline_predictions.astype(np.float64) - targets)
    gain_of_row = (baseline_wrong - wrong).mean(axis=1)
    total, size = gain_of_row, np.ones(len(gain_of_row))
    if blocks is not None:
        _, number = np.unique(blocks, return_inverse=True)
        total, size = np.bincount(number, gain_of_row), np.bincount(number).astype(np.float64)
    count = len(total)
    if count == 1:
        return float(gain_of_row.mean()), math.inf

    rng = np.random.default_rng(seed)
    gain_of_draw = np.empty(draws)
    at_once = max(1, 2**22 // count)  # draws held in memory together
    for start in range(0, draws, at_once):
        some = gain_of_draw[start : start + at_once]
        drawn = rng.integers(count, size=(len(some), count), dtype=np.int32)
        some[:] = total[drawn].sum(axis=1) / size[drawn].sum(axis=1)
    return float(gain_of_row.mean()), float(gain_of_draw.std(ddof=1))


def runs_of_rows(sequence: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Blocks for `bootstrap_gain`: runs of consecutive rows, as long as the root of their number.

    Args:
        sequence: (N,) which sequence a row belongs to; no run goes across two.
        order: (N,) its place in that.

    Returns:
        (N,) the number of each row's run.
    """
    length = math.isqrt(len(order))
    place = np.lexsort((order, sequence))
    of = sequence[place]
    first = np.flatnonzero(np.r_[True, of[1:] != of[:-1]])
    within = np.arange(len(of)) - np.repeat(first, np.diff(np.r_[first, len(of)]))
    new = (within % length == 0) if len(of) else np.zeros(0, bool)
    number = np.empty(len(of), np.int64)
    number[place] = np.cumsum(new) - 1
    return number


def _check_shapes(targets: np.ndarray, predictions: np.ndarray) -> None:
    # (N, 1) against (N,) would broadcast to N × N, and give a number.
    if targets.ndim != 2 or targets.shape != predictions.shape or not targets.size:
        raise ValueError(
            f"targets {targets.shape} and predictions {predictions.shape}: expected one (N, T)"
        )


def _score_one(target: np.ndarray, prediction: np.ndarray, delta: float) -> Scores:
    # Written out: importing scikit-learn's metrics and SciPy's statistics takes longer than all
    # else that a short run does after its last epoch.
    if not (np.isfinite(target).all() and np.isfinite(prediction).all()):
        return dict.fromkeys(METRICS)
    varies = target.max() > target.min()
    ranked = prediction.max() > prediction.min()
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged head's squares may overflow
        error = np.abs(prediction - target)
        squares = np.square(error)
        spread = np.square(target - target.mean())
        values = {
            "mae": error.mean(),
            "rmse": np.sqrt(squares.mean()),
            "r2": 1 - squares.sum() / spread.sum() if varies else None,
            "spearman": _spearman(target, prediction) if varies and ranked else None,
            "huber": huber(error, delta).mean(),
        }
    return {
        name: None if value is None or not math.isfinite(value) else float(value)
        for name, value in values.items()
    }


def huber(error: np.ndarray, delta: float | np.ndarray) -> np.ndarray:
    """The Huber loss of absolute errors: 0.5 e² up to delta, delta e − 0.5 delta² beyond."""
    return np.where(error <= delta, 0.5 * np.square(error), delta * error - 0.5 * delta**2)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of two arrays (N,) that both vary: Pearson's, of the ranks."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of (N,) values from 1; equal values share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
