"""The pure functions against Keras itself: Adam, early stopping, and three epochs of training.

The only test module of the heads that imports Keras, which takes seconds.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxreg.config import HeadConfig
from jaxreg.heads import fit, optimizer, stopping
from jaxreg.heads.state import Data, Rates, init_state

keras = pytest.importorskip("keras")

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

    callback = keras.callbacks.EarlyStopping(
        "val_loss", mode="min", patience=patience, min_delta=min_delta
    )
    callback.set_model(Model())
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_loss": float(np.float32(value))})
        if callback.model.stop_training:
            break
    return epoch + 1, callback.best_epoch + 1


@pytest.mark.parametrize("values", SERIES.values(), ids=SERIES)
def test_stopping_is_keras_early_stopping(values: list[float]) -> None:
    update = jax.jit(stopping.update)
    for patience in (0, 1, 2, 3, 10):
        for min_delta in (0.0, 3e-4, 0.25, 100.0):
            state, stop = stopping.start(), False
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
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-2, decay_steps=30, decay_rate=0.5)
    theirs = keras.optimizers.Adam(schedule)
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
        np.testing.assert_allclose(params, np.asarray(variable), rtol=0, atol=2e-4 * moved + 1e-7)


@pytest.mark.parametrize(("targets", "activation"), [(1, "linear"), (3, "linear"), (1, "relu")])
def test_three_epochs_are_keras_fit(targets: int, activation: str) -> None:
    config = HeadConfig(
        hidden=(16, 12, 8),
        dropout=0.0,
        output_activation=activation,
        scale_features=False,
        scale_target=False,
        huber_delta=0.4,
        learning_rate=5e-3,
        decay_steps=4,
        decay_rate=0.7,
        batch_size=32,
        epochs=3,
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 6)).astype(np.float32)
    y = np.abs(x[:, :targets] * 2 + x[:, 3:4] + 1).astype(np.float32)
    data = Data(x[:100], y[:100], x[100:], y[100:])  # three batches of 32 and one of 4
    state = init_state(config, data)

    layers = [*state.params["hidden"].values(), state.params["output"]]
    dense = [keras.layers.Dense(n, "relu") for n in config.hidden]
    model = keras.Sequential([keras.Input((6,)), *dense, keras.layers.Dense(targets, activation)])
    model.set_weights([np.asarray(layer[name]) for layer in layers for name in ("kernel", "bias")])
    schedule = keras.optimizers.schedules.ExponentialDecay(5e-3, decay_steps=4, decay_rate=0.7)
    model.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.Huber(delta=0.4),
        metrics=["mae"],
        jit_compile=False,
    )

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
        state, ours = run_epoch(config, Rates.of(config), state, data, jnp.asarray(order))
        assert float(ours.loss) == pytest.approx(log["loss"][0], rel=1e-4)
        assert float(ours.val_loss) == pytest.approx(log["val_loss"][0], rel=1e-4)
        assert float(ours.val_mae) == pytest.approx(log["val_mae"][0], rel=1e-4)
        last = int(model.optimizer.iterations) - 1
        assert (int(state.step), int(state.epoch)) == (last + 1, epoch + 1)
        assert float(ours.learning_rate) == pytest.approx(float(schedule(last)), rel=1e-5)
    kernel = np.asarray(state.params["output"]["kernel"])
    np.testing.assert_allclose(kernel, model.layers[-1].get_weights()[0], rtol=1e-3, atol=1e-5)
