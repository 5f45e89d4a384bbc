"""Early stopping as a pure rule, equal to Keras' EarlyStopping in mode `min` on every series."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float


class Stopping(NamedTuple):
    """The memory of the rule between epochs; every field is a scalar array."""

    best: jax.Array  # float32, loss units: the value to beat
    best_epoch: jax.Array  # int32, from 1; 0 before the first epoch
    wait: jax.Array  # int32, epochs since best_epoch
    epochs: jax.Array  # int32, values seen


def start() -> Stopping:
    """The state before the first epoch."""
    return Stopping(
        best=jnp.array(jnp.inf, jnp.float32),
        best_epoch=jnp.array(0, jnp.int32),
        wait=jnp.array(0, jnp.int32),
        epochs=jnp.array(0, jnp.int32),
    )


def update(
    state: Stopping,
    value: Float[Array, ""],
    patience: ArrayLike,
    min_delta: ArrayLike,
) -> tuple[Stopping, Bool[Array, ""]]:
    """Take the value of one more epoch; returns the new state and whether training should stop.

    A value improves if `value + min_delta < best`, in float32 as Keras compares. The first always
    does, a NaN too, which nothing then beats. Otherwise it stops once `patience` epochs have passed
    without improvement; 0 and 1 act alike.
    """
    epochs = state.epochs + 1
    improved = (state.epochs == 0) | (value + min_delta < state.best)
    wait = jnp.where(improved, 0, state.wait + 1)
    after = Stopping(
        best=jnp.where(improved, value, state.best),
        best_epoch=jnp.where(improved, epochs, state.best_epoch),
        wait=wait,
        epochs=epochs,
    )
    return after, ~improved & (wait >= patience)
