"""Whether the intervals of a run hold fewer rows of a slice than their level says."""

import math
from collections.abc import Sequence

import numpy as np

SURE = 0.05  # of runs whose intervals hold their level everywhere; Bonferroni shares it
FEWEST = 5  # units; fewer cannot say how alike their rows are


def below_level(
    inside: np.ndarray, slices: Sequence[np.ndarray], units: np.ndarray | None, level: float,
    tests: int,
) -> list[bool | None]:  # fmt: skip
    """For each slice whether fewer rows are inside than the level says, beyond chance.

    The test is binomial. Where rows of a unit are inside or outside together, a slice counts as
    fewer rows: n / (1 + ρ (Σ nₖ² / n − 1)) for nₖ of its n rows in unit k (Kish, Survey Sampling,
    5.4). ρ is the intraclass correlation over all units, by analysis of variance.

    Args:
        inside: (rows,) bool.
        slices: the numbers of the rows of each slice.
        units: (rows,) which rows are alike; None: each row is alone.
        level: of the intervals.
        tests: how many slices the run has in all, of all targets.

    Returns:
        None for every slice where the rows are of fewer than FEWEST units.
    """
    alike, numbers = 0.0, np.zeros(0, np.int64)
    if units is not None:
        _, numbers = np.unique(units, return_inverse=True)
        if numbers.max(initial=-1) + 1 < FEWEST:
            return [None] * len(slices)
        alike = intraclass_correlation(inside, numbers)
    found: list[bool | None] = []
    for rows in slices:
        count = float(len(rows))
        if alike:
            own = np.bincount(numbers[rows])
            count /= 1 + alike * (float(np.square(own).sum()) / len(rows) - 1)
        whole = max(1, math.floor(count))
        held = math.ceil(float(inside[rows].mean()) * whole - 1e-9)
        found.append(binomial_tail(held, whole, level) * tests <= SURE)
    return found


def intraclass_correlation(values: np.ndarray, units: np.ndarray) -> float:
    """How alike the values (rows,) of one unit are: from 0 to 1 (Fisher's ANOVA estimate)."""
    sizes = np.bincount(units)
    count, parts = len(values), len(sizes)
    if count <= parts:
        return 0.0
    values = values.astype(np.float64)
    means = np.bincount(units, values) / sizes
    within = float(np.square(values - means[units]).sum()) / (count - parts)
    between = float((sizes * np.square(means - values.mean())).sum()) / (parts - 1)
    usual = (count - float(np.square(sizes).sum()) / count) / (parts - 1)
    total = between + (usual - 1) * within
    return min(1.0, max(0.0, (between - within) / total)) if total > 0 else 0.0


def binomial_tail(held: int, rows: int, level: float) -> float:
    """The chance that at most `held` of the rows are inside, if each is with the level's chance."""
    if held >= rows:
        return 1.0
    factorials = np.r_[0.0, np.cumsum(np.log(np.arange(1, rows + 1)))]  # logarithms
    k = np.arange(held + 1)
    ways = factorials[rows] - factorials[k] - factorials[rows - k]
    return float(np.exp(ways + k * math.log(level) + (rows - k) * math.log1p(-level)).sum())
