"""Looks for losses and predictions that are not finite, and for what made them so."""

import numpy as np

from jaxreg.head.target_outputs import scaled
from jaxreg.verdict.checks.dead_units import slower
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed

LARGE_INPUT = 1e4  # at the first layer; scaled features end at 4
LARGE_TARGET = 1e9  # in the units of the raw output; scaled targets are about 1


def non_finite(obs: Observed) -> Evidence | None:
    """A loss or a prediction is NaN or infinite."""
    if obs.state.finite and obs.finite:
        return None
    epochs, rate, scaler = obs.epochs, obs.config.learning_rate, obs.state.scalers.target
    when = "a prediction is not finite"
    if not obs.state.finite:
        when = f"the loss was not finite in epoch {epochs}"
    broken = int((~np.isfinite(obs.features)).sum())
    raw = scaled(obs.config, scaler, obs.y[obs.train])
    inputs, targets = (float(np.nanmax(np.abs(values), initial=0)) for values in (obs.inputs, raw))
    numbers = {"epoch": epochs, "inputs": inputs, "targets": targets, "learning_rate": rate}
    if broken:
        sentence = f"{when}: {broken} of the sampled features are NaN or infinite"
        return Evidence(sentence, obs.extract, numbers)
    if inputs > LARGE_INPUT and not obs.config.scale_features:
        sentence = f"{when}: features reach {inputs:.3g} at the first layer, without scaling"
        return Evidence(sentence, {"scale_features": True}, numbers)
    if targets > LARGE_TARGET and not obs.config.scale_target:
        sentence = f"{when}: targets reach {targets:.3g}, without scaling"
        return Evidence(sentence, {"scale_target": True}, numbers)
    sentence = f"{when}, at a learning rate of {rate:g}"
    return Evidence(sentence, slower(obs), numbers)
