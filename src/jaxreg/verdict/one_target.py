"""A training of several targets as that of each target alone."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from jaxreg.head.scaling import TargetScaler

if TYPE_CHECKING:
    from jaxreg.verdict.observation import Observed


def each_target(obs: "Observed") -> tuple["Observed", ...]:
    """The training as that of each target alone; with one target the training itself.

    A target is observed on the rows that have it. One that no row of a side has is left out.
    """
    if len(obs.targets) == 1:
        return (obs,)
    known = ~np.isnan(obs.y)
    sides = [rows for rows in (obs.train, obs.validation) if len(rows)]
    there = np.all([known[rows].any(axis=0) for rows in sides], axis=0)
    return tuple(_only(obs, int(number)) for number in np.flatnonzero(there))


def _only(obs: "Observed", number: int) -> "Observed":
    column = slice(number, number + 1)
    own = TargetScaler(*(part[column] for part in obs.state.scalers.target))
    delta = obs.config.huber_delta
    delta = delta[number] if isinstance(delta, tuple) else delta
    return replace(
        obs,
        whole=obs,
        number=number,
        targets=obs.targets[column],
        config=replace(obs.config, huber_delta=delta),
        y=obs.y[:, column],
        weights=obs.weights[:, column],
        labels=np.where(np.isnan(obs.y[:, number]), "left-out", obs.labels),
        predictions=obs.predictions[:, column],
        ridge=None if obs.ridge is None else obs.ridge[:, column],
        beside={name: values[:, column] for name, values in obs.beside.items()},
        state=obs.state._replace(scalers=obs.state.scalers._replace(target=own)),
    )
