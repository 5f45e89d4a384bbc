"""How much parts of the training rows differ from the rest: what a shift is compared with.

Rows of one unit (a block of a recording, a group) are alike, so a part is made of whole units. A
part has at most as many units and about as many rows as the new data: the blocks of a short
recording are short. It has at most half of the units of training.
"""

from collections.abc import Callable

import numpy as np

PARTS = 8
"""At most so many parts are compared with the rest."""

LEAST_UNITS = 4
"""With fewer units nobody can say how much parts differ."""

DEALT = 20
"""Rows without units are dealt into so many at random."""

FURTHER = 1.5
"""A shift is so many times the largest difference of a part."""

SPREADS = 4.0
"""A shift is so many std of the differences of parts above their mean."""


def unit_numbers(units: np.ndarray | None, rows: int) -> np.ndarray:
    """(rows,) the numbers of units, from 0; rows without units are dealt at random."""
    if units is None:
        return np.random.default_rng(0).permutation(rows) % min(DEALT, max(rows, 1))
    return np.unique(units, return_inverse=True)[1]


def differences(
    numbers: np.ndarray, new_units: int, share: float, compare: Callable[[np.ndarray], float]
) -> np.ndarray | None:
    """What `compare` says of each part of the training rows; None with too few units.

    Args:
        numbers: (rows,) of units, from 0.
        new_units: of the new data.
        share: the rows of the new data over those of training.
        compare: gets (rows,) bool, which rows are of the part.
    """
    count = int(numbers.max()) + 1 if len(numbers) else 0
    if count < LEAST_UNITS:
        return None
    size = max(1, min(new_units, round(count * share), count // 2))
    starts = np.unique(np.arange(PARTS) * count // PARTS) if count > PARTS else range(count)
    parts = [np.isin(numbers, (int(start) + np.arange(size)) % count) for start in starts]
    return np.array([compare(part) for part in parts])


def threshold(usual: np.ndarray, least: float) -> float:
    """From where on a difference is a shift.

    Args:
        usual: the differences of the parts, as `differences` gives them.
        least: no difference below it is a shift.
    """
    spread = usual.std(ddof=1) * np.sqrt(1 + 1 / len(usual))
    return float(max(least, FURTHER * usual.max(), usual.mean() + SPREADS * spread))
