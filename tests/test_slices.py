"""Slices of rows: their errors, whether one is worse beyond chance, and what intervals hold."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.signal import lfilter
from scipy.stats import binom, binomtest, circmean

from jaxreg.slices.error_runs import runs_of_errors
from jaxreg.slices.row_slices import Slicing, by_column, by_name, by_range, by_target
from jaxreg.slices.slice_coverage import below_level, binomial_tail, intraclass_correlation
from jaxreg.slices.slice_errors import slices_of
from jaxreg.slices.worst_slice import MOST_ROWS, worse_beyond_chance
from jaxreg.target_types import PLAIN, TargetType

Made = tuple[np.ndarray, list[np.ndarray], np.ndarray | None]


def parts(*slicings: Slicing) -> list[np.ndarray]:
    """The rows of every slice of at least 5."""
    found = [np.flatnonzero(one.of_row == number)
             for one in slicings for number in range(len(one.values))]  # fmt: skip
    return [rows for rows in found if len(rows) >= 5]


# --- errors


def test_errors_are_those_of_pandas() -> None:
    """Two targets with gaps, a column with gaps, and deciles with equal values."""
    rng = np.random.default_rng(0)
    y = np.stack([rng.normal(size=400), rng.integers(4, size=400)], axis=1).astype(float)
    y[rng.random(y.shape) < 0.1] = np.nan
    predicted = np.nan_to_num(y) + rng.normal(0, 0.3, y.shape)
    camera = np.array(["left", "right", None], object)[rng.integers(3, size=400)]
    slicings = {"camera": by_column(pa.chunked_array([pa.array(camera.tolist(), pa.string())]))}
    found = [one.slice for one in slices_of(("a", "b"), (PLAIN, PLAIN), y, predicted, slicings)]
    for number, name in enumerate(("a", "b")):
        error = pd.Series(predicted[:, number] - y[:, number])
        expected: Any = error.dropna().groupby(pd.Series(camera).fillna("no value"))
        own = {one.value: one for one in found if (one.target, one.by) == (name, "camera")}
        assert {value: one.rows for value, one in own.items()} == expected.count().to_dict()
        maes = expected.apply(lambda values: values.abs().mean())
        for value, one in own.items():
            assert one.mae == pytest.approx(maes[value])
            assert one.bias == pytest.approx(expected.mean()[value])
            assert one.times == pytest.approx(maes[value] / error.abs().mean())
    times = [one.times for one in found]
    assert times == sorted(times, reverse=True)
    # four different values make four slices, each of one value
    deciles = {one.value: one.rows for one in found if (one.target, one.by) == ("b", "target")}
    counts = pd.Series(y[:, 1]).value_counts()
    assert deciles == {f"{value:.3g} to {value:.3g}": count for value, count in counts.items()}


def test_deciles_are_those_of_pandas() -> None:
    y = np.random.default_rng(1).normal(size=500)
    sliced = by_target(y)
    expected = pd.qcut(y, 10, labels=False)
    assert pd.crosstab(sliced.of_row, expected).to_numpy().nonzero()[0].tolist() == list(range(10))
    y[:7] = np.nan
    assert (by_target(y).of_row[:7] == -1).all()
    assert by_target(y).texts[:7] == [None] * 7


def test_numbers_are_short_where_that_tells_them_apart() -> None:
    """The values are those of Python's format with 6 digits."""
    column = pa.chunked_array([pa.array([6.327489567472401, 5.0, None, 5.0])])
    assert by_column(column).values == ("6.32749", "5", None)
    near = pa.chunked_array([pa.array([1.00000001, 1.00000002])])
    assert by_column(near).values == ("1.00000001", "1.00000002")


def test_the_mean_error_of_an_angle_is_circular() -> None:
    """Against SciPy's circular mean of the errors."""
    kind = TargetType(period=360.0)
    rng = np.random.default_rng(2)
    y = rng.uniform(0, 360, (90, 1))
    predicted = np.mod(y + rng.normal(170, 20, y.shape), 360)  # errors on both sides of 180
    place = by_name(["here"] * 90)
    (one,) = [found.slice for found in slices_of(("a",), (kind,), y, predicted, {"place": place})
              if found.slice.by == "place"]  # fmt: skip
    expected = circmean(predicted - y, high=180, low=-180)
    assert one.bias == pytest.approx(expected)
    apart = np.abs(predicted - y)
    assert one.mae == pytest.approx(np.minimum(apart, 360 - apart).mean())


