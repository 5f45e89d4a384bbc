"""Adam with an exponentially decaying rate, equal to Keras' step by step."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

B1, B2, EPSILON = 0.9, 0.999, 1e-7  # keras.optimizers.Adam's defaults


def decayed_rate(
    step: ArrayLike, learning_rate: ArrayLike, decay_steps: ArrayLike, decay_rate: ArrayLike
) -> Float[Array, ""]:
    """`learning_rate * decay_rate ** (step / decay_steps)`, for the update after `step` others.

    `optax.exponential_decay` is the same but needs Python numbers; here they may be traced, so that
    another rate compiles nothing.
    """
    exponent = jnp.asarray(step, jnp.float32) / decay_steps
    return jnp.asarray(learning_rate * jnp.power(decay_rate, exponent), jnp.float32)


def decayed_weights(params: Any, rate: ArrayLike, decay: ArrayLike) -> Any:
    """All weights and biases before an update, less their decay, as Keras' `weight_decay`.

    Keras takes `rate · decay` of each off, apart from the gradient (Loshchilov and Hutter 2019,
    Decoupled Weight Decay Regularization). Here it is no part of the optimizer, whose state would
    change with it.
    """
    return jax.tree.map(lambda weight: weight - weight * decay * rate, params)


def adam(
    learning_rate: ArrayLike, decay_steps: ArrayLike, decay_rate: ArrayLike
) -> optax.GradientTransformation:
    """Keras' Adam under Keras' ExponentialDecay; its state does not depend on the arguments.

    Keras adds epsilon to `sqrt(v)` before the bias correction, `optax.adam` after it. So the
    moments are those of Optax and the update is that of Keras: `a · m / (sqrt(v) + 1e-7)`, where
    the number `a` has both corrections (Kingma and Ba 2015, Adam, the end of section 2). This form
    divides each number once; `optax.adam` divides it three times.
    """

    def schedule(step: Any) -> Float[Array, ""]:
        return decayed_rate(step, learning_rate, decay_steps, decay_rate)

    return optax.chain(_scale_by_keras_adam(), optax.scale_by_learning_rate(schedule))


def _scale_by_keras_adam() -> optax.GradientTransformation:
    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        count = optax.safe_increment(state.count)
        mu = optax.tree.update_moment(updates, state.mu, B1, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, B2, 2)
        size = jnp.sqrt(1 - B2**count) / (1 - B1**count)
        steps = jax.tree.map(lambda m, v: size * m / (jnp.sqrt(v) + EPSILON), mu, nu)
        return steps, optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(optax.scale_by_adam(B1, B2).init, update)
