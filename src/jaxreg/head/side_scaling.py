"""Scaling of side columns, and components of features beside them.

Side columns are the last columns of a row (`jaxreg.side_columns`). Their unit is not that of the
features, so they have their own std, and they are no part of the principal components.
"""

from typing import NamedTuple

import numpy as np

from jaxreg.side_columns import SideColumns


class SideScaling(NamedTuple):
    """`Scaler.mean`, `std` and `fill` of side columns, (columns,) float64."""

    mean: np.ndarray
    std: np.ndarray  # infinite where the training rows do not vary: the scaled column is 0
    fill: np.ndarray  # the scaled value of a row without a value


def scale_side(columns: SideColumns, x: np.ndarray) -> SideScaling:
    """Learn the scaling of side columns from training rows.

    A number is standardized by the rows that have one, and a missing one becomes their mean. A
    category stays 0 or 1, and a missing one becomes the most frequent; of equally frequent ones
    the first. This is what scikit-learn's StandardScaler and SimpleImputer do for numbers, and
    SimpleImputer and OneHotEncoder for categories.

    Args:
        columns: the side columns.
        x: (rows, columns.width) of the training rows, as `SideColumns.encode` gives them.
    """
    mean, fill = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    std = np.full(x.shape[1], np.inf)
    start = 0
    for column in columns.columns:
        own = slice(start, start + column.values)
        start += column.width
        rows = x[~np.isnan(x[:, own.start]), own].astype(np.float64)
        if len(rows) and column.kind == "number":
            mean[own], spread = rows.mean(axis=0), rows.std(axis=0)
            varies = spread > np.finfo(np.float32).eps * np.abs(mean[own])
            std[own] = np.where(varies, spread, np.inf)
        elif len(rows):
            counts = rows.sum(axis=0)
            varies = (counts > 0) & (counts < len(rows))
            std[own] = np.where(varies, 1.0, np.inf)
            most = int(counts.argmax())
            fill[own.start + most] = float(varies[most])
        if column.missing and 0 < len(rows) < len(x):
            std[own.stop] = 1.0
    return SideScaling(mean, std, fill)
