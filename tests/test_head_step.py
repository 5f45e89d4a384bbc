"""The parts of a step whose form was chosen for speed, against the plain forms of JAX and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg.head import dropout
from jaxreg.head.layer_product import FEW_ROWS, layer_product

KEY = jax.random.fold_in(jax.random.key(7), 3)


@pytest.mark.parametrize("shape", [(32, 256), (5, 3), (1, 1)])
@pytest.mark.parametrize("keep", [0.75, 0.1])
def test_mask_is_that_of_jax_random(shape: tuple[int, int], keep: float) -> None:
    found = jax.jit(dropout.keep_mask, static_argnums=(1, 2))(KEY, keep, shape)
    np.testing.assert_array_equal(found, jax.random.bernoulli(KEY, keep, shape))


def test_mask_under_vmap_is_that_of_each_key() -> None:
    keys = jax.random.split(KEY, 3)
    found = jax.vmap(lambda key: dropout.keep_mask(key, 0.5, (4, 8)))(keys)
    np.testing.assert_array_equal(found, [jax.random.bernoulli(k, 0.5, (4, 8)) for k in keys])


def test_numbers_that_are_kept_are_divided_by_their_share() -> None:
    x = np.arange(1.0, 13.0, dtype=np.float32).reshape(3, 4)
    expected = np.where(jax.random.bernoulli(KEY, 0.6, x.shape), x / np.float32(0.6), 0)
    for keep, numbers in [(0.6, expected), (1.0, x)]:
        found = dropout.dropped(jnp.asarray(x), dropout.Dropout(KEY, keep))
        np.testing.assert_allclose(found, numbers, rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 32, FEW_ROWS, FEW_ROWS + 1])
@pytest.mark.parametrize("members", [None, 2])
def test_product_and_gradients_are_those_of_numpy(rows: int, members: int | None) -> None:
    rng = np.random.default_rng(0)
    size = () if members is None else (members,)
    x, kernel = rng.normal(size=(*size, rows, 48)), rng.normal(size=(*size, 48, 20))
    gradient = rng.normal(size=(*size, rows, 20))
    single = [a.astype(np.float32) for a in (x, kernel, gradient)]

    def both(x: jax.Array, kernel: jax.Array, gradient: jax.Array) -> tuple[jax.Array, ...]:
        product, back = jax.vjp(layer_product, x, kernel)
        return product, *back(gradient)

    found = jax.jit(both if members is None else jax.vmap(both))(*single)
    turned = [np.swapaxes(a, -1, -2) for a in (x, kernel)]
    expected = x @ kernel, gradient @ turned[1], turned[0] @ gradient
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
