"""The arithmetic of plain, bounded and circular targets, against SciPy and formulas in NumPy."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from jaxreg.errors import InputError
from jaxreg.metrics import Loss, bootstrap_gain, constant_baselines, scores
from jaxreg.target_types import (
    PLAIN,
    TargetType,
    around,
    center_and_std,
    difference,
    held,
    mean_over,
    types_of,
    words_of,
)
from jaxreg.train_config import HeadConfig

DEGREES = TargetType.parse("circular:360")
HOURS = TargetType.parse("circular:24")
UNIT = TargetType.parse("bounded:0:1")


def angles(rows: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).vonmises(3.0, 1.5, rows) * 180 / np.pi % 360


@pytest.mark.parametrize(
    "word",
    ["plain", "bounded:0:1", "bounded:-1:1", "bounded:0.1:0.7", "circular:360", "circular:1e-3",
     "circular:6.283185307179586"],
)  # fmt: skip
def test_a_word_is_read_and_written_again(word: str) -> None:
    kind = TargetType.parse(word)
    assert TargetType.parse(kind.word) == kind
    assert (kind.circular, kind.bounded) == (word[0] == "c", word[0] == "b")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("plian", "plain"), ("bounded", "bounded:0:1"), ("bounded:1:0", "bounded:0:1"),
        ("bounded:1:1", "bounded:0:1"), ("bounded:0,100", "bounded:0:100"),
        ("bounded:0-1", "bounded:0:1"), ("bounded:0:inf", "bounded:0:1"),
        ("bounded:a:b", "bounded:0:1"), ("bound:-1:1", "bounded:-1:1"), ("sigmoid", "bounded:0:1"),
        ("circular", "circular:360"), ("circular:-24", "circular:24"),
        ("circular:0", "circular:360"), ("circular:nan", "circular:360"),
        ("circular:2pi", "circular:6.283185307179586"), ("circlar:12", "circular:12"),
        ("angle:360", "circular:360"), ("circular:0:360", "circular:360"),
    ],
)  # fmt: skip
def test_a_wrong_word_gets_one_message_with_the_nearest_right_one(word: str, meant: str) -> None:
    with pytest.raises(InputError) as error:
        HeadConfig(target_type=(word,))
    assert error.value.found == f"--target-type {word}"
    assert error.value.remedy == f"--target-type {meant}"
    assert TargetType.parse(meant)


def test_other_words_and_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="--target-type foo"):
        HeadConfig(target_type=("foo",))
    with pytest.raises(InputError, match="without a type"):
        HeadConfig(target_type=())
    with pytest.raises(InputError, match="has 2 types: plain bounded:0:1") as error:
        types_of(("plain", "bounded:0:1"), 3)
    assert error.value.expected == "1 type for all, or 3: one a target"
    for kind in ("bounded:0:1", "circular:360"):
        with pytest.raises(InputError, match=f"--output-activation relu with --target-type {kind}"):
            HeadConfig(target_type=(kind,), output_activation="relu")
    with pytest.raises(InputError, match="--no-scale-target with --target-type bounded:0:1"):
        HeadConfig(target_type=("bounded:0:1",), scale_target=False)
    HeadConfig(target_type=("circular:360",), scale_target=False)


def test_one_word_is_that_of_all_targets() -> None:
    assert types_of(("circular:24",), 3) == (HOURS,) * 3
    assert types_of(("plain", "circular:24"), 2) == (PLAIN, HOURS)
    assert words_of([HOURS, HOURS]) == ("circular:24",)
    assert words_of([PLAIN, HOURS]) == ("plain", "circular:24")


def test_a_difference_is_the_shorter_way_around() -> None:
    a, b = np.array([[350.0], [10.0], [0.0], [90.0]]), np.array([[10.0], [350.0], [180.0], [80.0]])
    assert difference([DEGREES], a, b)[:, 0].tolist() == [-20.0, 20.0, -180.0, 10.0]
    assert difference([PLAIN], a, b)[:, 0].tolist() == [340.0, -340.0, -180.0, 10.0]
    # the angle between two points of the circle, by their vectors
    p, q = angles(seed=1), angles(seed=2)
    vectors = np.exp(1j * np.radians(p)) / np.exp(1j * np.radians(q))
    found = difference([DEGREES], p[:, None], q[:, None])[:, 0]
    np.testing.assert_allclose(found, np.degrees(np.angle(vectors)), atol=1e-9)
    assert np.isnan(difference([DEGREES], np.array([[np.nan]]), np.array([[1.0]]))).all()


def test_the_mean_of_angles_is_that_of_scipy() -> None:
    y = angles()
    mean, std = center_and_std([DEGREES], y[:, None])
    assert mean[0] == pytest.approx(stats.circmean(y, high=360))
    apart = np.degrees(np.angle(np.exp(1j * np.radians(y - stats.circmean(y, high=360)))))
    assert std[0] == pytest.approx(np.sqrt(np.mean(apart**2)))
    members = np.stack([angles(50, seed) for seed in range(5)])
    found = mean_over([DEGREES], members[:, :, None])[:, 0]
    np.testing.assert_allclose(found, stats.circmean(members, high=360, axis=0))
    assert center_and_std([DEGREES], np.full((4, 1), 359.9)) == (359.9, 0.0)


def test_targets_outside_the_circle_are_taken_around_it() -> None:
    y = np.array([360.0, -90.0, 725.0, 0.0, -1e-20, np.nan])
    found = around([DEGREES], y[:, None])[:, 0]
    assert found.tolist()[:5] == [0.0, 270.0, 5.0, 0.0, 0.0]
    assert np.isnan(found[5])


@pytest.mark.parametrize("period", [360.0, 0.7, 2 * np.pi, 1 / 3])
def test_rounding_to_float32_keeps_an_angle_below_its_period(period: float) -> None:
    below = np.nextafter(period, 0) * np.ones((3, 1))
    [column] = held([TargetType(period=period)], below, [np.float32])
    assert column.dtype == np.float32
    assert (column.astype(np.float64) < period).all()
    assert (column >= 0).all()


@pytest.mark.parametrize("bounds", [(0.0, 0.1), (-0.1, 0.7), (1 / 3, 2 / 3)])
def test_rounding_to_float32_keeps_a_number_in_its_bounds(bounds: tuple[float, float]) -> None:
    low, high = bounds
    [column] = held([TargetType(low, high)], np.array([[low], [high], [np.nan]]), [np.float32])
    wide = column.astype(np.float64)
    assert (wide[:2] >= low).all()
    assert (wide[:2] <= high).all()
    np.testing.assert_allclose(wide[:2], bounds, rtol=1e-6)
    assert np.isnan(wide[2])


def test_scores_of_an_angle_by_hand() -> None:
    y = angles()
    pred = (y + np.random.default_rng(3).normal(scale=20, size=len(y))) % 360
    loss = Loss(np.array(15.0), np.ones(1), (DEGREES,))
    found = scores(y[:, None], pred[:, None], loss)
    d = np.abs(np.degrees(np.angle(np.exp(1j * np.radians(pred - y)))))
    c = np.degrees(np.angle(np.exp(1j * np.radians(y - stats.circmean(y, high=360)))))
    assert found["mae"] == pytest.approx(d.mean())
    assert found["rmse"] == pytest.approx(np.sqrt((d**2).mean()))
    assert found["r2"] == pytest.approx(1 - (d**2).mean() / (c**2).mean())
    assert found["huber"] == pytest.approx(np.where(d <= 15, d**2 / 2, 15 * d - 112.5).mean())
    assert found["spearman"] is None
    for turn in (10.0, 123.4, 359.0):  # where the circle starts does not matter
        turned = scores((y[:, None] + turn) % 360, (pred[:, None] + turn) % 360, loss)
        for name in ("mae", "rmse", "r2", "huber"):
            assert turned[name] == pytest.approx(found[name])
    assert scores(np.full((3, 1), 5.0), np.ones((3, 1)), loss)["r2"] is None


def test_scores_of_several_targets_use_the_type_of_each() -> None:
    y = np.stack([angles(), angles(seed=4)], axis=1)
    pred = (y + 350) % 360
    both = Loss(np.array([15.0, 15.0]), np.array([2.0, 4.0]), (DEGREES, PLAIN))
    found = scores(y, pred, both)
    one, other = (scores(y[:, i : i + 1], pred[:, i : i + 1], both.of_target(i)) for i in (0, 1))
    assert one["mae"] == pytest.approx(10.0)
    assert other["mae"] == pytest.approx(np.abs(pred - y)[:, 1].mean())
    each: list[Any] = [one["huber"], other["huber"]]
    assert found["huber"] == pytest.approx((each[0] / 4 + each[1] / 16) / 2)


def test_both_constant_baselines_of_an_angle_are_its_circular_mean() -> None:
    y = np.stack([angles(), angles(seed=5)], axis=1)
    found = constant_baselines(y, 3, types=(DEGREES, PLAIN))
    for name in ("mean", "median"):
        assert found[name][:, 0] == pytest.approx([stats.circmean(y[:, 0], high=360)] * 3)
    assert found["mean"][0, 1] == pytest.approx(y[:, 1].mean())
    assert found["median"][0, 1] == pytest.approx(np.median(y[:, 1]))


def test_a_gain_is_measured_around_the_circle() -> None:
    y = angles()[:, None]
    near, far = (y + 358) % 360, (y + 10) % 360
    gain, error = bootstrap_gain(y, near, far, kind=DEGREES)
    assert gain == pytest.approx(8.0)
    assert error == pytest.approx(0.0, abs=1e-9)
