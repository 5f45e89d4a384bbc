"""The losses, one value for each number of the targets, so that each can have its own weight."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxreg.errors import InputError
from jaxreg.head.scaling import ArrayOf


def loss_of(
    kind: str,
    pred: Float[ArrayOf, "..."],
    target: Float[ArrayOf, "..."],
    delta: Float[ArrayOf, " targets"],
) -> Float[Array, "rows targets"]:
    """The loss of each number: huber; mse, `e²`; or mae, `|e|`. Only huber has a delta.

    mse and mae are Keras' losses of the same names, before any mean; mse is twice a Huber loss.

    Raises:
        InputError: as `huber`.
    """
    if kind == "huber":
        return huber(pred, target, delta)
    _check_shapes(pred, target)
    error = jnp.asarray(pred - target)
    return jnp.square(error) if kind == "mse" else jnp.abs(error)


def huber(
    pred: Float[ArrayOf, "..."],
    target: Float[ArrayOf, "..."],
    delta: Float[ArrayOf, " targets"],
) -> Float[Array, "rows targets"]:
    """Huber loss of each number.

    `0.5 e²` if `|e| <= delta`, else `delta |e| − 0.5 delta²`, as `keras.losses.Huber`.

    Args:
        pred: (rows, targets) in std.
        target: (rows, targets) in std.
        delta: (targets,) in std, where the loss turns from square to straight.

    Raises:
        InputError: the two shapes differ or are not (rows, targets); broadcasting (rows, 1) against
            (rows,) would train every prediction towards the mean.
    """
    _check_shapes(pred, target)
    error, limit = pred - target, jnp.asarray(delta)[None, :]
    size = jnp.abs(error)
    # Not optax.huber_loss: its gradient is (size − delta) + delta in disguise, which float32 rounds
    # to nothing where the error is far below delta.
    return jnp.where(size <= limit, 0.5 * jnp.square(error), limit * size - 0.5 * jnp.square(limit))


def _check_shapes(pred: Float[ArrayOf, "..."], target: Float[ArrayOf, "..."]) -> None:
    if pred.shape != target.shape or pred.ndim != 2:
        raise InputError(
            f"loss of predictions {pred.shape} against targets {target.shape}",
            expected="two equal shapes (rows, targets)",
            remedy="give targets one column per output, as targets[:, None] for one",
        )
