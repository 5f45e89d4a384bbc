"""The pure functions against Keras itself: Adam, early stopping, dropout, and whole trainings.

The only test module of the heads that imports Keras, which takes seconds. Any backend will do;
`make gpu-check` takes JAX.
"""

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest

from arrays import Arrays
from jaxreg.head import early_stopping, fit, mlp, optimizer
from jaxreg.head.apply import predict_rows
from jaxreg.head.dropout import Dropout
from jaxreg.head.rates import Rates
from jaxreg.head.state import Rows, State, init_state, prepare
from jaxreg.train_config import HeadConfig

NAN, INF = float("nan"), float("inf")

SERIES = {
    "falling": [5.0, 4.0, 3.0, 2.0, 1.0, 0.5],
    "rising": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    "constant": [1.0] * 8,
    "down then up": [3.0, 2.0, 1.0, 1.5, 1.4, 1.3, 1.2, 1.1, 1.05, 1.01],
    "saw": [3.0, 4.0, 2.5, 4.0, 2.0, 4.0, 1.5, 4.0, 4.0, 4.0],
    "improves by less than min_delta each time": [1.0, 0.9999, 0.9998, 0.9997, 0.9996, 0.9995],
    "creeps until the sum counts": [1.0, 0.9998, 0.9996, 0.9994, 0.9992, 0.999, 0.9988],
    "improves by exactly min_delta": [1.0, 0.75, 0.5, 0.25, 0.0],
    "nan first": [NAN, 1.0, 0.5, 0.1, 0.01],
    "nan in the middle": [3.0, 2.0, NAN, 1.0, NAN, NAN, NAN, 0.5],
    "nan always": [NAN] * 6,
    "infinite first": [INF, INF, 3.0, 2.0, INF, INF, INF],
    "minus infinity": [1.0, -INF, -INF, -5.0, 0.0],
    "negative": [-1.0, -2.0, -1.5, -1.9, -2.5, -2.5, -2.5],
    "one epoch": [1.0],
    "noise": list(np.random.default_rng(0).normal(1, 0.01, 30).round(4)),
    "noisy descent": list(0.5 ** np.arange(20) + np.random.default_rng(1).normal(0, 2e-4, 20)),
}


def keras_stops(values: list[float], patience: int, min_delta: float) -> tuple[int, int]:
    """Epochs Keras runs and the best one, from 1."""

    class Model:
        stop_training = False

    stopping: Any = keras.callbacks.EarlyStopping
    callback = stopping("val_loss", mode="min", patience=patience, min_delta=min_delta)
    model = Model()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_loss": float(np.float32(value))})
        if model.stop_training:
            return epoch + 1, callback.best_epoch + 1
    return len(values), callback.best_epoch + 1


@pytest.mark.parametrize("values", SERIES.values(), ids=SERIES)
def test_stopping_is_keras_early_stopping(values: list[float]) -> None:
    update = jax.jit(early_stopping.update)
    for patience in (0, 1, 2, 3, 10):
        for min_delta in (0.0, 3e-4, 0.25, 100.0):
            state, stop = early_stopping.start(), False
            for value in values:
                state, stop = update(state, jnp.float32(value), patience, min_delta)
                if stop:
                    break
            got = int(state.epochs), int(state.best_epoch)
            assert got == keras_stops(values, patience, min_delta), (patience, min_delta)


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-6, 1e-8])
def test_adam_and_decay_are_keras_for_200_updates(size: float) -> None:
    rng = np.random.default_rng(0)
    gradients = (size * rng.normal(size=(200, 4, 3))).astype(np.float32)
    start = rng.normal(size=(4, 3)).astype(np.float32)
    schedule, theirs = keras_adam(1e-2, 30, 0.5)
    variable = keras.Variable(start)
    ours = optimizer.adam(1e-2, 30, 0.5)
    params = jnp.asarray(start)
    state = ours.init(params)
    update = jax.jit(ours.update)
    for step, gradient in enumerate(gradients):
        assert float(schedule(step)) == pytest.approx(
            float(optimizer.decayed_rate(step, 1e-2, 30, 0.5)), rel=1e-6
        )
        theirs.apply([gradient], [variable])
        updates, state = update(jnp.asarray(gradient), state)
        params = optax.apply_updates(params, updates)
        moved = np.abs(np.asarray(variable) - start).max()
        np.testing.assert_allclose(
            np.asarray(params), np.asarray(variable), rtol=0, atol=2e-4 * moved + 1e-7
        )


def keras_adam(
    rate: float, decay_steps: int, decay_rate: float, weight_decay: float | None = None
) -> tuple[Any, Any]:
    """Keras' schedule, and its Adam with it."""
    schedule: Any = keras.optimizers.schedules.ExponentialDecay(rate, decay_steps, decay_rate)
    return schedule, keras.optimizers.Adam(schedule, weight_decay=weight_decay)


