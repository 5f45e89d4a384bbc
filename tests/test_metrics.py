"""Scores against scikit-learn, SciPy, Keras and NumPy by hand."""

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import special, stats
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from jaxreg.metrics import METRICS, Loss, bootstrap_gain, by_target, constant_baselines, scores
from typed import given

ONE = Loss(np.array(0.5), np.ones(1))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_scores_are_those_of_scikit_learn_and_scipy(rng):
    targets = rng.normal(2, 3, (500, 1)).astype(np.float32)
    predictions = (targets + rng.normal(0, 1, (500, 1))).astype(np.float32)
    found = scores(targets, predictions, ONE)
    t, p = targets[:, 0].astype(float), predictions[:, 0].astype(float)
    assert found["mae"] == pytest.approx(mean_absolute_error(t, p), rel=1e-12)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(t, p), rel=1e-12)
    assert found["r2"] == pytest.approx(r2_score(t, p), rel=1e-12)
    spearman: Any = stats.spearmanr(t, p)
    assert found["spearman"] == pytest.approx(spearman.statistic, rel=1e-12)
    assert list(found) == list(METRICS)
    assert all(type(value) is float for value in found.values())


def test_scores_by_hand():
    # Errors 0.25, −0.5, 1, −2 with delta 0.5: the second lies on the corner.
    targets = np.array([[0.0], [1.0], [2.0], [3.0]])
    predictions = targets + np.array([[0.25], [-0.5], [1.0], [-2.0]])
    found = scores(targets, predictions, ONE)
    assert found["mae"] == pytest.approx(3.75 / 4)
    assert found["rmse"] == pytest.approx(math.sqrt((0.0625 + 0.25 + 1 + 4) / 4))
    assert found["r2"] == pytest.approx(1 - 5.3125 / 5)  # variance sum 1.5² + 0.5² + 0.5² + 1.5²
    # By hand: 0.5 × 0.0625, 0.5 × 0.25, 0.5 × 1 − 0.125, 0.5 × 2 − 0.125
    assert found["huber"] == pytest.approx((0.03125 + 0.125 + 0.375 + 0.875) / 4)
    # Predictions 0.25, 0.5, 3, 1 have the ranks 1, 2, 4, 3: 1 − 6 × 2 / (4 × 15)
    assert found["spearman"] == pytest.approx(0.8)


def test_several_targets_have_only_scores_without_a_unit(rng):
    scale, delta = np.array([1.0, 10, 100]), np.array([0.5, 5, 50])
    targets = rng.normal(size=(50, 3)) * scale
    predictions = targets + rng.normal(size=(50, 3)) * [0.1, 5, 300]
    loss = Loss(delta, targets.std(axis=0))
    each = by_target(["a", "b", "c"], targets, predictions, loss)
    together = scores(targets, predictions, loss)
    assert list(each) == ["a", "b", "c"]
    assert each["b"]["mae"] == pytest.approx(mean_absolute_error(targets[:, 1], predictions[:, 1]))
    assert [together[name] for name in ("mae", "rmse", "spearman")] == [None] * 3
    r2 = r2_score(targets, predictions, multioutput="uniform_average")
    assert together["r2"] == pytest.approx(r2, rel=1e-12)
    # SciPy's Huber function of errors in std
    error = (predictions - targets) / loss.std
    scaled = special.huber(delta / loss.std, error)
    assert together["huber"] == pytest.approx(scaled.mean(), rel=1e-12)
    # another unit for one target changes no common score
    units = np.array([1.0, 1000, 1])
    other = Loss(delta * units, (targets * units).std(axis=0))
    assert scores(targets * units, predictions * units, other) == pytest.approx(together)


