"""The measurements behind the findings, each against an independent source."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from faults.made import TUNING, photos, train, video
from jaxreg.head import scaling
from jaxreg.head.ridge import ALPHAS
from jaxreg.head.scaling import Scalers
from jaxreg.metrics import bootstrap_gain, runs_of_rows
from jaxreg.train_config import HeadConfig
from jaxreg.verdict.dead_head import dead_share, look_at, next_look
from jaxreg.verdict.sampling import choose_rows, nearest_in_time
from jaxreg.verdict.short_training import STEPS, Bench, ShortTraining
from jaxreg.verdict.small_ridge import small_ridge


@pytest.fixture(scope="module")
def obs():
    return train(photos(TUNING, 100))


def test_dead_units_are_those_that_are_zero_for_every_row() -> None:
    hidden = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])
    assert dead_share(hidden) == 0.5  # the first and the last of four


def _head(bias: float, output: float):
    """One column, two hidden units, one output."""
    params = {
        "hidden": {"layer_0": {"kernel": np.ones((1, 2), "f"), "bias": np.full(2, bias, "f")}},
        "output": {"kernel": np.ones((2, 1), "f"), "bias": np.full(1, output, "f")},
    }
    plain = scaling.identity_scaler(1)
    return params, Scalers(plain, scaling.unscaled_targets(1))


@pytest.mark.parametrize(
    ("bias", "output", "activation", "dead"),
    [
        (0.0, 0.0, "linear", False),
        (-9.0, 0.0, "linear", True),  # the hidden layer is 0 for inputs up to 3
        (0.0, -9.0, "relu", True),  # the output is below 0 for sums up to 6
        (0.0, -9.0, "linear", False),
    ],
)
def test_a_dead_head_is_known(bias: float, output: float, activation: Any, dead: bool) -> None:
    x = np.array([[1.0], [2.0], [3.0]], np.float32)
    config = HeadConfig(hidden=(2,), dropout=0.0, output_activation=activation)
    params, scalers = _head(bias, output)
    says, is_dead = look_at(config, params, scalers, x, [1.0, 1.0])
    assert is_dead is dead
    assert bool(says) is dead


def test_a_relu_is_not_dead_while_the_loss_moves() -> None:
    params, scalers = _head(0.0, -9.0)
    config = HeadConfig(hidden=(2,), dropout=0.0, output_activation="relu")
    x = np.ones((3, 1), np.float32)
    for losses, dead in [([1.0], False), ([1.0, 0.9], False), ([1.0, 0.9, 0.9], True)]:
        assert look_at(config, params, scalers, x, losses)[1] is dead


def test_a_head_that_lives_where_units_are_dropped_is_not_lost() -> None:
    """The output is below 0 unless the unit that counts −9 times is dropped and the other not."""
    eye = {"kernel": np.eye(2, dtype="f"), "bias": np.zeros(2, "f")}
    first = {"kernel": np.ones((1, 2), "f"), "bias": np.zeros(2, "f")}
    output = {"kernel": np.array([[1.0], [-9.0]], "f"), "bias": np.zeros(1, "f")}
    params = {"hidden": {"layer_0": first, "layer_1": eye}, "output": output}
    scalers, x = _head(0.0, 0.0)[1], np.ones((200, 1), np.float32)
    for dropout, dead in [(0.0, True), (0.5, False)]:
        config = HeadConfig(hidden=(2, 2), dropout=dropout, output_activation="relu")
        sentence, lost = look_at(config, params, scalers, x, [1.0, 1.0])
        assert sentence
        assert lost is dead


def test_looks_do_not_hang_on_where_one_begins() -> None:
    looks, epoch = [], 0
    while epoch < 40:
        epoch = next_look(epoch)
        looks.append(epoch)
    assert looks[:10] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12]
    for begin in range(40):
        assert next_look(begin) == min(look for look in looks if look > begin)


def test_the_small_ridge_is_scikit_learns(obs) -> None:
    x, y = obs.x[obs.sample_train], obs.sample_y[obs.sample_train]
    asked = obs.x[obs.sample_validation]
    scaler = scaling.feature_scaler(x)
    ridge = RidgeCV(alphas=ALPHAS).fit(scaling.scale_rows(scaler, x), y)
    expected = np.ravel(ridge.predict(scaling.scale_rows(scaler, asked)))
    np.testing.assert_allclose(small_ridge(x, y, asked)[:, 0], expected, rtol=1e-3, atol=1e-3)


def test_neighbours_in_time_are_of_the_same_sequence() -> None:
    sequence, order = np.array([0, 0, 0, 1, 1]), np.array([10, 11, 20, 10, 12])
    found = nearest_in_time(np.array([1, 4]), np.array([0, 2, 3]), sequence, order)
    assert found.tolist() == [0, 3]
    assert nearest_in_time(np.array([4]), np.array([0, 2]), sequence, order).tolist() == [-1]


def test_a_sample_has_both_sides_and_no_other() -> None:
    made = video(dataclasses.replace(TUNING, rows=5000), 0)
    rows = choose_rows(made.labels, made.sequence, made.order)
    assert set(made.labels[rows]) == {"train", "validation"}
    assert len(rows) < 2100
    assert (np.diff(rows) > 0).all()


def test_runs_of_rows_are_consecutive_and_of_one_sequence() -> None:
    order = np.array([3, 1, 2, 0, 7, 5, 4, 6, 8])
    sequence = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
    runs = runs_of_rows(sequence, order)  # of √9 = 3 rows
    assert runs.tolist() == [1, 0, 0, 0, 3, 2, 2, 2, 3]


def test_frames_that_err_alike_make_the_gain_less_sure() -> None:
    """Rows in runs of ten equal ones tell as much as a tenth as many: √10 the error."""
    rng = np.random.default_rng(0)
    targets = np.repeat(rng.normal(size=(400, 1)), 10, axis=0)
    pred, base = np.zeros_like(targets), np.full_like(targets, 0.5)
    rows = bootstrap_gain(targets, pred, base)[1]
    blocks = bootstrap_gain(targets, pred, base, blocks=np.arange(4000) // 10)[1]
    assert blocks / rows == pytest.approx(np.sqrt(10), rel=0.1)
    one = bootstrap_gain(targets, pred, base, blocks=np.zeros(4000, int))[1]
    assert one == np.inf


@pytest.mark.parametrize(
    ("loss", "stopped", "every_rate", "tried"),
    [
        (1e9, False, False, False),  # no other rate is better than the run
        (1e-9, False, False, True),
        (1e9, True, False, True),  # it may have been stopped too early
        (1e9, False, True, True),  # the page of a diagnosis shows it
    ],
)
def test_the_own_rate_is_tried_where_something_is_compared_with_it(
    obs, monkeypatch: pytest.MonkeyPatch, loss: float, stopped: bool, every_rate: bool, tried: bool
) -> None:
    none, params = np.zeros((STEPS, 0)), obs.state.best_params
    same = ShortTraining(np.ones(STEPS), none, none, np.array([loss]), np.ones(1), params)
    monkeypatch.setattr(Bench, "run", lambda self, rates: same)
    state = obs.state._replace(stopped=np.array(stopped))
    worse = dataclasses.replace(
        obs, state=state, predictions=0 * obs.predictions, every_rate=every_rate
    )
    probe = worse.probe
    assert np.isfinite(probe.reached[probe.at(1.0)]) == tried
    assert probe.reached[probe.at(0.1)] == loss
