"""A whole training: its bits, compilation, stopping, best weights and units of the loss."""

from typing import Any

import jax
import numpy as np
import pytest

from arrays import Arrays
from jaxreg.errors import InputError
from jaxreg.head import fit, losses
from jaxreg.head.apply import predict_rows
from jaxreg.head.state import Data, History, Rows, State, init_state, prepare
from jaxreg.train_config import HeadConfig

UNITS: Any = {"huber_delta": 0.5, "min_delta": 3e-4}  # target and loss units
SMALL = HeadConfig(hidden=(8, 8), batch_size=16, epochs=6, learning_rate=1e-2, **UNITS)


def make_data(rows: int = 50, targets: int = 1, noise: float = 0.1, seed: int = 0) -> Arrays:
    """Features with a linear relation to the targets; 23 validation rows."""
    rng = np.random.default_rng(seed)
    x = rng.normal(2, 3, (rows + 23, 5)).astype(np.float32)
    y = x @ rng.normal(size=(5, targets)) + noise * rng.normal(size=(rows + 23, targets))
    y = y.astype(np.float32)
    return Arrays(x[:rows], y[:rows], x[rows:], y[rows:])


def train(config: HeadConfig, arrays: Arrays) -> tuple[State, History]:
    state, data = start(config, arrays.data)
    return fit.make_fit(config)(state, data, config.epochs)


def start(config: HeadConfig, data: Data) -> tuple[State, Data]:
    state = init_state(config, data)
    return state, jax.device_put(prepare(config, state, data))


def assert_same_bits(one, other) -> None:
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(one), jax.device_get(other))


def test_it_learns() -> None:
    config = HeadConfig(hidden=(32,), batch_size=16, epochs=100, learning_rate=1e-2, **UNITS)
    data = make_data(400)
    state, history = train(config, data)
    pred = predict_rows(state.best_params, state.scalers, config, data.validation_x)
    residual = np.square(pred - data.validation_y).sum()
    total = np.square(data.validation_y - data.validation_y.mean()).sum()
    assert 1 - residual / total > 0.98
    assert history.loss[0] > 5 * np.nanmin(history.loss)


def test_the_chunk_length_and_a_save_between_change_no_bit() -> None:
    arrays = make_data()
    whole, history = train(SMALL, arrays)
    state, data = start(SMALL, arrays.data)
    run, pieces = fit.make_fit(SMALL), []
    for until in (1, 2, 5, 6):
        before = int(state.epoch)
        state, piece = run(state, data, until)
        assert int(state.epoch) == until
        pieces.append(jax.tree.map(lambda a, s=before, u=until: np.asarray(a)[s:u], piece))
        state = jax.tree.map(jax.numpy.array, jax.device_get(state))  # as through a checkpoint
    assert_same_bits(state, whole)
    assert_same_bits(jax.tree.map(lambda *parts: np.concatenate(parts), *pieces), history)


def test_one_seed_one_result_and_another_seed_another() -> None:
    data = make_data()
    one, again = train(SMALL, data), train(SMALL, data)
    assert_same_bits(one, again)
    other, _ = train(HeadConfig(**{**vars(SMALL), "seed": 1}), data)
    assert float(other.best_loss) != float(one[0].best_loss)


def test_one_compilation_serves_every_chunk_and_every_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []

    def counting(*args):
        traced.append(1)
        return huber(*args)

    huber = losses.huber
    monkeypatch.setattr(losses, "huber", counting)
    config = HeadConfig(**{**vars(SMALL), "hidden": (7,)})  # a shape that no other test compiled
    arrays = make_data()
    state, data = start(config, arrays.data)
    state, _ = fit.make_fit(config)(state, data, 0)
    first = len(traced)
    assert first > 0
    state, _ = fit.make_fit(config)(state, data, 1)
    fit.make_fit(config)(state, data, 4)
    changed = {"learning_rate": 0.5, "decay_rate": 0.9, "decay_steps": 7, "huber_delta": 2.0}
    changed |= {"patience": 3, "min_delta": 0.1, "seed": 5, "dropout": 0.5, "weight_decay": 0.1}
    train(HeadConfig(**{**vars(config), **changed}), arrays)
    assert len(traced) == first
    train(HeadConfig(**{**vars(config), "batch_size": 8}), arrays)
    assert len(traced) > first


def test_every_epoch_takes_all_rows_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_look(config, rates, state, data, rows):
        order = rows.numbers
        found = (order[0], order[1], order.sum(), jax.numpy.square(order).sum())
        row = History(*(number.astype(np.float32) for number in found))
        return state._replace(epoch=state.epoch + 1), row

    monkeypatch.setattr(fit, "run_epoch", only_look)
    _, found = train(HeadConfig(**{**vars(SMALL), "epochs": 8}), make_data())
    first, second, total, squares = found
    np.testing.assert_array_equal(total, np.full(8, np.arange(50).sum()))
    np.testing.assert_array_equal(squares, np.full(8, np.square(np.arange(50)).sum()))
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) > 4


