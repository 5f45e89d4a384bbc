"""The head by hand, in NumPy: what every unit of it says of some rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxreg.head.mlp import Params
from jaxreg.head.scaling import Scaler, Scalers
from jaxreg.train_config import HeadConfig


class Activity(NamedTuple):
    """Of some rows, without dropout."""

    inputs: np.ndarray  # (rows, inputs), as they reach the first layer
    hidden: list[np.ndarray]  # (rows, units) of each layer, after its relu
    raw: np.ndarray  # (rows, targets), target units, before the output activation


def inputs_of(scaler: Scaler, x: np.ndarray) -> np.ndarray:
    """`jaxreg.head.scaling.scale` in NumPy: features as stored to (rows, inputs) float32."""
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is a finding, not an error
        scaled = x.astype(np.float32) - np.asarray(scaler.mean)
        scaled /= np.asarray(scaler.std)
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
        if "blend" in params:
            linear = {name: np.asarray(values) for name, values in params["blend"].items()}
            columns = inputs_of(scalers.features._replace(basis=None), x)
            ridge, share = columns @ linear["kernel"] + linear["bias"], linear["share"]
            raw = share * ridge + (1 - share) * raw
        raw = raw * np.asarray(scalers.target.std) + np.asarray(scalers.target.mean)
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


ROWS = 256  # training rows that are looked at
DRAWS = 4  # of dropped units
SAME = 1e-5  # of a training loss: it is summed in another order each epoch


def next_look(epoch: int) -> int:
    """The next epoch after which to look: each of the first eight, then ever more rarely.

    Which epochs those are hangs on nothing else, so that a run that is resumed ends where one that
    was never stopped does.
    """
    look = 1
    while look <= epoch:
        look += max(1, look // 4)
    return look


class Watch:
    """Whether a head is dead: the same answer for every row, and no gradient to change it.

    Args:
        config: the head's.
        scalers: the head's.
        x: (rows, columns) features of some training rows, as stored.
    """

    def __init__(self, config: HeadConfig, scalers: Scalers, x: np.ndarray) -> None:
        self._config, self._scalers, self._x = config, scalers, x

    def look(self, params: Params, losses: Sequence[float]) -> tuple[str, bool]:
        """Look after an epoch.

        What dropout leaves out may bring a head back, and so may Adam's momentum: a dead head is
        lost if it is dead with units dropped too and, where the output's relu is behind it, the
        training loss stands still.

        Args:
            params: after that epoch.
            losses: training losses of all epochs so far.

        Returns:
            What there is to say, "" for nothing, and whether the training is lost.
        """
        head = activity(params, self._scalers, self._x)
        if not is_dead(head, self._config):
            return "", False
        hidden = [bool((layer <= 0).all()) for layer in head.hidden]
        what = f"hidden layer {hidden.index(True) + 1}" if any(hidden) else "the output relu"
        says = (
            f"{what} is 0 for all of {len(self._x)} training rows: the output is one constant, and "
            "no gradient can change it"
        )
        random = np.random.default_rng(len(losses))
        rate = self._config.dropout
        for _ in range(DRAWS if rate else 0):
            dropped = activity(params, self._scalers, self._x, rate, random)
            if not is_dead(dropped, self._config):
                return says, False
        still = len(losses) > 1 and abs(losses[-1] - losses[-2]) <= SAME * abs(losses[-1])
        return says, any(hidden) or still
