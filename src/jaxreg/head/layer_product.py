"""The matrix product of a layer, with the gradient of the kernel in the form that is fast."""

from typing import Any

import jax
from jax import lax
from jaxtyping import Array, Float

FEW_ROWS = 128  # up to here a copy of the rows costs less than it saves

_ROWS_TIMES_KERNEL = (((1,), (0,)), ((), ()))


def layer_product(
    x: Float[Array, "rows inputs"], kernel: Float[Array, "inputs units"], *_: Any, **__: Any
) -> Float[Array, "rows units"]:
    """`x @ kernel`; takes the arguments of `lax.dot_general` as `flax.nnx.Linear` gives them.

    The gradient of the kernel is `xᵀ @ g`. On a CPU, XLA gives this product to YNNPACK only if the
    transposed rows are an array of their own; else to Eigen, which takes longer for few rows.
    """
    return _product(x, kernel) if x.shape[0] <= FEW_ROWS else _plain(x, kernel)


def _plain(x: Array, kernel: Array) -> Array:
    return lax.dot_general(x, kernel, _ROWS_TIMES_KERNEL)


@jax.custom_vjp
def _product(x: Array, kernel: Array) -> Array:
    return _plain(x, kernel)


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _plain(x, kernel), (x, kernel)


def _backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = kept
    of_kernel = lax.platform_dependent(x, gradient, cpu=_by_copy, default=_by_plain)
    return _plain(gradient, kernel.T), of_kernel


def _by_copy(x: Array, gradient: Array) -> Array:
    # without the barrier XLA makes one product of both again
    return _plain(lax.optimization_barrier(x.T), gradient)


def _by_plain(x: Array, gradient: Array) -> Array:
    return _plain(x.T, gradient)


_product.defvjp(_forward, _backward)
