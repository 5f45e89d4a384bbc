"""Half widths of intervals, and how many targets they hold.

Where each row is a unit, MAPIE is the independent source. For groups, the definition by hand: the
smallest error of which the equally weighted groups have at least the share L (1 + 1/K) below.
"""

import numpy as np
import pytest
from mapie.regression import CrossConformalRegressor
from scipy.stats import binom
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict

from jaxreg.conformal import (
    MOST_STEPS,
    allows,
    coverage_by_unit,
    distribution,
    ends,
    half_width,
    half_widths_without,
    level_text,
    widest_level,
    within_others,
)
from jaxreg.target_types import PLAIN, TargetType


def by_hand(errors: np.ndarray, units: np.ndarray, level: float) -> float:
    names = np.unique(units)
    needed = level * (1 + 1 / len(names))
    for size in np.sort(errors):
        if np.mean([(errors[units == name] <= size).mean() for name in names]) >= needed - 1e-9:
            return float(size)
    return float(errors.max())


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_rows_as_units_give_the_half_width_of_mapie(level: float) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(150, 4))
    y = x[:, 0] + rng.standard_t(3, size=150)
    folds = KFold(5)
    errors = np.abs(cross_val_predict(Ridge(), x, y, cv=folds) - y)
    mapie = CrossConformalRegressor(Ridge(), confidence_level=level, method="base", cv=folds)
    _, intervals = mapie.fit_conformalize(x, y).predict_interval(rng.normal(size=(1, 4)))
    expected = (intervals[0, 1, 0] - intervals[0, 0, 0]) / 2
    assert half_width(distribution(errors, np.arange(150)), level) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_groups_have_equal_weight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 40, rng.integers(5, 12))
    units = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    errors = np.abs(rng.normal(size=len(units)) * (1 + units)).round(1)  # with equal errors
    for level in (0.3, 0.6, 0.8, widest_level(len(sizes))):
        expected = by_hand(errors, units, level)
        assert half_width(distribution(errors, units), level) == expected
        without = half_widths_without(errors, units, units, level)
        covered = coverage_by_unit(within_others(errors, units, units, level), units)
        for unit in range(len(sizes)):
            others = units != unit
            assert without[unit] == by_hand(errors[others], units[others], level)
            own = errors[~others] <= without[unit]
            assert covered[unit] == pytest.approx(own.mean())


def test_a_large_group_counts_as_a_small_one() -> None:
    """By hand: 3 groups, 2/3 + 1/9 of the weight is needed at level 7/12."""
    errors = np.array([1.0] * 1000 + [2.0] + [3.0, 5.0, 7.0])
    units = np.array([0] * 1000 + [1] + [2] * 3)
    assert half_width(distribution(errors, units), 7 / 12) == 3.0
    assert half_width(distribution(errors, units), 0.75) == 7.0


def test_folds_of_rows_are_left_out_together() -> None:
    errors, parts = np.arange(1.0, 11.0), np.repeat([0, 1], 5)
    # by hand: of 5 rows, the ceil(0.6 x 6) = 4th smallest
    assert half_widths_without(errors, np.arange(10), parts, 0.6).tolist() == [9.0, 4.0]


def test_the_widest_level() -> None:
    assert allows(9, 0.9)
    assert not allows(8, 0.9)
    assert allows(3, widest_level(3))
    assert [level_text(widest_level(units)) for units in (1, 2, 8, 9)] == [
        "0.5", "0.666", "0.888", "0.9",
    ]  # fmt: skip
    assert all(allows(k, float(level_text(widest_level(k)))) for k in (2, 6, 11, 997, 123_456))
    with pytest.raises(ValueError, match=r"level 0\.9 of 8 units"):
        half_width(distribution(np.arange(8.0), np.arange(8)), 0.9)


def test_a_thinned_distribution_never_narrows_an_interval() -> None:
    errors = np.abs(np.random.default_rng(0).standard_cauchy(50_000))
    thinned = distribution(errors, np.arange(len(errors)))
    assert len(thinned.sizes) <= MOST_STEPS
    for level in (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, widest_level(50_000)):
        exact = np.sort(errors)[int(np.ceil(level * 50_001 - 1e-6)) - 1]
        assert exact <= half_width(thinned, level) <= exact * 1.01


def test_ends_stay_where_the_target_can_be() -> None:
    low, high = ends(PLAIN, np.array([1.0, np.nan]), 2.0)
    np.testing.assert_array_equal([low, high], [[-1, np.nan], [3, np.nan]])
    low, high = ends(TargetType(low=0, high=1), np.array([0.1, 0.9]), 0.3)
    np.testing.assert_allclose([low, high], [[0, 0.6], [0.4, 1]])
    low, high = ends(TargetType(period=360), np.array([10.0, 350.0]), 30.0)
    np.testing.assert_allclose([low, high], [[340, 320], [40, 20]])
    low, high = ends(TargetType(period=360), np.array([10.0]), 300.0)  # the whole circle
    assert low.tolist() == high.tolist() == [190.0]


def _noise(kind: str, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    draws = {
        "normal": rng.normal(size=shape),
        "heavy tails": rng.standard_t(2, size=shape),
        "skewed": rng.exponential(size=shape) - 1,
        "own offsets": rng.normal(size=shape) + 2 * rng.normal(size=(*shape[:-1], 1)),
        "own sizes": rng.normal(size=shape) * np.exp(rng.normal(size=(*shape[:-1], 1))),
    }
    return draws[kind]


KINDS = ("normal", "heavy tails", "skewed", "own offsets", "own sizes")
SETTINGS = [
    (kind, units, level) for kind in KINDS for units in (9, 40) for level in (0.5, 0.8, 0.9)
]


@pytest.mark.parametrize(("kind", "units", "level"), SETTINGS, ids=str)
def test_new_units_are_covered(kind: str, units: int, level: float) -> None:
    """A one-sided test, with Bonferroni's bound over all settings, as MAPIE tests itself.

    In each of 400 trials one row of a new unit is inside or not, so the count is binomial.
    """
    rng = np.random.default_rng([len(kind), units, int(100 * level)])
    trials, rows = 400, 12
    errors = np.abs(_noise(kind, rng, (trials, units + 1, rows)))
    numbers = np.repeat(np.arange(units), rows)
    inside = 0
    for *known, new in errors:
        half = half_width(distribution(np.concatenate(known), numbers), level)
        inside += bool(new[0] <= half)
    assert binom.cdf(inside, trials, level) > 0.01 / len(SETTINGS)


def test_the_measured_coverage_is_that_of_new_units() -> None:
    """Over 300 trials, both means differ by less than four standard errors."""
    rng = np.random.default_rng(5)
    numbers, differences = np.repeat(np.arange(20), 15), []
    for _ in range(300):
        errors = np.abs(_noise("own offsets", rng, (60, 15)))
        known = np.concatenate(errors[:20])
        half = half_width(distribution(known, numbers), 0.8)
        measured = coverage_by_unit(within_others(known, numbers, numbers, 0.8), numbers).mean()
        differences.append(measured - (errors[20:] <= half).mean())
    error = np.std(differences) / np.sqrt(len(differences))
    # 19 units instead of 20 need 0.8 x 20/19 instead of 0.8 x 21/20: a little more
    assert abs(np.mean(differences)) < 4 * error + 0.8 * (20 / 19 - 21 / 20)
