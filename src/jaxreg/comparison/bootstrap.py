"""Intervals of scores by bootstrap over units: rows of one block or group are drawn together.

The rows of a unit have similar errors, so a draw of single rows would make an interval too narrow.
A draw is a weight for each unit. All draws together are one matrix, so the scores of all runs on
the same rows are one product of matrices, and runs are compared on the same draws.
"""

from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from jaxreg.student_t import t_quantile

LEVEL = 0.95
DRAWS = 2000
FEWEST = 5
"""Fewer units than these cannot give the interval: even all draws together are too narrow."""

MOST = 1024
"""More units than these are drawn in so many lots, which say as much with less arithmetic."""

_STEP = 500  # draws at once


class Units(NamedTuple):
    """Which rows are drawn together."""

    numbers: np.ndarray  # (rows,) int64, from 0
    size: int
    word: str  # what they are, as `9 blocks`


class Truth(NamedTuple):
    """The targets of the held-out rows by unit, each (units, targets) float64."""

    rows: np.ndarray  # how many have the target
    sums: np.ndarray  # of the targets, less their mean
    squares: np.ndarray  # of the same, squared


def units_of(numbers: np.ndarray, size: int, word: str) -> Units:
    """Units by their numbers (rows,) below `size`; above MOST, lots of about equally many units."""
    if size > MOST:
        lots = np.random.default_rng(0).permutation(size) * MOST // size
        numbers, size = lots[numbers], MOST
    return Units(numbers, size, word)


def by_unit(values: np.ndarray, units: Units) -> np.ndarray:
    """The sums (units, targets) of values (rows, targets)."""
    columns = (np.bincount(units.numbers, column, units.size) for column in values.T)
    return np.stack(list(columns), axis=1)


@lru_cache(8)
def draws(units: int, number: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each draw has each unit: (number, units) float32; a draw has as many as there are.

    The draws are the same for the same number of units.
    """
    drawn = np.random.default_rng(seed).integers(units, size=(number, units), dtype=np.int32)
    weights = np.empty((number, units), np.float32)
    for start in range(0, number, _STEP):
        some = drawn[start : start + _STEP].astype(np.int64)
        some += np.arange(len(some))[:, None] * units
        counts = np.bincount(some.ravel(), minlength=some.size)
        weights[start : start + _STEP] = counts.reshape(some.shape)
    return weights


def maes(errors: np.ndarray, truth: Truth) -> np.ndarray:
    """The MAE of each draw and run (draws, runs); errors are sums (units, runs) of one target."""
    weights = draws(len(errors))
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw without a row of the target
        return _product(weights, errors) / _product(weights, truth.rows)


def r2s(squares: np.ndarray, truth: Truth) -> np.ndarray:
    """The mean R² over the targets, of each draw and run (draws, runs).

    Args:
        squares: (units, runs, targets), sums of squared errors.
        truth: of the same units.
    """
    weights, found = draws(len(squares)), 0.0
    for target in range(squares.shape[2]):
        column = slice(target, target + 1)
        rows, sums, spread = (_product(weights, part[:, column]) for part in truth)
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw of equal targets
            spread = spread - np.square(sums) / rows
            found = found + 1 - _product(weights, squares[:, :, target]) / spread
    return np.asarray(found) / squares.shape[2]


def interval(of_draws: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    """The 95% intervals (runs,) of scores (draws, runs): low and high.

    Draws without a score, such as R² of equal targets, do not count; NaN where most have none.

    Expanded percentiles (Hesterberg, What Teachers Should Know About the Bootstrap, 2015, 4.1.4):
    as plain ones would be too narrow for few units, their level is that of Student's t.
    """
    outside = share_outside(units)
    shares, finite = [outside, 1 - outside], np.isfinite(of_draws)
    if finite.all():
        low, high = np.quantile(of_draws, shares, axis=0)
        return low, high
    known = [own[some] for own, some in zip(of_draws.T, finite.T, strict=True)]
    most = [own if 2 * len(own) > len(of_draws) else [np.nan] for own in known]
    low, high = np.array([np.quantile(own, shares) for own in most]).T
    return low, high


def share_outside(units: int) -> float:
    """The share of draws beyond each end of an interval: below 0.025, and 0 below FEWEST units."""
    if units < FEWEST:
        return 0.0
    t = t_quantile(units - 1, LEVEL)
    return NormalDist().cdf(-t * (units / (units - 1)) ** 0.5)


def _product(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """weights (draws, units) by values (units, columns), in float64."""
    steps = range(0, len(weights), _STEP)
    return np.concatenate([weights[i : i + _STEP].astype(np.float64) @ values for i in steps])
