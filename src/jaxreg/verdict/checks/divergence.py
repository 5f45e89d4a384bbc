"""Numbers that are none, and where they came from."""

import numpy as np

from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed

LARGE_INPUT = 1e4  # as it reaches the first layer; scaled ones end at 4
LARGE_TARGET = 1e9  # in what the head works in; scaled ones are about 1


def non_finite(obs: Observed) -> Evidence | None:
    """A loss or a prediction is NaN or infinite."""
    if obs.finite and obs.mae is not None:
        return None
    epochs, rate = obs.epochs, obs.config.learning_rate
    when = f"the loss was not finite in epoch {epochs}" if not obs.finite else "not finite"
    broken = int((~np.isfinite(obs.x)).sum())
    inputs, targets = _largest(obs.inputs), _largest(_head_targets(obs))
    numbers = {"epoch": epochs, "inputs": inputs, "targets": targets, "learning_rate": rate}
    if broken:
        return Evidence(
            f"{when}: {broken} of the sampled features are NaN or infinite", obs.extract, numbers
        )
    if inputs > LARGE_INPUT and not obs.config.scale_features:
        sentence = f"{when}: features reach {inputs:.3g} where they come to the first layer"
        return Evidence(sentence, {"scale_features": True}, numbers)
    if targets > LARGE_TARGET and not obs.config.scale_target:
        sentence = f"{when}: targets reach {targets:.3g}, and are not scaled"
        return Evidence(sentence, {"scale_target": True}, numbers)
    sentence = f"{when}, at a learning rate of {rate:g}"
    return Evidence(sentence, {"learning_rate": float(f"{min(rate / 10, 1e-3):g}")}, numbers)


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0))


def _head_targets(obs: Observed) -> np.ndarray:
    """The training targets in what the head's raw output is compared with."""
    target = obs.scalers.target
    return (obs.y[obs.train] - np.asarray(target.mean)) / np.asarray(target.std)
