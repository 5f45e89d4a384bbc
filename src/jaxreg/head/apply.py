"""From rows of features to predictions, activations and losses."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key

from jaxreg.head import blend, mlp, scaling
from jaxreg.head.dropout import Dropout
from jaxreg.head.scaling import ArrayOf, Scalers, padded_blocks
from jaxreg.head.target_outputs import decode, limited, types_for
from jaxreg.train_config import HeadConfig

ROWS = 512  # rows at a time where no gradient is taken: limits the memory, not the result


class Activations(NamedTuple):
    """The values of every layer for some rows, on the host."""

    inputs: ArrayOf  # (rows, inputs) at the first layer; of a blend in training more, see `prepare`
    hidden: Sequence[ArrayOf]  # each layer (rows, units), after its relu and before its dropout
    raw: np.ndarray  # (rows, outputs) float64, target units, before the output's relu


def forward(
    params: mlp.Params,
    scalers: Scalers,
    config: HeadConfig,
    x: Float[ArrayOf, "rows features"],
    dropout: Dropout | None = None,
) -> Float[Array, "rows targets"]:
    """Rows of `Data` to predictions in std of the targets, after the output activation.

    The activation acts in target units: a relu is cut where a target is 0. A circular target is two
    outputs, as in `target_outputs`.
    """
    *_, raw = _layers(params, scalers, config, x, dropout)
    if config.output_activation == "linear":
        return raw
    zero = (0.0 - scalers.target.mean) / scalers.target.std
    return jnp.where(raw <= zero[None, :], zero[None, :], raw)  # NaN stays NaN


def _layers(
    params: mlp.Params,
    scalers: Scalers,
    config: HeadConfig,
    x: Float[ArrayOf, "rows features"],
    dropout: Dropout | None = None,
) -> tuple[Float[Array, "rows inputs"], list[Array], Float[Array, "rows targets"]]:
    """Inputs, hidden layers and, in std of the targets, the output before its relu."""
    inputs = jnp.asarray(x) if config.components else scaling.scale(scalers.features, x)
    own = {name: layers for name, layers in params.items() if name != "blend"}
    width = mlp.inputs_of(own)
    hidden, raw = mlp.layers(own, inputs[:, :width], config, dropout)
    raw = limited(config, scalers.target, raw, linear=config.head == "ridge")
    if its := params.get("blend"):
        given = inputs[:, width:]
        ridge = given if config.components else blend.ridge_of(its, scalers, x)
        ridge = limited(config, scalers.target, ridge, linear=True)
        raw = blend.weighted(its["share"], ridge, raw)
    return inputs, hidden, raw


def predict_rows(
    params: mlp.Params, scalers: Scalers, config: HeadConfig, x: ArrayOf
) -> np.ndarray:
    """Predictions (rows, targets) in target units, float64, for x of any length.

    x are features as stored, also with `components`: the scaler then has the basis.
    x is read in blocks of one size, so it may stay on the host, and every length is one program.
    """
    outputs = predict_outputs(params, scalers, config, x)
    return decode(types_for(config, outputs.shape[1]), outputs)


def predict_outputs(
    params: mlp.Params, scalers: Scalers, config: HeadConfig, x: ArrayOf
) -> np.ndarray:
    """`predict_rows` before a circular target is made of its two outputs: (rows, outputs)."""
    static = static_of(config, output_activation=config.output_activation)
    blocks = [np.zeros((0, scalers.target.mean.shape[0]), np.float32)]
    for rows, padded in padded_blocks(x, ROWS):
        blocks.append(np.asarray(_forward(params, scalers, static, padded))[:rows])
    return _in_units(scalers, config, np.concatenate(blocks))


def predict_inputs(
    params: mlp.Params, scalers: Scalers, config: HeadConfig, x: ArrayOf, rows: np.ndarray
) -> np.ndarray:
    """`predict_rows` for some rows of the features as `fit` takes them, which may be on the device.

    The number of blocks of ROWS rows is filled up to a power of two, so that few programs are
    compiled.
    """
    components = config.components
    static = static_of(config, output_activation=config.output_activation, components=components)
    blocks = 1 << max(0, -(-len(rows) // ROWS) - 1).bit_length()
    padded = np.zeros(blocks * ROWS, np.int32)
    padded[: len(rows)] = rows
    outputs = _forward_blocks(params, scalers, static, x, padded.reshape(blocks, ROWS))
    outputs = np.asarray(outputs).reshape(len(padded), -1)[: len(rows)]
    outputs = _in_units(scalers, config, outputs)
    return decode(types_for(config, outputs.shape[1]), outputs)


def _in_units(scalers: Scalers, config: HeadConfig, outputs: np.ndarray) -> np.ndarray:
    pred = scaling.targets_of(scalers.target, outputs)
    return np.maximum(pred, 0.0) if config.output_activation == "relu" else pred


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
    static, dropout = static_of(config), None
    if dropout_key is not None and config.dropout:
        dropout = Dropout(dropout_key, np.float32(1 - config.dropout))
    each = [
        jax.tree.map(lambda values: np.asarray(values)[:rows], found)  # noqa: B023
        for rows, padded in padded_blocks(x, ROWS)
        for found in [_jit_layers(params, scalers, static, padded, dropout)]
    ]
    inputs, hidden, raw = jax.tree.map(lambda *blocks: np.concatenate(blocks), *each)
    return Activations(inputs, hidden, scaling.targets_of(scalers.target, raw))


def static_of(config: HeadConfig, **settings: Any) -> HeadConfig:
    """What decides the program of a head without its training: a key of compiled programs."""
    head = "ridge" if config.head == "ridge" else "mlp"
    hidden, kinds = config.hidden_layers, config.target_type
    return HeadConfig(head=head, hidden=hidden, target_type=kinds, **settings)


@functools.partial(jax.jit, static_argnums=2)
def _forward_blocks(
    params: mlp.Params,
    scalers: Scalers,
    config: HeadConfig,
    x: ArrayOf,
    rows: Int[ArrayOf, "blocks rows"],
) -> Float[Array, "blocks rows targets"]:
    return lax.map(lambda some: forward(params, scalers, config, jnp.asarray(x)[some]), rows)


_forward = jax.jit(forward, static_argnames="config")
_jit_layers = jax.jit(_layers, static_argnames="config")
