"""The slope of predictions over true values, and what a report says of it."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import linregress
from scipy.stats import t as student

from jaxreg.report.slice_tables import near_mean_lines, slope_lines
from jaxreg.report.slope import Slope, slope_of
from jaxreg.student_t import t_quantile


def fitted(true: np.ndarray, predicted: np.ndarray) -> Any:
    return linregress(true, predicted)


def test_the_slope_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    true = 1e6 + rng.normal(size=200)
    predicted = 0.3 * true + rng.normal(0, 0.1, 200)
    found, expected = slope_of(true, predicted, None), fitted(true, predicted)
    assert found is not None
    assert found.slope == pytest.approx(expected.slope, rel=1e-9)


def test_with_rows_alone_the_error_is_that_of_a_regression() -> None:
    """Errors of equal spread: SciPy's standard error, to the chance of 2,000 rows."""
    rng = np.random.default_rng(1)
    true = rng.normal(size=2000)
    predicted = 0.6 * true + rng.normal(0, 0.5, 2000)
    found, expected = slope_of(true, predicted, None), fitted(true, predicted)
    assert found is not None
    assert found.low is not None
    half = student.ppf(0.975, 1999) * expected.stderr
    assert found.slope - found.low == pytest.approx(half, rel=0.06)


def test_the_interval_of_units_holds_the_slope() -> None:
    """Groups with slopes of their own: 95% intervals hold the mean slope in 200 draws."""
    held, few = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(15), 30)
        true = rng.normal(size=450)
        predicted = (0.5 + 0.3 * rng.normal(size=15))[groups] * true + rng.normal(0, 0.2, 450)
        found = slope_of(true, predicted, groups)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.5 <= found.high
        alone = slope_of(true, predicted, None)
        assert alone is not None
        assert alone.low is not None
        assert alone.high is not None
        few += alone.low <= 0.5 <= alone.high
    assert held >= 178  # 5% outside, and what 15 units take away
    assert few < held - 20  # rows alone promise too much


def test_too_few_units_have_no_interval_and_equal_targets_no_slope() -> None:
    true = np.arange(8.0)
    assert slope_of(true, 0.5 * true, np.arange(8) // 2) == Slope(0.5, None, None, 4)
    assert slope_of(np.ones(8), true, None) is None
    assert slope_of(true[:1], true[:1], None) is None


@pytest.mark.parametrize("freedom", [4, 9, 30, 1000])
def test_the_quantile_is_that_of_student(freedom: int) -> None:
    assert t_quantile(freedom, 0.95) == pytest.approx(student.ppf(0.975, freedom), abs=1e-3)


def test_only_a_learned_target_with_a_low_slope_has_the_sentence() -> None:
    slopes = {
        "near": Slope(0.31, 0.25, 0.37, 40).to_json(),
        "unlearned": Slope(0.02, -0.1, 0.1, 40).to_json(),
        "steep": Slope(0.8, None, None, 3).to_json(),
        "angle": None,
    }
    r2 = {"near": 0.28, "unlearned": -0.01, "steep": 0.8, "angle": 0.9}
    by_target = {name: {"r2": value} for name, value in r2.items()}
    near = near_mean_lines(slopes, by_target)
    assert near == {
        "near": "predictions stay near their mean: where true values differ by 1, predictions "
        "differ by 0.31 (95%: 0.25 to 0.37). So the largest are predicted too low and the "
        "smallest too high, although R² is 0.28"
    }
    lines = slope_lines(slopes, by_target)
    assert list(lines) == ["near", "unlearned", "steep"]
    assert lines["near"] == near["near"]
    assert lines["steep"].startswith("the slope of the predictions over the true values is 0.80. ")