class Layers(keras.Sequential):
    """Keras on JAX adds a bias (units,) to (rows, units), which conftest.py makes an error."""

    def call(self, *inputs: Any, **options: Any) -> Any:
        with jax.numpy_rank_promotion("allow"):
            return super().call(*inputs, **options)


def keras_head(config: HeadConfig, state: State) -> Any:
    """The same head in Keras with the weights of `state`, compiled with the same Adam and Huber."""
    layers = [*state.params["hidden"].values(), state.params["output"]]
    features, targets = layers[0]["kernel"].shape[0], layers[-1]["kernel"].shape[1]
    dense = [keras.layers.Dense(n, "relu") for n in config.hidden]
    output = keras.layers.Dense(targets, config.output_activation)
    model: Any = Layers([keras.Input((features,)), *dense, output])
    model.set_weights([np.asarray(layer[name]) for layer in layers for name in ("kernel", "bias")])
    huber: Any = keras.losses.Huber
    decay = config.weight_decay or None
    _, adam = keras_adam(config.learning_rate, config.decay_steps, config.decay_rate, decay)
    model.compile(
        adam,
        huber(delta=config.huber_delta) if config.loss == "huber" else config.loss,
        metrics=["mae"],
        jit_compile=keras.config.backend() == "jax",
    )
    return model


def parity_config(**changed) -> HeadConfig:
    plain = {"dropout": 0.0, "scale_features": False, "scale_target": False, "min_delta": 3e-4}
    plain |= {"huber_delta": 0.4} if changed.get("loss", "huber") == "huber" else {}
    return HeadConfig(hidden=(16, 12, 8), **plain, learning_rate=5e-3, batch_size=32, **changed)


def parity_data(targets: int) -> Arrays:
    """Positive targets; 100 training rows are three batches of 32 and one of 4.

    Several targets have a std of 1, because jaxreg divides the error of each by its std.
    """
    x = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)
    y = np.abs(x[:, :targets] * 2 + x[:, 3:4] + 1).astype(np.float32)
    if targets > 1:
        y /= y[:100].std(axis=0, dtype=np.float64)
    return Arrays(x[:100], y[:100], x[100:], y[100:])


@pytest.mark.parametrize(("targets", "activation"), [(1, "linear"), (3, "linear"), (1, "relu")])
def test_three_epochs_are_keras_fit(targets: int, activation: str) -> None:
    config = parity_config(output_activation=activation, decay_steps=4, decay_rate=0.7, epochs=3)
    data = parity_data(targets)
    rng = np.random.default_rng(1)
    state = init_state(config, data.data)
    model = keras_head(config, state)
    schedule, _ = keras_adam(5e-3, 4, 0.7)

    run_epoch = jax.jit(fit.run_epoch, static_argnums=0)
    for epoch in range(3):
        order = rng.permutation(100)
        log = model.fit(
            data.x[order],
            data.y[order],
            batch_size=32,
            shuffle=False,
            validation_data=(data.validation_x, data.validation_y),
            verbose=0,
        ).history
        state, ours = run_epoch(
            config, Rates.of(config, state.scalers.target), state, data.data, Rows.of(order)
        )
        assert float(ours.loss) == pytest.approx(log["loss"][0], rel=1e-4)
        assert float(ours.val_loss) == pytest.approx(log["val_loss"][0], rel=1e-4)
        assert float(ours.val_mae) == pytest.approx(log["val_mae"][0], rel=1e-4)
        last = int(model.optimizer.iterations) - 1
        assert (int(state.step), int(state.epoch)) == (last + 1, epoch + 1)
        assert float(ours.learning_rate) == pytest.approx(float(schedule(last)), rel=1e-5)
    kernel = np.asarray(state.params["output"]["kernel"])
    np.testing.assert_allclose(kernel, model.layers[-1].get_weights()[0], rtol=1e-3, atol=1e-5)


