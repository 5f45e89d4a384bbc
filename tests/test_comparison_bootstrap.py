"""The intervals of `jaxreg runs` as functions of draws, against NumPy and SciPy."""

import numpy as np
import pytest
import scipy.stats

from jaxreg.comparison.bootstrap import Truth, by_unit, interval, maes, share_outside, units_of


def test_lots_of_many_units_make_the_interval_of_the_units() -> None:
    """5,000 groups of two rows; the standard error of their means by NumPy, times 1.96."""
    rng = np.random.default_rng(0)
    error = np.abs(rng.normal(0, 1, 5000)).repeat(2)
    units = units_of(np.arange(10_000) // 2, 5000, "5000 groups")
    sums, rows = (by_unit(values[:, None], units) for values in (error, np.ones(10_000)))
    low, high = interval(maes(sums, Truth(rows, rows, rows)), units.size)
    half = 1.96 * error[::2].std() / 5000**0.5
    assert [low[0], high[0]] == pytest.approx(error.mean() + np.array([-half, half]), abs=half / 6)


@pytest.mark.parametrize("units", [5, 6, 10, 40, 1000])
def test_the_level_of_an_interval_is_that_of_student(units: int) -> None:
    """Hesterberg 2015: t of SciPy, times √(n / (n − 1)), as a share of the normal distribution."""
    t = scipy.stats.t.ppf(0.975, units - 1) * (units / (units - 1)) ** 0.5
    assert share_outside(units) == pytest.approx(scipy.stats.norm.cdf(-t), rel=2e-2)
    assert share_outside(4) == 0
