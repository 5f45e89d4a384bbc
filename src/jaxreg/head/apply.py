"""From rows of features to predictions, activations and losses."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxreg.head import blend, mlp, scaling
from jaxreg.head.losses import huber
from jaxreg.head.scaling import ArrayOf, Scalers
from jaxreg.head.state import Rates
from jaxreg.train_config import HeadConfig

ROWS = 512  # rows at a time where no gradient is taken: limits the memory, not the result


class Activations(NamedTuple):
    """The values of every layer for some rows."""

    inputs: ArrayOf  # (rows, inputs) at the first layer; of a blend in training more, see `project`
    hidden: Sequence[ArrayOf]  # each layer (rows, units), after its relu and before its dropout
    raw: ArrayOf  # (rows, targets) target units, before the output activation


def forward(
    params: mlp.Params,
    scalers: Scalers,
    config: HeadConfig,
    x: Float[ArrayOf, "rows features"],
    dropout_key: Key[Array, ""] | None = None,
) -> Float[Array, "rows targets"]:
    """Rows of `Data` to predictions in target units: un-scaled, then the output activation."""
    pred = _activations(params, scalers, config, x, dropout_key).raw
    return jax.nn.relu(pred) if config.output_activation == "relu" else jnp.asarray(pred)


def _activations(
    params: mlp.Params,
    scalers: Scalers,
    config: HeadConfig,
    x: Float[ArrayOf, "rows features"],
    dropout_key: Key[Array, ""] | None = None,
) -> Activations:
    inputs = jnp.asarray(x) if config.components else scaling.scale(scalers.features, x)
    own = {name: layers for name, layers in params.items() if name != "blend"}
    width = mlp.inputs_of(own)
    hidden, raw = mlp.layers(own, inputs[:, :width], config, dropout_key)
    if its := params.get("blend"):
        given = inputs[:, width:]
        ridge = given if config.components else blend.ridge_of(its, scalers, x)
        raw = blend.weighted(its["share"], ridge, raw)
    return Activations(inputs, hidden, scaling.unscale(scalers.target, raw))


def predict_rows(
    params: mlp.Params, scalers: Scalers, config: HeadConfig, x: ArrayOf
) -> np.ndarray:
    """Predictions (rows, targets) in target units and the dtype of `params`, for x of any length.

    x are features as stored, also with `components`: the scaler then has the basis.
    x is read in blocks of one size, so it may stay on the host, and every length is one program.
    """
    static = HeadConfig(hidden=config.hidden_layers, output_activation=config.output_activation)
    blocks = [np.zeros((0, scalers.target.mean.shape[0]), scalers.target.mean.dtype)]
    for rows, padded in _blocks(x):
        blocks.append(np.asarray(_forward(params, scalers, static, padded))[:rows])
    return np.concatenate(blocks)


def activations(
    params: mlp.Params,
    scalers: Scalers,
    config: HeadConfig,
    x: ArrayOf,
    dropout_key: Key[Array, ""] | None = None,
) -> Activations:
    """The values of every layer, on the host, for x as `predict_rows` takes it; at least one row.

    With a key, units are dropped as in training, the same ones in each block of ROWS rows.
    """
    static = HeadConfig(hidden=config.hidden_layers, dropout=config.dropout)
    each = [
        jax.tree.map(lambda values: np.asarray(values)[:rows], found)  # noqa: B023
        for rows, padded in _blocks(x)
        for found in [_jit_activations(params, scalers, static, padded, dropout_key)]
    ]
    return jax.tree.map(lambda *blocks: np.concatenate(blocks), *each)


def _blocks(x: ArrayOf) -> Iterator[tuple[int, np.ndarray]]:
    """ROWS rows at a time, the last block padded, and how many of them are real."""
    for start in range(0, x.shape[0], ROWS):
        rows = np.asarray(x[start : start + ROWS])
        yield len(rows), np.pad(rows, ((0, ROWS - len(rows)), (0, 0)))


_forward = jax.jit(forward, static_argnames="config")
_jit_activations = jax.jit(_activations, static_argnames="config")


def losses_of(
    pred: Float[Array, "rows targets"],
    y: Float[ArrayOf, "rows targets"],
    rates: Rates,
    scalers: Scalers,
) -> Float[Array, " rows"]:
    """The loss of each row."""
    # One target is measured in its own units; std are 1 where the target is not scaled.
    std = scalers.target.std
    return huber(pred, y, rates.huber_delta, std if std.shape[0] > 1 else None)
