"""The rows that a verdict reads, at most some two thousand, and their features in std."""

import numpy as np

VALIDATION, NEIGHBOURS, TRAINED = 512, 512, 1024  # rows at most


def choose_rows(labels: np.ndarray, sequence: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Row numbers, rising: training rows, validation rows, and the neighbours of those in time.

    Args:
        labels: (rows,) the side of each row.
        sequence: (rows,) which sequence it belongs to, a number.
        order: (rows,) its place in that.
    """
    random = np.random.default_rng(0)
    train, validation = (np.flatnonzero(labels == side) for side in ("train", "validation"))
    some = _draw(random, validation, VALIDATION)
    beside = nearest_in_time(some, train, sequence, order)
    beside = _draw(random, np.unique(beside[beside >= 0]), NEIGHBOURS)
    return np.unique(np.concatenate([some, beside, _draw(random, train, TRAINED)]))


def nearest_in_time(
    rows: np.ndarray, among: np.ndarray, sequence: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """For each of `rows` the one of `among` next to it in its sequence; -1 where there is none."""
    found = np.full(len(rows), -1, np.int64)
    for number in np.unique(sequence[rows]):
        here = np.flatnonzero(sequence[rows] == number)
        there = among[sequence[among] == number]
        if not len(there):
            continue
        there = there[np.argsort(order[there], kind="stable")]
        places = order[rows[here]]
        right = np.clip(np.searchsorted(order[there], places), 0, len(there) - 1)
        left = np.maximum(right - 1, 0)
        nearer = np.abs(order[there[left]] - places) <= np.abs(order[there[right]] - places)
        found[here] = there[np.where(nearer, left, right)]
    return found


def mean_and_std_of_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and std (columns,) float64 of rows of features."""
    rows = x.astype(np.float32)
    mean = rows.mean(axis=0, dtype=np.float64)
    rows -= mean.astype(np.float32)
    with np.errstate(over="ignore"):
        return mean, np.sqrt(np.square(rows).mean(axis=0, dtype=np.float64))


def standardized(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Features (rows, columns) in these std, float32; columns that do not vary are 0."""
    varies = std > 1e-6 * np.abs(mean)
    scaled = x.astype(np.float32) - mean.astype(np.float32)
    scaled /= np.where(varies, std, np.inf).astype(np.float32)
    return scaled


def _draw(random: np.random.Generator, rows: np.ndarray, most: int) -> np.ndarray:
    if len(rows) <= most:
        return rows
    return rows[random.permutation(len(rows))[:most]]
