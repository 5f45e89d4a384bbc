"""Bounded and circular targets as outputs of a head, against NumPy, SciPy and scikit-learn.

test_head_keras_parity.py compares a bounded head with Keras.
"""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import RidgeCV

from jaxreg.head import scaling
from jaxreg.head.apply import forward, predict_outputs, predict_rows
from jaxreg.head.fit import make_fit
from jaxreg.head.rates import Rates, loss_unit
from jaxreg.head.ridge import ALPHAS, decompose, solve
from jaxreg.head.scaling import Scalers
from jaxreg.head.state import Data, empty_state, init_state, prepare
from jaxreg.head.target_outputs import decode, encode, limited, scaled, sizes, together
from jaxreg.target_types import PLAIN, TargetType, difference
from jaxreg.train_config import HeadConfig

DEGREES = TargetType.parse("circular:360")
UNIT = TargetType.parse("bounded:0:1")
BOTH = (PLAIN, DEGREES, UNIT)
QUICK = HeadConfig(hidden=(16, 8), epochs=25, learning_rate=0.01)


def made(rows: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, and three targets of them: a number, an angle in degrees, and a share."""
    x = np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)
    angle = np.degrees(np.arctan2(x[:, 1] + 0.3, x[:, 0])) % 360
    return x, np.stack([3 * x[:, 2], angle, expit(2 * x[:, 3] - 2)], axis=1)


def trained(config: HeadConfig, x: np.ndarray, y: np.ndarray):
    """The state and history of a head on the first 180 rows."""
    config = config.with_thresholds([1.0] * y.shape[1])
    data = Data.of(x[:180], y[:180], x[180:], y[180:])
    state = init_state(config, data)
    state, history = make_fit(config)(state, prepare(config, state, data), config.epochs)
    return state, history, config


def test_bounds_that_float32_does_not_tell_apart() -> None:
    """Seconds of 2023 from 0 to 1: float32 has one number every 128 there."""
    config = HeadConfig(target_type=("bounded:1700000000:1700000001",))
    scaler = scaling.target_scaler(1.7e9 + np.array([[0.2], [0.6]]))  # mean 0.4, std 0.2
    far = np.array([[-99.0], [0.0], [99.0]], np.float32)
    for linear in (True, False):
        held = limited(config, scaler, far, linear=linear)
        np.testing.assert_allclose(held, [[-2], [0], [3]], atol=1e-5)


def test_angles_come_back_from_their_two_outputs() -> None:
    _, y = made()
    outputs = encode(BOTH, y)
    assert outputs.shape == (240, 4)
    np.testing.assert_allclose(np.hypot(outputs[:, 1], outputs[:, 2]), 360 / (2 * np.pi))
    np.testing.assert_allclose(decode(BOTH, outputs), y, atol=1e-9)
    longer = outputs * [1, 3, 3, 1]  # the direction alone counts
    np.testing.assert_allclose(decode(BOTH, longer), y, atol=1e-9)
    beyond = decode([UNIT], np.array([[-0.1], [1.2], [np.nan]]))[:, 0]
    assert beyond[:2].tolist() == [0.0, 1.0]
    assert np.isnan(beyond[2])
    # a small error of the outputs is as large as that of the angle
    step = encode([DEGREES], np.array([[40.0], [40.01]]))
    assert np.linalg.norm(step[1] - step[0]) == pytest.approx(0.01, rel=1e-6)


def test_both_outputs_of_an_angle_share_one_std() -> None:
    x, y = made()
    config = HeadConfig(target_type=("circular:360",))
    scaler = init_state(config, Data.of(x, y[:, 1:2], x, y[:, 1:2])).scalers.target
    vectors = encode([DEGREES], y[:, 1:2])
    of_distance = np.sqrt(np.square(vectors - vectors.mean(axis=0)).sum(axis=1).mean())
    np.testing.assert_allclose(scaler.std, [of_distance] * 2, rtol=1e-6)
    np.testing.assert_allclose(scaler.mean + scaler.rest, vectors.mean(axis=0), rtol=1e-6)
    constant = np.full((8, 1), 90.0)
    same = init_state(config, Data.of(x[:8], constant, x[:8], constant)).scalers.target
    assert same.std.tolist() == [1.0, 1.0]


def test_errors_while_training_are_those_around_the_circle() -> None:
    x, y = made()
    config = HeadConfig(target_type=("plain", "circular:360", "bounded:0:1"))
    scaler = init_state(config, Data.of(x, y, x, y)).scalers.target
    rng = np.random.default_rng(1)
    outputs = encode(BOTH, y) + rng.normal(size=(len(y), 4)) * [1, 20, 20, 0]
    by_hand = np.abs(difference(BOTH, decode(BOTH, outputs), y))
    in_std = sizes(
        config, scaler, scaling.scale_targets(scaler, outputs), scaled(config, scaler, y)
    )
    unit = np.array(scaler.std)[[0, 1, 3]]
    np.testing.assert_allclose(np.asarray(in_std) * unit, by_hand, rtol=1e-3, atol=1e-3)


def test_the_history_has_the_mae_of_an_angle_in_its_unit_and_its_loss_squared() -> None:
    x, y = made()
    state, history, config = trained(
        dataclasses.replace(QUICK, target_type=("circular:360",), epochs=3), x, y[:, 1:2]
    )
    pred = predict_rows(state.params, state.scalers, config, x[180:])
    error = np.abs(difference([DEGREES], pred, y[180:, 1:2]))
    assert history.val_mae[-1] == pytest.approx(error.mean(), rel=1e-4)
    outputs = predict_outputs(state.params, state.scalers, config, x[180:])
    apart = np.abs(outputs - encode([DEGREES], y[180:, 1:2]))
    delta = float(np.max(config.thresholds[0] or 0))
    huber = np.where(apart <= delta, apart**2 / 2, delta * apart - delta**2 / 2)
    assert history.val_loss[-1] == pytest.approx(huber.sum(axis=1).mean(), rel=1e-4)
    assert (pred >= 0).all()
    assert (pred < 360).all()


def test_thresholds_are_those_of_the_target_whatever_its_outputs() -> None:
    x, y = made()
    config = HeadConfig(target_type=("plain", "circular:360", "bounded:0:1"), huber_delta=(1, 2, 3))
    target = init_state(config, Data.of(x, y, x, y)).scalers.target
    rates = Rates.of(config.with_thresholds([1.0] * 3), target)
    np.testing.assert_allclose(rates.huber_delta * target.std, [1, 2, 2, 3], rtol=1e-6)
    assert loss_unit(config, target) == pytest.approx(4 / 3)  # a circular target counts once


def test_an_angle_that_wraps_is_learned_where_a_plain_one_is_not() -> None:
    x, y = made(600)
    near = np.minimum(y[:, 1], 360 - y[:, 1]) < 15
    maes = {}
    for kind in ("plain", "circular:360"):
        config = dataclasses.replace(QUICK, target_type=(kind,), epochs=60)
        state, _, config = trained(config, x, y[:, 1:2])
        pred = predict_rows(state.best_params, state.scalers, config, x)
        error = np.abs(difference([DEGREES], pred, y[:, 1:2]))[180:]
        maes[kind] = error.mean(), error[near[180:]].mean()
    assert maes["circular:360"][0] < 0.5 * maes["plain"][0], maes
    assert maes["circular:360"][1] < 15 < 40 < maes["plain"][1], maes


@pytest.mark.parametrize("turn", [90.0, 217.0])
def test_a_turn_of_all_angles_hardly_changes_a_ridge(turn: float) -> None:
    x, y = made(200)
    linear, found = HeadConfig(head="ridge", target_type=("circular:360",)), []
    for angle in (y[:, 1:2], (y[:, 1:2] + turn) % 360):
        outputs = encode([DEGREES], angle)
        scaler = scaling.feature_scaler(x)
        eigen = decompose(scaler, x, outputs)
        ridge = solve(eigen, x, outputs, same=np.zeros(2, int))
        assert ridge.alphas[0] == ridge.alphas[1]
        scalers = Scalers(scaler, scaling.target_scaler(outputs))
        pred = predict_rows(eigen.head(ridge, scalers), scalers, linear, x)
        found.append(np.abs(difference([DEGREES], pred, angle)))
    np.testing.assert_allclose(found[0], found[1], atol=1e-2)


def test_the_ridge_of_an_angle_is_scikit_learns_of_sine_and_cosine() -> None:
    x, y = made(80)
    radians = np.radians(y[:, 1])
    points = np.stack([np.sin(radians), np.cos(radians)], axis=1)
    scaler = scaling.feature_scaler(x)
    z = np.asarray(scaling.scale(scaler, x), np.float64)
    model = RidgeCV(alphas=ALPHAS).fit(z, points)  # each row left out; one alpha for both
    expected = model.predict(z)
    outputs = encode([DEGREES], y[:, 1:2])
    eigen = decompose(scaler, x, outputs)
    ridge = solve(eigen, x, outputs, same=np.zeros(2, int))
    assert ridge.alphas == pytest.approx([model.alpha_] * 2)
    scalers = Scalers(scaler, scaling.target_scaler(outputs))
    linear = HeadConfig(head="ridge", target_type=("circular:360",))
    pred = predict_rows(eigen.head(ridge, scalers), scalers, linear, x)[:, 0]
    by_hand = np.degrees(np.arctan2(*expected.T)) % 360
    np.testing.assert_allclose(difference([DEGREES], pred[:, None], by_hand[:, None]), 0, atol=1e-2)


def test_the_sigmoid_has_the_mean_at_0_and_a_slope_of_one_std() -> None:
    _, y = made()
    share = y[:, 2:3]
    mean, std = share.mean(), share.std()
    config = HeadConfig(hidden=(), target_type=("bounded:0:1",))
    scalers = Scalers(scaling.identity_scaler(1), scaling.target_scaler(share))
    params = {"output": {"kernel": np.ones((1, 1), np.float32), "bias": np.zeros(1, np.float32)}}
    raw = np.linspace(-4, 4, 81, dtype=np.float32)[:, None]
    pred = predict_rows(params, scalers, config, raw)
    b, a = logit(mean), std / (mean * (1 - mean))
    np.testing.assert_allclose(pred, expit(b + a * raw.astype(np.float64)), rtol=1e-4)
    assert pred[40, 0] == pytest.approx(mean, rel=1e-5)
    slope = jax.grad(lambda x: forward(params, scalers, config, x).sum())(np.zeros((1, 1), "f"))
    assert float(slope[0, 0]) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("head", ["mlp", "blend", "ridge"])
@pytest.mark.parametrize("bounds", [(-0.1, 0.7), (1e6, 1e6 + 3)])
def test_no_prediction_leaves_the_bounds(bounds: tuple[float, float], head: str) -> None:
    low, high = bounds
    x, _ = made()
    y = low + (high - low) * np.clip(0.5 + x[:, 4:5].astype(np.float64), 0, 1)
    word, some = TargetType(low, high).word, 3 if head == "blend" else None
    config = dataclasses.replace(QUICK, head=head, target_type=(word,), components=some)
    state = init_state(config, Data.of(x, y, x, y))
    params = jax.tree.map(lambda array: 30 * array, state.best_params)
    if head == "blend":
        params["blend"]["share"] = np.full(1, 0.5, np.float32)
    far = np.concatenate([x, 50 * x, -1e4 * x])
    pred = predict_rows(params, state.scalers, config, far)
    assert (pred >= low).all()
    assert (pred <= high).all()
    assert pred.min() < low + 0.01 * (high - low)
    assert pred.max() > high - 0.01 * (high - low)


def test_a_target_all_on_one_bound_still_has_a_slope() -> None:
    """Its mean is the bound, where a sigmoid would be flat."""
    zeros = np.zeros((8, 1))
    scalers = Scalers(scaling.identity_scaler(1), scaling.target_scaler(zeros))
    config = HeadConfig(hidden=(), target_type=("bounded:0:1",))
    params = {"output": {"kernel": np.ones((1, 1), np.float32), "bias": np.zeros(1, np.float32)}}
    pred = predict_rows(params, scalers, config, np.array([[-50.0], [0.0], [50.0]], np.float32))
    np.testing.assert_allclose(pred[:, 0], [0.0, 0.05, 1.0], atol=1e-6)


def test_the_outputs_of_one_target_are_added() -> None:
    values = np.array([[1.0, 2.0, 4.0, 8.0]])
    assert together(BOTH, values).tolist() == [[1.0, 6.0, 6.0, 8.0]]
    assert together([PLAIN] * 4, values) is values


def test_a_state_to_load_into_has_the_outputs() -> None:
    x, y = made()
    config = HeadConfig(
        hidden=(4,), head="blend", components=3, target_type=("plain", "circular:24", "plain")
    )
    empty = empty_state(config, 6, 3)
    state = init_state(config, Data.of(x, y, x, y))
    shapes = [jax.tree.map(np.shape, one) for one in (empty, state)]
    assert shapes[0] == shapes[1]
