"""The head by hand, in NumPy: what every unit of it says of some rows."""

from typing import NamedTuple

import numpy as np

from jaxreg.config import HeadConfig
from jaxreg.heads.mlp import Params
from jaxreg.heads.scaling import Scaler, Scalers


class Activity(NamedTuple):
    """Of some rows, without dropout."""

    inputs: np.ndarray  # (rows, inputs), as they reach the first layer
    hidden: list[np.ndarray]  # (rows, units) of each layer, after its relu
    raw: np.ndarray  # (rows, targets), target units, before the output activation


def inputs_of(scaler: Scaler, x: np.ndarray) -> np.ndarray:
    """`jaxreg.heads.scaling.scale` in NumPy: features as stored to (rows, inputs) float32."""
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is a finding, not an error
        scaled = x.astype(np.float32) - np.asarray(scaler.mean)
        scaled /= np.asarray(scaler.deviation)
        limit = float(scaler.limit)
        if np.isfinite(limit):
            np.clip(scaled, -limit, limit, out=scaled)
        if scaler.basis is None:
            return scaled
        return (scaled - np.asarray(scaler.basis.center)) @ np.asarray(scaler.basis.directions)


def activity(
    params: Params,
    scalers: Scalers,
    x: np.ndarray,
    dropout: float = 0.0,
    random: np.random.Generator | None = None,
) -> Activity:
    """What the head does with x, features as stored (rows, columns).

    With `random`, that share of units is dropped after every second hidden layer, as in training.
    """
    inputs = inputs_of(scalers.features, x)
    layers = params.get("hidden", {})
    hidden, flow = [], inputs
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(len(layers)):
            layer = layers[f"layer_{i}"]
            flow = np.maximum(flow @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"]), 0)
            hidden.append(flow)
            if i % 2 == 1 and random is not None:
                flow = flow * (random.random(flow.shape) >= dropout) / np.float32(1 - dropout)
        output = params["output"]
        raw = flow @ np.asarray(output["kernel"]) + np.asarray(output["bias"])
        if "mix" in params:
            linear = {name: np.asarray(values) for name, values in params["mix"].items()}
            columns = inputs_of(scalers.features._replace(basis=None), x)
            ridge, share = columns @ linear["kernel"] + linear["bias"], linear["share"]
            raw = share * ridge + (1 - share) * raw
        raw = raw * np.asarray(scalers.target.deviation) + np.asarray(scalers.target.mean)
    return Activity(inputs, hidden, raw)


def dead_share(hidden: np.ndarray) -> float:
    """The share of a layer's units that are 0 for every row, so that no gradient reaches them."""
    return float((hidden <= 0).all(axis=0).mean())


def is_dead(head: Activity, config: HeadConfig) -> bool:
    """Whether the output is one constant for all rows and no weight gets a gradient.

    That is so where the output's relu is 0 for all rows, and, but for the last bias, where a whole
    hidden layer is.
    """
    if config.output_activation == "relu" and (head.raw <= 0).all():
        return True
    return any((layer <= 0).all() for layer in head.hidden)
