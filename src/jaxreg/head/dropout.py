"""Dropout: `flax.nnx.Dropout` with the same units dropped, drawn in a few microseconds on a CPU."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Key

_PARITY = 0x1BD11BDA  # Salmon et al. 2011, Parallel Random Numbers: As Easy as 1, 2, 3
_ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)


class Dropout(NamedTuple):
    """The draw of one update; both parts may be traced, so that another rate compiles nothing."""

    key: Key[Array, ""]
    keep: ArrayLike  # float32, the share of units that is kept: 1 less the rate of dropout

    def after(self, layer: int) -> "Dropout":
        """The draw after one of the layers."""
        return self._replace(key=jax.random.fold_in(self.key, layer))


def dropped(x: Float[Array, "rows units"], dropout: Dropout) -> Float[Array, "rows units"]:
    """Each number is divided by `keep` with this probability, else 0.

    Srivastava et al. 2014, Dropout: A Simple Way to Prevent Neural Networks from Overfitting.
    """
    kept = keep_mask(dropout.key, dropout.keep, x.shape)
    return jnp.where(kept, x * (1 / jnp.asarray(dropout.keep, x.dtype)), 0)


def keep_mask(key: Key[Array, ""], keep: ArrayLike, shape: tuple[int, ...]) -> Bool[Array, "..."]:
    """What `jax.random.bernoulli(key, keep, shape)` draws from a threefry key.

    On a CPU, JAX draws in a loop of 5 short programs, which costs a tenth of a step of the original
    head. Here the rounds of Threefry are written out, and XLA makes one program of them.
    """
    first, second = _threefry(key, math.prod(shape))
    mantissa = jnp.right_shift(first ^ second, 9) | jnp.uint32(0x3F800000)  # of 1 to 2
    uniform = jax.lax.bitcast_convert_type(mantissa, jnp.float32) - 1
    return (uniform < keep).reshape(shape)


def _threefry(key: Key[Array, ""], count: int) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds of the numbers from 0 to `count`, as two words of 32 bits."""
    first, second = jax.random.key_data(key)[:2]
    keys = first, second, first ^ second ^ jnp.uint32(_PARITY)
    high, low = jnp.broadcast_to(keys[0], (count,)), jnp.arange(count, dtype=jnp.uint32) + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            high = high + low
            low = jnp.left_shift(low, rotation) | jnp.right_shift(low, 32 - rotation)
            low = low ^ high
        high = high + keys[(group + 1) % 3]
        low = low + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return high, low
