"""How much each number of the targets counts: the weight of its row, and 0 where it is missing."""

import numpy as np


def entry_weights(y: np.ndarray, of_rows: np.ndarray | None = None) -> np.ndarray:
    """(rows, targets) float64: the weight of each number of y, 0 where y is NaN.

    Args:
        y: (rows, targets).
        of_rows: (rows,) the weight of each row; None: 1.
    """
    known = ~np.isnan(y)
    return known.astype(np.float64) if of_rows is None else np.where(known, of_rows[:, None], 0.0)


def relative(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Weights (rows, targets) divided by the mean of those above 0 of each target in some rows.

    So neither the learning rate nor the alpha of a ridge depends on the unit of the weights.

    Args:
        weights: as `entry_weights` gives them.
        rows: the numbers of the rows that train.
    """
    some = np.asarray(weights, np.float64)[rows]
    count = np.maximum((some > 0).sum(axis=0), 1)
    mean = some.sum(axis=0) / count
    return weights / np.where(mean > 0, mean, 1.0)[None, :]
