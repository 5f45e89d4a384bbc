"""From rows of features to predictions, and what a row's loss is."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxreg.head import blend, mlp, scaling
from jaxreg.head.losses import huber
from jaxreg.head.scaling import ArrayOf, Scalers
from jaxreg.head.state import Rates
from jaxreg.train_config import HeadConfig

ROWS = 512  # rows at a time where no gradient is taken: bounds the memory, not the result


def forward(
    params: mlp.Params,
    scalers: Scalers,
    config: HeadConfig,
    x: Float[ArrayOf, "rows features"],
    dropout_key: Key[Array, ""] | None = None,
) -> Float[Array, "rows targets"]:
    """Rows of `Data` to predictions in target units: un-scaled, then the output activation."""
    inputs = jnp.asarray(x) if config.components else scaling.scale(scalers.features, x)
    own = {name: layers for name, layers in params.items() if name != "blend"}
    width = mlp.inputs_of(own)
    raw = mlp.apply(own, inputs[:, :width], config, dropout_key)
    if its := params.get("blend"):
        given = inputs[:, width:]
        ridge = given if config.components else blend.ridge_of(its, scalers, x)
        raw = blend.weighted(its["share"], ridge, raw)
    pred = scaling.unscale(scalers.target, raw)
    return jax.nn.relu(pred) if config.output_activation == "relu" else pred


def predict_rows(
    params: mlp.Params, scalers: Scalers, config: HeadConfig, x: ArrayOf
) -> np.ndarray:
    """Predictions (rows, targets) in target units and the dtype of `params`, for x of any length.

    x are features as stored, also with `components`: the scaler then has the basis.
    x is read in blocks of one size, so it may stay on the host, and every length is one program.
    """
    static = HeadConfig(hidden=config.hidden_layers, output_activation=config.output_activation)
    blocks = [np.zeros((0, scalers.target.mean.shape[0]), scalers.target.mean.dtype)]
    for start in range(0, x.shape[0], ROWS):
        rows = np.asarray(x[start : start + ROWS])
        padded = np.pad(rows, ((0, ROWS - len(rows)), (0, 0)))
        blocks.append(np.asarray(_forward(params, scalers, static, padded))[: len(rows)])
    return np.concatenate(blocks)


_forward = jax.jit(forward, static_argnames="config")


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