def test_every_update_drops_other_units(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_draw(params, scalers, config, x, dropout=None):
        drawn = 0.0 if dropout is None else jax.random.uniform(dropout.key)
        return jax.numpy.full((x.shape[0], 1), drawn) + 0 * params["output"]["bias"][None, :]

    monkeypatch.setattr(fit, "forward", only_draw)
    # one update an epoch, so that an epoch's loss shows its one draw
    config = HeadConfig(**{**vars(SMALL), "epochs": 8, "batch_size": 64, "patience": 9})
    _, found = train(config, make_data())
    assert len(set(found.loss.tolist())) == 8


def test_the_state_handed_in_is_consumed() -> None:
    state, data = start(SMALL, make_data().data)
    fit.make_fit(SMALL)(state, data, 1)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.params, state.best_params)))


def test_early_stopping_ends_it_and_leaves_the_other_epochs_unwritten() -> None:
    config = HeadConfig(**{**vars(SMALL), "patience": 2, "min_delta": 1e3})
    state, history = train(config, make_data())
    # nothing improves by 1,000, so: the first epoch, then two without improvement
    assert (int(state.epoch), bool(state.stopped), bool(state.finite)) == (3, True, True)
    assert int(state.early_stopping.best_epoch) == 1
    for values in history:
        np.testing.assert_array_equal(np.isnan(values), [False] * 3 + [True] * 3)
    again, _ = fit.make_fit(config)(state, start(config, make_data().data)[1], 6)
    assert int(again.epoch) == 3


def test_the_best_weights_are_those_of_the_lowest_validation_loss() -> None:
    settings: Any = {"batch_size": 8, "epochs": 40, "learning_rate": 0.02, "patience": 40}
    config = HeadConfig(hidden=(32,), **settings, **UNITS)
    data = make_data(30, noise=20)
    state, history = train(config, data)
    best = int(np.argmin(history.val_loss))
    assert int(state.best_epoch) == best + 1 < 40
    of_std = float(state.best_loss) * float(state.scalers.target.std[0]) ** 2
    assert of_std == pytest.approx(history.val_loss[best], rel=1e-6)
    pred = predict_rows(state.best_params, state.scalers, config, data.validation_x)
    error = np.abs(pred - data.validation_y)
    # both measures again, in NumPy from the predictions
    assert error.mean() == pytest.approx(float(history.val_mae[best]), rel=1e-5)
    loss = np.where(error <= 0.5, 0.5 * error**2, 0.5 * error - 0.125).mean()
    assert loss == pytest.approx(float(history.val_loss[best]), rel=1e-5)


def test_the_val_mae_of_several_targets_has_no_unit() -> None:
    data, units = make_data(targets=2), np.array([1, 1000], np.float32)
    y, true = data.y * units, data.validation_y * units
    state, history = train(SMALL, data._replace(y=y, validation_y=true))
    # by hand: errors divided by the std of the training targets
    pred = predict_rows(state.params, state.scalers, SMALL, data.validation_x)
    error = np.abs(pred - true) / y.std(axis=0)
    assert float(history.val_mae[-1]) == pytest.approx(error.mean(), rel=1e-4)


def test_validation_is_the_mean_over_rows_in_blocks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data()
    _, whole = train(SMALL, data)
    monkeypatch.setattr(fit, "ROWS", 10)  # 23 rows: two blocks and a padded one
    # one epoch more, so that it is not the program compiled above
    _, blocks = train(HeadConfig(**{**vars(SMALL), "epochs": 7}), data)
    np.testing.assert_allclose(blocks.val_loss[:6], whole.val_loss, rtol=1e-5)
    np.testing.assert_allclose(blocks.val_mae[:6], whole.val_mae, rtol=1e-5)


def test_what_fills_a_batch_up_may_be_a_row_that_has_no_target() -> None:
    # 49 rows in batches of 16, and capacity for 60; row 0 trains in neither
    data = make_data().data._replace(train=Rows.of(np.arange(1, 50), capacity=60))
    lacking = data.y.copy()
    lacking[0] = np.nan
    runs = []
    for y in (data.y, lacking):
        own = data._replace(y=y)
        runs.append(fit.make_fit(SMALL)(*start(SMALL, own), SMALL.epochs))
    assert int(runs[0][0].epoch) == SMALL.epochs
    assert_same_bits(*runs)


BROKEN = [(part, np.inf) for part in ("x", "y", "validation_x", "validation_y")]
BROKEN += [("x", np.nan), ("validation_x", np.nan)]  # a target that is NaN is missing


