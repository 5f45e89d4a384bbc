"""The bar to beat: a ridge on the same features, solved before the first epoch."""

import time
from dataclasses import dataclass

import numpy as np

from jaxreg.config import HeadConfig, TrainConfig
from jaxreg.heads import scaling
from jaxreg.heads.forward import predict_rows
from jaxreg.heads.ridge import Solved, decompose, left_out, solve
from jaxreg.heads.scaling import Scalers
from jaxreg.runs.experiment import Experiment
from jaxreg.splits.units import Unit, some_of

WIDEST = 3072  # rows or columns, the fewer of both: beyond, a bar is not worth its time, which
# grows with the cube


@dataclass(frozen=True)
class Bar:
    """A ridge on all columns, and what it says of every row of the dataset."""

    solved: Solved
    rows: np.ndarray  # that it was solved on: in a fold also what early stopping watches
    units: list[Unit] | None  # of these rows, what its strength was judged on
    predictions: np.ndarray  # (rows, targets), target units
    honest: np.ndarray | None  # in a fold: the same, as if it had not seen a watched row's unit
    watched_units: int  # how many units early stopping watches; counted for a mix
    seconds: float


def measure(experiment: Experiment, config: TrainConfig, *, in_fold: bool) -> Bar | None:
    """Fit the ridge; None where it would take long and no head needs it."""
    begin = time.perf_counter()
    train, watched, x = experiment.rows("train"), experiment.rows("validation"), experiment.x
    needed = config.head != "mlp" or config.components is not None
    small = min(len(train), x.shape[1]) <= WIDEST
    quick = small and experiment.placement.kind == "device"
    if not isinstance(x, np.ndarray) or not (needed or quick):
        return None
    scaler = scaling.feature_scaler(x[train])
    both = np.union1d(train, watched)
    rows = both if in_fold else train
    units = experiment.units(rows, config.gap)
    spectrum = decompose(scaler, x[rows], experiment.y[rows])
    solved = Solved(spectrum, solve(spectrum, x[rows], experiment.y[rows], units=some_of(units)))
    scalers = Scalers(scaler, scaling.identity_scaler(experiment.y.shape[1]))
    head = spectrum.head(solved.ridge, scalers)
    predictions = predict_rows(head, scalers, HeadConfig(hidden=()), x)
    honest, its = None, []
    if config.head == "mix":
        of_both = units if in_fold else experiment.units(both, config.gap)
        its = _watched(of_both, both, watched)
    if its and in_fold:
        told = left_out(solved, x[rows], experiment.y[rows], its)
        honest = predictions.copy()
        honest[watched] = told[np.searchsorted(rows, watched)]
    seconds = time.perf_counter() - begin
    return Bar(solved, rows, some_of(units), predictions, honest, len(its), seconds)


def _watched(units: list[Unit] | None, rows: np.ndarray, watched: np.ndarray) -> list[Unit]:
    """The units, of numbers among these rows, that have a watched row."""
    places = np.searchsorted(rows, watched)
    if units is None:
        return [Unit(np.array([place]), np.array([True])) for place in places]
    return [unit for unit in units if np.isin(unit.rows[unit.scored], places).any()]