def test_a_bounded_head_is_a_scaled_sigmoid_in_keras() -> None:
    """In std of the targets, as jaxreg trains: layers of Keras scale before and after a sigmoid."""
    settings = {"dropout": 0.0, "scale_features": False, "huber_delta": 0.1, "min_delta": 0.0}
    config = HeadConfig(
        hidden=(16, 12, 8), target_type=("bounded:0:1",), learning_rate=5e-3, epochs=3, **settings
    )
    x = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)
    y = np.clip(0.4 + 0.3 * x[:, :1] * x[:, 1:2], 0, 1).astype(np.float64)
    data = Arrays(x[:100], y[:100], x[100:], y[100:])
    mean, std = float(y[:100].mean()), float(y[:100].std())
    state = init_state(config, data.data)
    plain = keras_head(config, state)
    before = keras.layers.Rescaling(std / (mean * (1 - mean)), np.log(mean / (1 - mean)))
    after = keras.layers.Rescaling(1 / std, -mean / std)
    sigmoid: Any = keras.layers.Activation("sigmoid")
    model: Any = keras.Sequential([plain, before, sigmoid, after])
    huber: Any = keras.losses.Huber
    _, adam = keras_adam(5e-3, config.decay_steps, config.decay_rate)
    model.compile(
        adam, huber(delta=0.1 / std), metrics=["mae"], jit_compile=keras.config.backend() == "jax"
    )

    prepared, in_std = prepare(config, state, data.data), (y - mean) / std
    run_epoch = jax.jit(fit.run_epoch, static_argnums=0)
    for _ in range(3):
        order = np.random.default_rng(1).permutation(100)
        log = model.fit(
            x[order], in_std[order], batch_size=32, shuffle=False, verbose=0,
            validation_data=(x[100:], in_std[100:]),
        ).history  # fmt: skip
        rates = Rates.of(config, state.scalers.target)
        state, ours = run_epoch(config, rates, state, prepared, Rows.of(order))
        assert float(ours.loss) == pytest.approx(log["loss"][0], rel=1e-4)
        assert float(ours.val_loss) == pytest.approx(log["val_loss"][0], rel=1e-4)
        assert float(ours.val_mae) == pytest.approx(log["val_mae"][0] * std, rel=1e-4)
    pred = predict_rows(state.params, state.scalers, config, x)
    np.testing.assert_allclose(pred, model.predict(x, verbose=0) * std + mean, atol=1e-4)


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        ({}, 200),
        ({"loss": "mse"}, 60),
        ({"loss": "mae"}, 60),
        ({"weight_decay": 0.2}, 60),
    ],
)
def test_every_step_is_keras_train_on_batch(changed: dict[str, Any], steps: int) -> None:
    config = parity_config(decay_steps=40, decay_rate=0.7, **changed)  # the rate falls to a sixth
    data = parity_data(targets=3)
    state = init_state(config, data.data)
    model = keras_head(config, state)
    run_epoch = jax.jit(fit.run_epoch, static_argnums=0)
    rng = np.random.default_rng(1)
    rates = Rates.of(config, state.scalers.target)
    sizes = np.tile([32, 32, 32, 4], steps // 4)  # an epoch of one batch is one step
    for step, size in enumerate(sizes):
        rows = rng.permutation(100)[:size]
        model.reset_metrics()
        loss, _ = model.train_on_batch(data.x[rows], data.y[rows])
        state, ours = run_epoch(config, rates, state, data.data, Rows.of(rows))
        assert float(ours.loss) == pytest.approx(float(loss), rel=1e-5), step
        assert float(ours.learning_rate) == pytest.approx(
            5e-3 * 0.7 ** (step / 40), rel=1e-5
        )  # keras/src/optimizers/schedules/learning_rate_schedule.py, ExponentialDecay
    layers = [*state.params["hidden"].values(), state.params["output"]]
    for layer, theirs in zip(layers, model.layers, strict=True):
        for name, weights in zip(("kernel", "bias"), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(layer[name], weights, rtol=0, atol=1e-5)


def test_dropout_is_keras_dropout_in_distribution() -> None:
    share, units, rows = 0.25, 512, 400
    config = HeadConfig(hidden=(units, units), dropout=share)
    eye = {"kernel": jnp.eye(units), "bias": jnp.zeros(units)}
    params = {"hidden": {"layer_0": eye, "layer_1": eye}, "output": eye}
    ones = np.ones((rows, units), np.float32)
    dropout = Dropout(jax.random.key(0), 1 - share)
    ours = np.asarray(mlp.layers(params, jnp.asarray(ones), config, dropout)[1])
    theirs = np.asarray(keras.layers.Dropout(share, seed=0)(ones, training=True))
    np.testing.assert_allclose(np.unique(ours), np.unique(theirs), rtol=1e-6)  # 0 and 4/3
    # A unit is 0 with probability p, else 1 / (1 - p): mean 1, variance p / (1 - p). The bounds are
    # four standard errors over independent units: sqrt(variance / N), and for the variance
    # sqrt((fourth central moment - variance^2) / N).
    variance = share / (1 - share)
    fourth = share + (1 - share) * (share / (1 - share)) ** 4
    for dropped in (ours, theirs):
        assert abs(dropped.mean() - 1) < 4 * np.sqrt(variance / dropped.size)
        bound = 4 * np.sqrt((fourth - variance**2) / dropped.size)
        assert abs(dropped.var() - variance) < bound
        for axis, others in ((0, rows), (1, units)):  # units and rows are drawn independently:
            spread = dropped.mean(axis=axis).var() / (variance / others)  # chi-squared / degrees
            assert abs(spread - 1) < 4 * np.sqrt(2 / dropped.shape[1 - axis])