# --- the worst


def alone(rng: np.random.Generator) -> Made:
    """Rows without units and heavy tails; groups of 10 rows among the slices."""
    rows = 300
    errors = rng.lognormal(size=rows)
    camera = by_name(rng.integers(5, size=rows).astype(str).tolist())
    groups = by_name(np.repeat(np.arange(rows // 10), 10).astype(str).tolist())
    deciles, light = by_range(rng.normal(size=rows), 10), by_range(rng.random(rows), 5)
    return errors, parts(deciles, light, camera, groups), None


def remembering(rng: np.random.Generator, share: float, rows: int) -> np.ndarray:
    """A series of std 1 in which neighbours are alike (AR(1))."""
    made: Any = lfilter([np.sqrt(1 - share**2)], [1, -share], rng.normal(size=rows + 500))
    return made[500:]


def recording(rng: np.random.Generator, share: float = 0.9, rows: int = 1000) -> Made:
    """A recording: errors, targets and light that remember, and blocks in time."""
    errors = np.abs(remembering(rng, share, rows))
    deciles = by_range(remembering(rng, 0.97, rows), 10)
    light = by_range(remembering(rng, 0.995, rows), 5)
    blocks = by_name((np.arange(rows) * 10 // rows).astype(str).tolist())
    runs = runs_of_errors(errors, np.zeros(rows, int), np.arange(rows))
    return errors, parts(deciles, light, blocks), runs


def grouped(rng: np.random.Generator) -> Made:
    """Groups of unequal size with errors of their own; slices are made of whole groups."""
    groups = np.sort(rng.integers(30, size=600))
    errors = np.exp(0.6 * rng.normal(size=30))[groups] * np.abs(rng.normal(size=600))
    level = rng.normal(size=30)[groups] + 0.5 * rng.normal(size=600)
    camera = by_name(rng.integers(4, size=30)[groups].astype(str).tolist())
    fold = by_name((groups % 5).astype(str).tolist())
    return errors, parts(by_range(level, 10), camera, fold), groups


def named(make: Callable[[np.random.Generator], Made], seeds: int) -> int:
    """How many of so many runs name a slice."""
    count = 0
    for seed in range(seeds):
        errors, slices, units = make(np.random.default_rng(seed))
        count += bool(worse_beyond_chance(errors, slices, units, len(slices)).any())
    return count


@pytest.mark.parametrize("make", [alone, recording, grouped], ids=lambda make: make.__name__)
def test_without_a_bad_slice_at_most_one_run_in_twenty_names_one(
    make: Callable[[np.random.Generator], Made],
) -> None:
    """A count that 5% of runs, with the chance of 1 in 100, do not exceed (SciPy's binomial)."""
    seeds = 200
    assert named(make, seeds) <= binom.ppf(0.99, seeds, 0.05)


def test_a_planted_bad_slice_is_found() -> None:
    def planted(rng: np.random.Generator) -> Made:
        errors, slices, units = alone(rng)
        errors[slices[16]] *= 3  # of a camera
        return errors, slices, units

    def block(rng: np.random.Generator) -> Made:
        errors, slices, _ = recording(rng, 0.5)
        errors[300:400] *= 2.5
        runs = runs_of_errors(errors, np.zeros(1000, int), np.arange(1000))
        return errors, slices, runs

    assert named(planted, 20) >= 18
    assert named(block, 20) >= 15


def test_one_long_stretch_is_no_evidence() -> None:
    """Rows that are alike count together: alone they would name the slice, as units they do not."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 40)
    errors = np.exp(rng.normal(size=8))[groups] * rng.uniform(0.9, 1.1, 320)
    slices = [np.flatnonzero(groups == np.argmax(np.bincount(groups, errors)))]
    assert worse_beyond_chance(errors, slices, None, 1).tolist() == [True]
    assert worse_beyond_chance(errors, slices, groups, 1).tolist() == [False]


@pytest.mark.parametrize(
    ("errors", "slices"),
    [
        (np.zeros(20), [np.arange(5)]),
        (np.ones(20), [np.arange(20)]),
        (np.arange(20.0), [np.arange(5)]),
        (np.zeros(0), [np.zeros(0, int)]),
    ],
    ids=["no errors", "all rows", "the best", "no rows"],
)
def test_what_cannot_be_worse_is_not(errors: np.ndarray, slices: Sequence[np.ndarray]) -> None:
    assert not worse_beyond_chance(errors, slices, None, 1).any()


def test_of_many_rows_some_are_tested() -> None:
    rng = np.random.default_rng(0)
    errors = rng.exponential(size=3 * MOST_ROWS)
    errors[:3000] *= 1.5
    slices = [np.arange(3000), np.arange(3000, 6000)]
    assert worse_beyond_chance(errors, slices, None, 3).tolist() == [True, False]


def test_runs_are_longer_than_errors_remember() -> None:
    """An AR(1) series with share s remembers (1 + s) / (1 − s) rows."""
    sequence, order = np.zeros(3000, int), np.arange(3000)
    for share, least, most in ((0.0, 54, 54), (0.95, 80, 300)):
        values = remembering(np.random.default_rng(0), share, 3000)
        lengths = np.bincount(runs_of_errors(values, sequence, order))
        assert least <= lengths[0] <= most
    two = np.repeat([0, 1], 1500)
    runs = runs_of_errors(np.ones(3000), two, order)
    assert len(np.unique(np.stack([runs, two]), axis=1).T) == len(np.unique(runs))


# --- coverage


def test_the_tail_is_the_binomial_one() -> None:
    for held, rows, level in ((0, 5, 0.8), (61, 100, 0.8), (3999, 5000, 0.8), (7, 7, 0.5)):
        assert binomial_tail(held, rows, level) == pytest.approx(binom.cdf(held, rows, level))


def test_rows_alone_are_tested_by_the_binomial_test() -> None:
    rng = np.random.default_rng(3)
    inside = rng.random(600) < 0.8
    inside[:60] = rng.random(60) < 0.55
    slices = [np.arange(60), np.arange(60, 120), np.arange(120, 600)]
    expected = []
    for rows in slices:
        held = int(inside[rows].sum())
        expected.append(binomtest(held, len(rows), 0.8, "less").pvalue * 3 <= 0.05)
    assert below_level(inside, slices, None, 0.8, 3) == expected == [True, False, False]


def test_rows_of_one_unit_count_less() -> None:
    """Units that are inside or outside as a whole: a slice of one unit is one draw."""
    rng = np.random.default_rng(4)
    units = np.repeat(np.arange(50), 20)
    inside = (rng.random(50) < 0.8)[units]
    assert intraclass_correlation(inside, units) == 1.0
    out = [np.flatnonzero(units == np.flatnonzero(~inside[::20])[0])]
    assert below_level(inside, out, units, 0.8, 1) == [False]
    assert below_level(inside, out, None, 0.8, 1) == [True]
    assert below_level(inside[:80], [np.arange(20)], units[:80], 0.8, 1) == [None]


@pytest.mark.parametrize("alike", [0.0, 0.4], ids=["rows", "units"])
def test_where_the_level_holds_at_most_one_run_in_twenty_marks_a_slice(alike: float) -> None:
    """Units with a chance of their own, as a beta-binomial with this intraclass correlation."""
    marked, seeds = 0, 200
    units = np.repeat(np.arange(60), 15)
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        chance = np.full(60, 0.8)
        if alike:
            of = 1 / alike - 1
            chance = rng.beta(0.8 * of, 0.2 * of, 60)
        inside = rng.random(900) < chance[units]
        slices = parts(by_range(rng.normal(size=60)[units], 10), by_range(rng.normal(size=900), 10))
        marked += any(below_level(inside, slices, units, 0.8, len(slices)))
    assert marked <= binom.ppf(0.99, seeds, 0.05)
