"""The slope of the predictions over the true values: whether all predictions lie near their mean.

The best prediction of noisy targets has a slope of about R²: it is drawn to the mean by what
features cannot tell. A slope of 1 with any R² is that of predictions that are right on average at
each true value.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxreg.student_t import FEWEST, t_quantile

LEVEL = 0.95
NEAR = 0.5  # a slope below it is told in words


class Slope(NamedTuple):
    """The slope of least squares of predictions over true values, and its interval."""

    slope: float
    low: float | None  # 95%; None with too few units
    high: float | None
    units: int

    def to_json(self) -> dict[str, Any]:
        """An entry of `slope` in summary.json."""
        return self._asdict()


def slope_of(true: np.ndarray, predicted: np.ndarray, units: np.ndarray | None) -> Slope | None:
    """The slope of one target; None where true values or fewer than 2 rows allow none.

    Its standard error is that of whole units (Liang and Zeger, Biometrika 73, 1986, with the factor
    K / (K − 1) for K units), and the interval is that of Student's t with K − 1 degrees of freedom.

    Args:
        true, predicted: (rows,) finite, in target units.
        units: (rows,) which rows are alike; None: each row is alone.
    """
    if len(true) < 2 or np.ptp(true) == 0:
        return None
    x, y = true - true.mean(), predicted - predicted.mean()
    spread = float(x @ x)
    slope = float(x @ y) / spread
    numbers = np.arange(len(x)) if units is None else np.unique(units, return_inverse=True)[1]
    sums = np.bincount(numbers, x * (y - slope * x))
    count = len(sums)
    if count - 1 < FEWEST:
        return Slope(slope, None, None, count)
    error = float(np.sqrt(count / (count - 1) * np.square(sums).sum())) / spread
    half = t_quantile(count - 1, LEVEL) * error
    return Slope(slope, slope - half, slope + half, count)
