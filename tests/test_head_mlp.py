"""The Flax head against NumPy by hand and the formulas of glorot-uniform and inverted dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.head import apply, mlp, scaling
from jaxreg.head.dropout import Dropout
from jaxreg.head.scaling import Scalers
from jaxreg.train_config import HeadConfig

KEY = jax.random.key(0)


def test_output_is_relu_layers_and_a_linear_one() -> None:
    config = HeadConfig(hidden=(5, 4))
    params = mlp.init(KEY, 3, config, 2)
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    y = x
    for name in ("layer_0", "layer_1"):
        layer = params["hidden"][name]
        y = np.maximum(y @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"]), 0)
    output = jax.device_get(params["output"])
    expected = y @ output["kernel"] + output["bias"]
    np.testing.assert_allclose(mlp.layers(params, jnp.asarray(x), config)[1], expected, atol=1e-6)


def test_activations_are_those_of_numpy_for_any_number_of_rows() -> None:
    config = HeadConfig(hidden=(5, 4), output_activation="relu")
    params = jax.device_get(mlp.init(KEY, 3, config, 2))
    x = np.random.default_rng(0).normal(3, 2, size=(apply.ROWS + 1, 3)).astype(np.float32)
    scalers = Scalers(scaling.feature_scaler(x), scaling.target_scaler(x[:, :2]))
    found = apply.activations(params, scalers, config, x)
    y = np.clip((x - x.mean(axis=0)) / x.std(axis=0), -4, 4)
    np.testing.assert_allclose(found.inputs, y, atol=1e-5)
    for values, layer in zip(found.hidden, params["hidden"].values(), strict=True):
        y = np.maximum(y @ layer["kernel"] + layer["bias"], 0)
        np.testing.assert_allclose(values, y, atol=1e-5)
    y = y @ params["output"]["kernel"] + params["output"]["bias"]
    y = y * x[:, :2].std(axis=0) + x[:, :2].mean(axis=0)
    np.testing.assert_allclose(found.raw, y, rtol=1e-4, atol=1e-5)
    predictions = apply.predict_rows(params, scalers, config, x)
    np.testing.assert_allclose(predictions, np.maximum(y, 0), rtol=1e-4, atol=1e-5)


def test_what_overflows_is_infinite_and_no_error() -> None:
    params = mlp.init(KEY, 3, HeadConfig(hidden=(5,)), 1)
    params = jax.tree.map(lambda values: 1e3 * np.asarray(values), params)
    plain = Scalers(scaling.identity_scaler(3), scaling.unscaled_targets(1))
    x = np.full((2, 3), 3e38, np.float32)
    assert not np.isfinite(apply.activations(params, plain, HeadConfig(hidden=(5,)), x).raw).all()


def test_kernels_are_glorot_uniform_and_biases_zero() -> None:
    params = mlp.init(KEY, 300, HeadConfig(hidden=(200,)), 1)
    kernel = np.asarray(params["hidden"]["layer_0"]["kernel"])
    limit = np.sqrt(6 / (300 + 200))  # Glorot & Bengio 2010, equation 16
    assert np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.01)
    assert not np.any(params["hidden"]["layer_0"]["bias"])


@pytest.mark.parametrize(("hidden", "drops"), [((), False), ((64,), False), ((64, 64), True)])
def test_dropout_comes_after_every_second_hidden_layer(
    hidden: tuple[int, ...], drops: bool
) -> None:
    config = HeadConfig(hidden=hidden)
    params = mlp.init(KEY, 3, config, 1)
    x = jnp.ones((8, 3))
    dropped = mlp.layers(params, x, config, Dropout(KEY, 0.5))[1]
    same = np.array_equal(mlp.layers(params, x, config)[1], dropped)
    assert same is not drops


def test_dropout_keeps_the_expected_output() -> None:
    config = HeadConfig(hidden=(16, 32))
    params = mlp.init(KEY, 3, config, 1)
    x = jnp.array([[1.0, -0.5, 2.0]])
    keys = jax.random.split(KEY, 4000)
    drawn = jax.vmap(lambda key: mlp.layers(params, x, config, Dropout(key, 0.75))[1])(keys)
    # the layer after the dropped one is linear, so the mean over masks is the output without any
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert error > 0
    assert abs(np.mean(drawn) - mlp.layers(params, x, config)[1][0, 0]) < 4 * error


def test_two_dropouts_draw_different_masks() -> None:
    config = HeadConfig(hidden=(64, 64, 64, 64))
    params = mlp.init(KEY, 64, config, 64)
    eye = {"kernel": jnp.eye(64), "bias": jnp.zeros(64)}
    params = {"hidden": dict.fromkeys(params["hidden"], eye), "output": eye}
    kept = np.asarray(mlp.layers(params, jnp.ones((100, 64)), config, Dropout(KEY, 0.5))[1]) > 0
    # twice the same mask would keep a half of the units, two independent ones keep a quarter
    assert kept.mean() == pytest.approx(0.25, abs=0.02)


def test_float64_in_float64_out() -> None:
    config = HeadConfig(hidden=(4,))
    with jax.enable_x64(True):
        params = jax.tree.map(lambda a: a.astype(jnp.float64), mlp.init(KEY, 3, config, 1))
        assert mlp.layers(params, jnp.ones((2, 3), jnp.float64), config)[1].dtype == jnp.float64
