"""Whether the errors of a slice are larger than those of the other rows beyond chance.

A permutation test (Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 3.2): if a
slice is like the rest, errors could have come in any order. Rows of one unit, such as neighbours in
time or rows of one group, have similar errors. So whole units change places, and the rows of a unit
stay together. A unit that comes to the place of a larger one starts again from its first row.
"""

from collections.abc import Sequence

import numpy as np

SURE = 0.03  # of runs without a bad slice may name one; Bonferroni shares it among slices
DRAWS = 100  # for each slice
MOST_ROWS = 20_000  # of more rows the test takes so many at random
_NUMBERS = 2**21  # of one lot of draws
_LOT = 256  # draws
_ROUNDING = 1e-6  # of sums in float32, against the largest error


def worse_beyond_chance(
    errors: np.ndarray, slices: Sequence[np.ndarray], units: np.ndarray | None, tests: int
) -> np.ndarray:
    """(slices,) bool: which slices have a larger mean error than the other rows, beyond chance.

    Args:
        errors: (rows,), 0 or more.
        slices: the numbers of the rows of each slice.
        units: (rows,) which rows are alike; None: each row is alone.
        tests: how many slices the run has in all, of all targets.
    """
    count = len(errors)
    if not count or not len(slices):
        return np.zeros(len(slices), bool)
    inside = np.zeros((count, len(slices)), bool)
    for number, rows in enumerate(slices):
        inside[rows, number] = True
    rng = np.random.default_rng(0)
    if count > MOST_ROWS:
        some = np.sort(rng.choice(count, MOST_ROWS, replace=False))
        errors, inside = errors[some], inside[some]
        units = None if units is None else units[some]
        count = MOST_ROWS
    if units is not None:
        order = np.argsort(units, kind="stable")
        errors, inside, units = errors[order], inside[order], units[order]
    own, rest = inside.sum(axis=0), (~inside).sum(axis=0)
    possible = (own > 0) & (rest > 0)
    weights = inside / np.maximum(own, 1) - ~inside / np.maximum(rest, 1)
    values = (errors - errors.mean()) / (np.abs(errors).max() or 1.0)
    apart = values @ weights  # mean of the slice less mean of the rest
    draws = DRAWS * tests
    allowed = int(SURE / tests * (draws + 1)) - 1  # draws that may be as far apart
    left = np.flatnonzero(possible & (apart > 0))
    as_far, values = np.zeros(len(slices), np.int64), values.astype(np.float32)
    weights = weights.astype(np.float32)
    for start in range(0, draws, lot := min(_LOT, max(1, _NUMBERS // count))):
        if not len(left):
            break
        drawn = values[_orders(rng, min(lot, draws - start), count, units)] @ weights[:, left]
        as_far[left] += (drawn >= apart[left] - _ROUNDING).sum(axis=0)
        left = left[as_far[left] <= allowed]
    found = np.zeros(len(slices), bool)
    found[left] = True
    return found


def _orders(
    rng: np.random.Generator, draws: int, rows: int, units: np.ndarray | None
) -> np.ndarray:
    """(draws, rows) which row's error each row gets; `units` are sorted."""
    if units is None:
        return rng.permuted(np.tile(np.arange(rows, dtype=np.int32), (draws, 1)), axis=1)
    first = np.flatnonzero(np.r_[True, units[1:] != units[:-1]]).astype(np.int32)
    sizes = np.diff(np.r_[first, rows]).astype(np.int32)
    own = np.repeat(np.arange(len(first)), sizes)
    place = (np.arange(rows) - first[own]).astype(np.int32)
    drawn = rng.permuted(np.tile(np.arange(len(first), dtype=np.int32), (draws, 1)), axis=1)
    return first[drawn][:, own] + place % sizes[drawn][:, own]