@pytest.mark.parametrize(("part", "value"), BROKEN)
def test_a_loss_that_is_not_finite_ends_it_at_once(part: str, value: float) -> None:
    data = make_data()
    broken = getattr(data, part).copy()
    broken[3] = value
    config = HeadConfig(**{**vars(SMALL), "patience": 0, "scale_features": False})
    state, history = train(config, data._replace(**{part: broken}))
    assert (int(state.epoch), bool(state.finite), bool(state.stopped)) == (1, False, False)
    assert int(state.best_epoch) == 0
    assert not np.isfinite(history.val_loss[0])
    assert not np.isnan(history.learning_rate[0])
    assert np.isnan(history.learning_rate[1])


def test_fewer_rows_than_a_batch_is_one_update_an_epoch() -> None:
    data = make_data(7)
    state, _ = train(HeadConfig(**{**vars(SMALL), "batch_size": 64, "patience": 9}), data)
    assert (int(state.epoch), int(state.step)) == (6, 6)


def test_the_learning_rate_is_that_of_the_last_update() -> None:
    config = HeadConfig(**{**vars(SMALL), "decay_steps": 3, "decay_rate": 0.5, "patience": 9})
    _, history = train(config, make_data(50))  # four updates an epoch, the first at the full rate
    np.testing.assert_allclose(
        history.learning_rate, [1e-2 * 0.5 ** ((4 * e - 1) / 3) for e in range(1, 7)], rtol=1e-5
    )


def test_float16_features_train_as_their_values_in_float32() -> None:
    data = make_data()
    half = data._replace(
        x=data.x.astype(np.float16), validation_x=data.validation_x.astype(np.float16)
    )
    full = half._replace(
        x=half.x.astype(np.float32), validation_x=half.validation_x.astype(np.float32)
    )
    np.testing.assert_allclose(train(SMALL, half)[1], train(SMALL, full)[1], rtol=1e-6)


def test_scaled_targets_of_different_size_weigh_alike() -> None:
    config = HeadConfig(**{**vars(SMALL), "huber_delta": 1e9})  # square everywhere
    data = make_data(targets=2)
    factor = np.array([1, 1024], np.float32)
    larger = data._replace(y=data.y * factor, validation_y=data.validation_y * factor)
    (state, history), (other, scaled) = train(config, data), train(config, larger)
    np.testing.assert_allclose(scaled.loss, history.loss, rtol=1e-4)
    pred, pred_larger = (
        predict_rows(s.best_params, s.scalers, config, data.validation_x) for s in (state, other)
    )
    np.testing.assert_allclose(pred_larger, pred * factor, rtol=1e-3, atol=1e-3)


def test_one_scaled_target_has_its_loss_in_its_own_units() -> None:
    data = make_data()
    data = data._replace(y=data.y * 100, validation_y=data.validation_y * 100)
    _, history = train(SMALL, data)
    # errors are far above delta = 0.5, where the loss is delta · |e| − delta² / 2
    assert float(history.val_loss[0]) == pytest.approx(0.5 * float(history.val_mae[0]), rel=0.02)
    assert float(history.val_mae[0]) > 50


def test_relu_acts_in_target_units() -> None:
    config = HeadConfig(**{**vars(SMALL), "output_activation": "relu"})
    data = make_data()
    data = data._replace(y=data.y - data.y.mean())  # half of the targets below 0
    state, _ = train(config, data)
    pred = predict_rows(state.best_params, state.scalers, config, data.x)
    linear = predict_rows(state.best_params, state.scalers, SMALL, data.x)
    assert (linear < 0).any()
    np.testing.assert_array_equal(pred, np.maximum(linear, 0))


def test_rows_are_predicted_alike_in_any_number() -> None:
    data = make_data(1100)
    state = init_state(SMALL, data.data)
    predict = lambda x: predict_rows(state.params, state.scalers, SMALL, x)  # noqa: E731
    pred = predict(data.x)
    assert pred.shape == (1100, 1)
    assert pred.dtype == np.float64
    np.testing.assert_array_equal(pred[1050:1051], predict(data.x[1050:1051]))
    assert predict(data.x[:0]).shape == (0, 1)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"y": np.zeros(50, np.float32)}, r"training features \(50, 5\) and targets \(50,\)"),
        (
            {"y": np.zeros((49, 1), np.float32)},
            r"training features \(50, 5\) and targets \(49, 1\)",
        ),
        ({"validation_x": np.zeros((0, 5)), "validation_y": np.zeros((0, 1))}, r"\(0, 5\)"),
        (
            {"validation_x": np.zeros((23, 4), np.float32)},
            "5 features to train on and 4 to validate",
        ),
        (
            {"validation_y": np.zeros((23, 2), np.float32)},
            "1 targets to train on and 2 to validate",
        ),
    ],
)
def test_data_that_does_not_belong_together_is_refused(change: dict, found: str) -> None:
    with pytest.raises(InputError, match=found):
        init_state(SMALL, make_data()._replace(**change).data)
