"""The types that the verdict suggests: periods and bounds guessed from targets made by hand."""

import dataclasses
import math

import numpy as np
import pytest

from faults.made import TUNING, photos, train
from jaxreg.target_types import TargetType
from jaxreg.verdict.checks import held_out
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.target_remedies import as_type, bounds_of, period_of, piles


@pytest.fixture(scope="module")
def good() -> Observed:
    return train(photos(TUNING, 100))


def spread(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 300)


@pytest.mark.parametrize(
    ("y", "period"),
    [
        (spread(0.3, 359.1), 360.0),
        (spread(-179, 178.5), 360.0),
        (spread(-math.pi, math.pi), 2 * math.pi),
        (spread(0, 3.1), math.pi),
        (spread(0, 23.9), 24.0),
        (np.arange(240) % 24.0, 24.0),  # hours
        (1 + np.arange(240) % 12.0, 12.0),  # months
        (np.arange(240) % 7.0, 7.0),  # days
        (spread(0, 0.99), 1.0),
        (spread(1, 364), 365.0),
        (spread(0, 3.6e9), None),
        (spread(40, 300), None),
        (spread(-20, 350), None),
    ],
)
def test_the_period_is_the_one_that_targets_cover(y: np.ndarray, period: float | None) -> None:
    assert period_of(y) == period


def clipped(low: float, high: float) -> np.ndarray:
    return np.clip(np.random.default_rng(0).normal(0.5, 0.5, 400), low, high)


def test_a_pile_is_more_than_the_values_beside_it() -> None:
    assert piles(clipped(0, 1)) == (True, True)
    assert piles(clipped(0, 9)) == (True, False)
    assert piles(clipped(-9, 1)) == (False, True)
    rng = np.random.default_rng(1)
    for usual in (rng.uniform(size=400), rng.poisson(1.0, 400), rng.integers(0, 10, 400),
                  rng.integers(0, 2, 400), rng.normal(size=400)):  # fmt: skip
        assert piles(usual.astype(float)) == (False, False)


@pytest.mark.parametrize(
    ("y", "piled", "word"),
    [
        (clipped(0, 1), (True, True), "bounded:0:1"),
        (np.array([0.1, 0.7], np.float32).astype(float), (True, True), "bounded:0.1:0.7"),
        (np.array([0.0, 37.2]), (True, False), "bounded:0:40"),
        (np.array([0.0, 0.93]), (True, False), "bounded:0:1"),
        (np.array([-128.0, 5.0]), (False, True), "bounded:-200:5"),
    ],
)
def test_bounds_are_the_piles_or_the_next_round_number(y, piled, word: str) -> None:
    kind = bounds_of(y, piled)
    assert kind.low <= y.min() < y.max() <= kind.high
    assert kind.word == word or TargetType.parse(kind.word) == pytest.approx(
        TargetType.parse(word), rel=1e-6
    )


def test_predictions_beyond_a_bound_get_the_type_and_those_inside_do_not(good: Observed) -> None:
    turn = np.random.default_rng(2).normal(0.5, 0.5, len(good.y))
    y = np.clip(turn, 0, 1)[:, None]
    beyond = dataclasses.replace(good, y=y, predictions=turn[:, None])
    found = held_out.targets_at_bound(beyond)
    assert found is not None
    assert found.remedy == {"target_type": ("bounded:0:1",)}
    past = np.abs(turn - y[:, 0])[good.validation]
    assert found.numbers["cost"] == pytest.approx(past.mean())
    assert found.numbers["rows"] == (past > 0).sum()
    noise = 0.1 * np.random.default_rng(3).normal(size=y.shape)
    inside = dataclasses.replace(beyond, predictions=np.clip(y + noise, 0, 1))
    assert held_out.targets_at_bound(inside) is None
    config = dataclasses.replace(good.config, target_type=("bounded:0:1",))
    assert held_out.targets_at_bound(dataclasses.replace(beyond, config=config)) is None


def test_a_remedy_changes_the_type_of_its_own_target_alone(good: Observed) -> None:
    relu = dataclasses.replace(good.config, output_activation="relu", scale_target=False)
    bounded = TargetType(0.0, 1.0)
    alone = as_type(dataclasses.replace(good, config=relu), bounded)
    assert alone == {
        "target_type": ("bounded:0:1",), "output_activation": "linear", "scale_target": True,
    }  # fmt: skip
    whole = dataclasses.replace(good, targets=("a", "b"), y=np.tile(good.y, 2))
    second = dataclasses.replace(good, whole=whole, number=1)
    assert as_type(second, bounded) == {"target_type": ("plain", "bounded:0:1")}
