"""Rows in batches, and sums over them in which each number has its weight."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxreg.head.scaling import ArrayOf
from jaxreg.head.state import Data, Rows

FILL = 64  # a batch of fewer rows than it may have is filled up to a multiple of this


def rows_of_batch(most: int, rows: int) -> int:
    """How many rows a batch has room for, at most `most`, when there are so many rows in all.

    Filled up, because the last bits of a sum depend on how many numbers it is of: so they do not
    depend on the capacity that the rows have.
    """
    return min(most, -(-rows // FILL) * FILL)


def batches_of(
    rows: Rows, most: int
) -> tuple[Int[Array, "batches size"], Bool[Array, "batches size"], Int[Array, ""]]:
    """The rows cut into batches of at most `most`, which entries are real, and how many batches.

    The last batch is filled up; where rows are fewer than their capacity, unused ones follow.
    """
    capacity = rows.numbers.shape[0]
    size = rows_of_batch(most, capacity)
    padded = jnp.pad(jnp.asarray(rows.numbers), (0, -capacity % size), mode="edge")
    padded = padded.reshape(-1, size)
    real = (jnp.arange(padded.size) < rows.used).reshape(-1, size)
    return padded, real, (jnp.asarray(rows.used) + size - 1) // size


def batch_of(
    data: Data, rows: Int[Array, " rows"], real: Bool[Array, " rows"]
) -> tuple[Array, Array, Array]:
    """Features, targets and weights of some rows; a row that is not real has no weight."""
    weights = jnp.where(real[:, None], jnp.asarray(data.weights)[rows], 0)
    return jnp.asarray(data.x)[rows], jnp.asarray(data.y)[rows], weights


def weighted_sum(
    values: Float[Array, "rows targets"], weights: Float[ArrayOf, "rows targets"]
) -> Float[Array, ""]:
    """The sum over rows of the mean over targets of weighted values."""
    return jnp.where(weights > 0, weights * values, 0).mean(axis=1).sum()


def weight_of(weights: Float[ArrayOf, "rows targets"]) -> Float[Array, ""]:
    """The sum over rows of the mean over targets of weights; exact where each is 1."""
    return jnp.asarray(weights).sum() / weights.shape[1]
