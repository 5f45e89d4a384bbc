"""A training of several targets as that of each target alone."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from jaxreg.head.target_outputs import scaler_of

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
    column, scalers = slice(number, number + 1), obs.state.scalers
    own = scaler_of(obs.types, scalers.target, number)
    return replace(
        obs,
        whole=obs,
        number=number,
        targets=obs.targets[column],
        config=obs.config.of_target(number),
        y=obs.y[:, column],
        weights=obs.weights[:, column],
        labels=np.where(np.isnan(obs.y[:, number]), "left-out", obs.labels),
        predictions=obs.predictions[:, column],
        ridge=None if obs.ridge is None else obs.ridge[:, column],
        beside={name: values[:, column] for name, values in obs.beside.items()},
        state=obs.state._replace(scalers=scalers._replace(target=own)),
    )
