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
def test_each_number_has_its_loss(delta: float) -> None:
    expected = by_hand(PRED, TARGET, delta)
    got = huber(jnp.asarray(PRED), jnp.asarray(TARGET), np.full(2, delta, np.float32))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_each_target_has_its_own_delta() -> None:
    delta = np.array([0.2, 1.9], np.float32)
    got = huber(jnp.asarray(PRED), jnp.asarray(TARGET), delta)
    np.testing.assert_allclose(got, by_hand(PRED, TARGET, delta), rtol=1e-6)


@pytest.mark.parametrize("delta", [0.5, 1e3, 1e9, 1e30])
def test_the_gradient_is_the_error_cut_at_delta(delta: float) -> None:
    target = jnp.zeros((4, 1))
    error = jnp.array([[1e-6], [-0.01], [0.3], [7.0]])
    gradient = jax.grad(lambda pred: huber(pred, target, np.full(1, delta, np.float32)).sum())(
        error
    )
    np.testing.assert_allclose(gradient, np.clip(error, -delta, delta), rtol=1e-6)


@pytest.mark.parametrize(
    ("pred", "target"),
    [((4, 1), (4,)), ((4,), (4, 1)), ((4, 2), (4, 1)), ((3, 1), (4, 1)), ((4,), (4,))],
)
def test_other_shapes_raise_while_tracing(pred: tuple, target: tuple) -> None:
    with pytest.raises(InputError) as raised:
        jax.eval_shape(
            lambda p, t: huber(p, t, np.full(2, 0.5, np.float32)),
            jnp.zeros(pred),
            jnp.zeros(target),
        )
    assert str(pred) in str(raised.value)
    assert str(target) in str(raised.value)
