"""How wide an interval around a prediction must be: quantiles of errors that units share equally.

Rows of one unit, such as a block of a recording, are alike, and the units differ. So each unit has
the same weight, however many rows it has. For K units, the half width of level L is the quantile of
the absolute errors at L (1 + 1/K). This is hierarchical conformal prediction (Lee, Barber and
Willett, arXiv 2306.06342). If each row is a unit, it is the usual quantile of cross-conformal
prediction: the ceil(L (K + 1))-th smallest error.
"""

import math
from typing import NamedTuple

import numpy as np

from jaxreg.target_types import TargetType, around

DEFAULT_LEVEL = 0.8
"""Of ten blocks, 0.9 needs the quantile at 0.99, which is nearly the largest error of all."""

MOST_STEPS = 4096  # of a distribution; a larger one is thinned, so that a run stays small
_TAIL = 1024  # of these are the largest errors, which high levels need
_ROUNDING = 1e-9  # of sums of weights


class Errors(NamedTuple):
    """The absolute errors of one target, as a distribution in which units have equal weight."""

    sizes: np.ndarray  # (steps,) float64, rising, target units
    shares: np.ndarray  # (steps,) of the weight with an error of at most `sizes`; the last is 1
    units: int


class UnitCoverage(NamedTuple):
    """How many rows of one unit the intervals hold that follow from the other units."""

    unit: str
    rows: int
    coverage: float  # share


class Coverage(NamedTuple):
    """How many rows the intervals of one target hold."""

    level: float
    word: str  # what a unit is called: block, group, fold or row
    half_width: float  # target units
    units: int
    mean: float | None  # over the units; None where there are no others to measure one with
    by_unit: tuple[UnitCoverage, ...]  # empty where each row is a unit

    def worst(self, rows: int = 1) -> UnitCoverage | None:
        """The unit of at least so many rows that is covered least."""
        some = [one for one in self.by_unit if one.rows >= rows]
        return min(some, key=lambda one: one.coverage, default=None)


def widest_level(units: int) -> float:
    """The highest level that so many units allow: K / (K + 1)."""
    return units / (units + 1)


def level_text(level: float) -> str:
    """A level as a short number that does not exceed it."""
    digits = 3 if level < 0.999 else 9
    return f"{math.floor(level * 10**digits + 1e-6) / 10**digits:.{digits}g}"


def unit_text(word: str, name: str) -> str:
    """What a unit is called in a sentence: `group 3`; a name that has the word stays."""
    return name if word in name.split() else f"{word} {name}"


def allows(units: int, level: float) -> bool:
    """Whether so many units allow the level."""
    return level <= widest_level(units) + _ROUNDING


def distribution(errors: np.ndarray, units: np.ndarray) -> Errors:
    """The distribution of the absolute errors of rows.

    One of more than `MOST_STEPS` different errors is thinned. The half widths of the thinned one
    are at least those of all errors.

    Args:
        errors: (rows,), 0 or more.
        units: (rows,) the number of each row's unit.
    """
    _, own = np.unique(units, return_inverse=True)
    rows = np.bincount(own)
    order = np.argsort(errors, kind="stable")
    sizes = errors[order].astype(np.float64)
    shares = np.cumsum(1 / rows[own[order]]) / len(rows)
    last = np.append(sizes[1:] != sizes[:-1], True)  # of equal errors
    sizes, shares = sizes[last], shares[last]
    shares[-1] = 1.0
    if len(sizes) > MOST_STEPS:
        even = np.searchsorted(shares, np.linspace(0, 1, MOST_STEPS - _TAIL))
        kept = np.union1d(np.minimum(even, len(sizes) - 1), np.arange(len(sizes))[-_TAIL:])
        sizes, shares = sizes[kept], shares[kept]
    return Errors(sizes, shares, len(rows))


def half_width(errors: Errors, level: float) -> float:
    """Half the width of the intervals of a level, in target units.

    Raises:
        ValueError: the units do not allow the level.
    """
    if not allows(errors.units, level):
        raise ValueError(f"level {level} of {errors.units} units")
    needed = min(level * (1 + 1 / errors.units), 1.0)
    return float(errors.sizes[np.searchsorted(errors.shares, needed - _ROUNDING)])


def half_widths_without(
    errors: np.ndarray, units: np.ndarray, parts: np.ndarray, level: float
) -> np.ndarray:
    """For each part of the rows, the half width that the rows of the other parts give.

    Where the other units are too few for the level, it is their largest error.

    Args:
        errors: (rows,), 0 or more.
        units: (rows,) numbers from 0 without gaps.
        parts: (rows,) numbers from 0 without gaps; a unit is in one part. There are at least 2.
        level: of the intervals.
    """
    count, rows = int(parts.max()) + 1, len(errors)
    order = np.argsort(errors, kind="stable")
    weight = (1 / np.bincount(units)[units])[order]
    below = np.cumsum(weight)
    by_part = np.argsort(parts[order], kind="stable")
    keys = parts[order][by_part] * rows + by_part  # part by part, in each the smallest error first
    own = np.concatenate([[0.0], np.cumsum(weight[by_part])])
    each = np.arange(count)
    start = own[np.searchsorted(keys, each * rows)]
    first = np.unique(units, return_index=True)[1]
    others = len(first) - np.bincount(parts[first], minlength=count)
    needed = np.minimum(level * (others + 1), others) - _ROUNDING
    low, high = np.zeros(count, np.int64), np.full(count, rows - 1)
    while (low < high).any():  # a bisection for all parts at once
        middle = (low + high) // 2
        inside = own[np.searchsorted(keys, each * rows + middle, side="right")] - start
        enough = below[middle] - inside >= needed
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    return errors[order][low]


def within_others(
    errors: np.ndarray, units: np.ndarray, parts: np.ndarray, level: float
) -> np.ndarray:
    """(rows,) bool: whether the error of each row is within what the other parts give.

    Args:
        errors, units, parts, level: as `half_widths_without` takes them.
    """
    return errors <= half_widths_without(errors, units, parts, level)[parts]


def coverage_by_unit(inside: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(units,) the share of each unit's rows that are inside.

    Args:
        inside: (rows,) bool, as `within_others` gives it.
        units: (rows,) numbers from 0 without gaps.
    """
    return np.bincount(units, inside) / np.bincount(units)


def ends(kind: TargetType, predictions: np.ndarray, half: float) -> tuple[np.ndarray, np.ndarray]:
    """The low and the high end (rows,) of the intervals around predictions, float64.

    They stay within the bounds of a bounded target. Those of a circular target are taken modulo its
    period, so low may exceed high. Where they are equal, the interval is the whole circle.
    """
    middle = np.asarray(predictions, np.float64)
    if kind.circular:
        low, high = (
            around([kind], end[..., None])[..., 0]
            for end in (middle - min(half, kind.period / 2), middle + half)
        )
        return low, low if 2 * half >= kind.period else high
    return np.maximum(middle - half, kind.low), np.minimum(middle + half, kind.high)