def test_undefined_scores_are_none(rng):
    varied, constant = rng.normal(size=(9, 1)), np.full((9, 1), 4.2)
    assert scores(constant, varied, ONE)["r2"] is None
    assert scores(constant, varied, ONE)["spearman"] is None
    assert scores(constant, constant, ONE)["mae"] == 0
    assert scores(varied, constant, ONE)["spearman"] is None
    assert given(scores(varied, constant, ONE)["r2"]) < 0
    one = scores(varied[:1], varied[:1] + 2, ONE)
    assert one == {"mae": 2.0, "rmse": 2.0, "r2": None, "spearman": None, "huber": 0.875}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_of_non_finite_predictions_are_none(bad):
    targets = np.arange(6.0).reshape(3, 2)
    predictions = targets.copy()
    predictions[1, 0] = bad
    loss = Loss(np.array(0.5), np.ones(2))
    assert scores(targets, predictions, loss) == dict.fromkeys(METRICS)
    each = by_target(["broken", "whole"], targets, predictions, loss)
    assert each["broken"] == dict.fromkeys(METRICS)
    assert each["whole"]["r2"] == 1


def test_scores_of_a_diverged_head_are_still_json():
    targets = np.arange(4.0).reshape(4, 1)
    found = scores(targets, targets * 1e300, ONE)
    assert found["rmse"] is None
    assert found["spearman"] == pytest.approx(1)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("shape", [(4,), (4, 2), (3, 1), (0, 1)])
def test_other_shapes_are_refused_not_broadcast(shape):
    with pytest.raises(ValueError, match=r"expected one \(N, T\)"):
        scores(np.zeros((4, 1)), np.zeros(shape), ONE)
    with pytest.raises(ValueError, match=r"expected one \(N, T\)"):
        scores(np.zeros(shape), np.zeros((4, 1)), ONE)
    with pytest.raises(ValueError, match=r"expected one \(N, T\)"):
        bootstrap_gain(np.zeros((4, 1)), np.zeros((4, 1)), np.zeros(shape))


def test_baselines_are_scikit_learns_dummies(rng):
    train = rng.exponential(size=(81, 1))
    held_out = rng.exponential(size=(40, 1))
    constants = constant_baselines(train, len(held_out))
    assert list(constants) == ["mean", "median"]
    for strategy in ("mean", "median"):
        dummy = DummyRegressor(strategy=strategy).fit(np.zeros((81, 1)), train)
        predictions = np.reshape(dummy.predict(np.zeros((40, 1))), (40, 1))
        found = scores(held_out, constants[strategy], ONE)
        assert found["mae"] == pytest.approx(mean_absolute_error(held_out, predictions))
        assert found["r2"] == pytest.approx(r2_score(held_out, predictions))
        assert found["spearman"] is None


def test_gain_is_the_difference_of_the_mean_absolute_errors(rng):
    targets = rng.normal(size=(60, 1))
    predictions, baseline = targets + 0.1, np.zeros((60, 1))
    gain, _ = bootstrap_gain(targets, predictions, baseline)
    assert gain == pytest.approx(np.abs(targets).mean() - 0.1)
    assert bootstrap_gain(targets, baseline, predictions)[0] == pytest.approx(-gain)
    two = np.zeros((60, 2))
    with pytest.raises(ValueError, match="2 targets: errors of several have no common unit"):
        bootstrap_gain(two, two, two)


def test_error_of_the_gain_is_that_of_scipys_bootstrap(rng):
    targets = rng.normal(size=(150, 1))
    predictions = targets + rng.normal(0, 0.5, size=(150, 1))
    baseline = np.zeros_like(targets)
    per_row = (np.abs(targets) - np.abs(predictions - targets))[:, 0]
    independent = stats.bootstrap(
        (per_row,), np.mean, n_resamples=4000, method="percentile", rng=rng
    ).standard_error
    _, error = bootstrap_gain(targets, predictions, baseline, draws=4000)
    assert error == pytest.approx(independent, rel=0.06)  # 4000 draws: 1.1% each
    assert error == bootstrap_gain(targets, predictions, baseline, draws=4000)[1]
    assert error != bootstrap_gain(targets, predictions, baseline, seed=1, draws=4000)[1]


def test_error_of_many_rows_is_drawn_in_chunks(rng):
    targets = rng.normal(size=(50_000, 1))
    _, error = bootstrap_gain(targets, targets, np.zeros_like(targets), draws=300)
    # The mean's error in closed form; 300 draws: 4%.
    assert error == pytest.approx(np.abs(targets).std() / math.sqrt(50_000), rel=0.15)


def test_the_error_of_one_row_is_infinite():
    gain, error = bootstrap_gain(np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 1)))
    assert gain == 1
    assert error == math.inf
