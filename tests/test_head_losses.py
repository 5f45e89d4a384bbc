"""The loss against the formula by hand in NumPy; test_heads_keras_parity has Keras' own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.errors import InputError
from jaxreg.head.losses import huber

PRED = np.array([[0.0, 1.0], [0.3, -2.0], [5.0, 0.5]], np.float32)
TARGET = np.array([[0.1, -1.0], [0.3, -1.5], [2.0, 0.0]], np.float32)


def by_hand(pred: np.ndarray, target: np.ndarray, delta: np.ndarray | float) -> np.ndarray:
    error = np.abs(pred.astype(np.float64) - target)
    return np.where(error <= delta, 0.5 * error**2, delta * error - 0.5 * np.square(delta))


@pytest.mark.parametrize("delta", [0.5, 1.0, 10.0])
def test_each_row_is_the_mean_over_its_targets(delta: float) -> None:
    expected = by_hand(PRED, TARGET, delta).mean(axis=1)
    np.testing.assert_allclose(
        huber(jnp.asarray(PRED), jnp.asarray(TARGET), delta), expected, rtol=1e-6
    )


def test_a_scale_divides_error_and_delta_of_each_target() -> None:
    scale = np.array([0.1, 100.0], np.float32)
    expected = by_hand(PRED / scale, TARGET / scale, 0.5 / scale).mean(axis=1)
    got = huber(jnp.asarray(PRED), jnp.asarray(TARGET), 0.5, jnp.asarray(scale))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("delta", [0.5, 1e3, 1e9, 1e30])
def test_the_gradient_is_the_error_cut_at_delta(delta: float) -> None:
    target = jnp.zeros((4, 1))
    error = jnp.array([[1e-6], [-0.01], [0.3], [7.0]])
    gradient = jax.grad(lambda pred: huber(pred, target, delta).sum())(error)
    np.testing.assert_allclose(gradient, np.clip(error, -delta, delta), rtol=1e-6)


@pytest.mark.parametrize(
    ("pred", "target"),
    [((4, 1), (4,)), ((4,), (4, 1)), ((4, 2), (4, 1)), ((3, 1), (4, 1)), ((4,), (4,))],
)
def test_other_shapes_raise_while_tracing(pred: tuple, target: tuple) -> None:
    with pytest.raises(InputError) as raised:
        jax.eval_shape(lambda p, t: huber(p, t, 0.5), jnp.zeros(pred), jnp.zeros(target))
    assert str(pred) in str(raised.value)
    assert str(target) in str(raised.value)
