"""The bar to beat: a ridge on the same features, solved before the first epoch."""

import time
from dataclasses import dataclass

import numpy as np

from jaxreg.config import HeadConfig, TrainConfig
from jaxreg.heads import scaling
from jaxreg.heads.fit import predict_rows
from jaxreg.heads.ridge import Ridge, Spectrum, decompose, solve
from jaxreg.heads.scaling import Scalers
from jaxreg.runs.experiment import Experiment

WIDEST = 3072  # rows or columns, the fewer of both: beyond, a bar is not worth its time, which
# grows with the cube


@dataclass(frozen=True)
class Bar:
    """A ridge on all columns, and what it says of every row of the dataset."""

    spectrum: Spectrum
    ridge: Ridge
    predictions: np.ndarray  # (rows, targets), target units
    seconds: float


def measure(experiment: Experiment, config: TrainConfig) -> Bar | None:
    """Fit the ridge on the training rows; None where it would take long and no head needs it."""
    begin = time.perf_counter()
    rows = experiment.rows("train")
    needed = config.head == "ridge" or config.components is not None
    small = min(len(rows), experiment.x.shape[1]) <= WIDEST
    quick = small and experiment.placement.kind == "device"
    if not isinstance(experiment.x, np.ndarray) or not (needed or quick):
        return None
    x, y = experiment.x[rows], experiment.y[rows]
    spectrum = decompose(scaling.feature_scaler(x), x, y)
    ridge = solve(spectrum, x, y)
    scalers = Scalers(spectrum.scaler, scaling.identity_scaler(y.shape[1]))
    head = spectrum.head(ridge, scalers)
    predictions = predict_rows(head, scalers, HeadConfig(hidden=()), experiment.x)
    return Bar(spectrum, ridge, predictions, time.perf_counter() - begin)
