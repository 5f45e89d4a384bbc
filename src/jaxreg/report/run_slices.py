"""The slices of a run's held-out rows: their errors, and what the intervals hold of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.row_units import row_units
from jaxreg.report.run_intervals import Measured
from jaxreg.report.run_predictions import RunPredictions, unit_names_of
from jaxreg.report.slope import Slope, slope_of
from jaxreg.slices.brightness import brightness_of
from jaxreg.slices.error_runs import runs_of_errors
from jaxreg.slices.row_slices import (
    LEAST,
    MOST_GROUPS,
    Slicing,
    by_name,
    by_target,
    slicings_of,
)
from jaxreg.slices.slice_coverage import below_level
from jaxreg.slices.slice_errors import Slice, SliceRows, slices_of
from jaxreg.slices.worst_slice import worse_beyond_chance
from jaxreg.target_types import difference

MOST = 100  # slices of each target in summary.json
PICTURES = 300  # of held-out rows whose brightness is measured


@dataclass(frozen=True)
class RunSlice(Slice):
    """The errors of a slice of held-out rows, and what the intervals hold of it."""

    rest_mae: float | None  # of the other rows; None where there are none
    weighted_mae: float | None  # None without a weight column, or where no row has a weight
    coverage: float | None  # share of its rows inside the intervals; None without intervals
    below_level: bool | None  # beyond chance; None where that is not known


class RunSlices(NamedTuple):
    """What a report says of parts of the held-out rows."""

    slices: list[RunSlice]  # of each target at most MOST, the worst first
    worst: list[RunSlice]  # of each target that has one the worst, where it is beyond chance
    slopes: dict[str, Slope | None]  # by target

    def to_json(self) -> dict[str, Any]:
        """The fields of summary.json."""
        return {
            "slices": [asdict(one) for one in self.slices],
            "worst_slices": [asdict(one) for one in self.worst],
            "slope": {name: one and one.to_json() for name, one in self.slopes.items()},
        }


class _HeldOut(NamedTuple):
    """The rows that the scores are of."""

    experiment: Experiment
    rows: np.ndarray  # their numbers
    y: np.ndarray  # (rows, targets)
    predicted: np.ndarray  # (rows, targets); NaN for a target of a diverged head
    slicings: dict[str, Slicing]
    intervals: Measured | None


def slice_run(
    experiment: Experiment, predictions: RunPredictions, intervals: Measured | None
) -> RunSlices:
    """The slices of the rows that the scores are of, and the slope of each target."""
    rows = experiment.rows("validation")
    y, predicted = predictions.y[rows], predictions.predictions[rows].copy()
    for number, own in enumerate(predicted.T):
        if not np.isfinite(own[~np.isnan(y[:, number])]).all():
            predicted[:, number] = np.nan
    slicings = _slicings(experiment, rows)
    held_out = _HeldOut(experiment, rows, y, predicted, slicings, intervals)
    types = experiment.types
    found = slices_of(experiment.targets, types, y, predicted, slicings)
    errors = difference(types, predicted, y)
    made: list[RunSlice] = []
    worst: list[RunSlice] = []
    slopes: dict[str, Slope | None] = {}
    for number, name in enumerate(experiment.targets):
        known = np.flatnonzero(np.isfinite(errors[:, number]))
        sizes = np.abs(errors[:, number])
        units = _units(experiment, rows[known], sizes[known])
        of = y[known, number], predicted[known, number]
        slopes[name] = None if types[number].circular else slope_of(*of, units)
        own = [one for one in found if one.number == number]
        each = _of_target(held_out, number, own, sizes, units, tests=len(found))
        made += [one for one, _ in each[:MOST]]
        worst += [one for one, is_worse in each if is_worse][:1]
    by_times = lambda one: -one.times  # noqa: E731
    return RunSlices(sorted(made, key=by_times), sorted(worst, key=by_times), slopes)


def _of_target(
    held_out: _HeldOut,
    number: int,
    slices: Sequence[SliceRows],
    sizes: np.ndarray,
    units: np.ndarray | None,
    *,
    tests: int,
) -> list[tuple[RunSlice, bool]]:
    """The slices of one target, the worst first, and whether they are worse beyond chance."""
    known = np.flatnonzero(np.isfinite(sizes))
    place = np.full(len(sizes), -1)
    place[known] = np.arange(len(known))
    slicings = {"target": by_target(held_out.y[:, number]), **held_out.slicings}
    inside, level = None, 0.0
    if held_out.intervals is not None:
        level = held_out.intervals.level
        its = held_out.intervals.inside[held_out.rows, number]
        inside = its if np.isfinite(its[known]).all() else None
    worse, below = np.zeros(len(slices), bool), np.full(len(slices), None, object)
    for alone in (True, False):
        some = [at for at, one in enumerate(slices)
                if _stands_alone(slicings[one.slice.by], known, units) == alone]  # fmt: skip
        parts = [place[slices[at].rows] for at in some]
        alike = None if alone else units
        worse[some] = worse_beyond_chance(sizes[known], parts, alike, tests)
        if inside is not None:
            below[some] = below_level(inside[known].astype(bool), parts, alike, level, tests)
    weights = None
    if held_out.experiment.config.weight_column is not None:
        weights = held_out.experiment.weights[held_out.rows, number]
    total, made = float(sizes[known].sum()), []
    for one, is_below in zip(slices, below.tolist(), strict=True):
        own, others = sizes[one.rows], len(known) - len(one.rows)
        weighted = None
        if weights is not None and weights[one.rows].sum() > 0:
            weighted = float(np.average(own, weights=weights[one.rows]))
        made.append(RunSlice(
            **asdict(one.slice),
            rest_mae=(total - float(own.sum())) / others if others else None,
            weighted_mae=weighted,
            coverage=None if inside is None else float(inside[one.rows].mean()),
            below_level=is_below,
        ))  # fmt: skip
    return list(zip(made, worse.tolist(), strict=True))


def _stands_alone(slicing: Slicing, known: np.ndarray, units: np.ndarray | None) -> bool:
    """Whether rows count alone: there are no units, or each slice is one of them."""
    if units is None:
        return True
    own = Slicing(slicing.of_row[known], slicing.values)
    return own.is_same(Slicing(units, ()))


def _units(experiment: Experiment, rows: np.ndarray, sizes: np.ndarray) -> np.ndarray | None:
    """(rows,) which rows have errors that are alike; None: each row is alone."""
    if experiment.dataset.sequential:
        sequence, order = experiment.places
        return runs_of_errors(sizes, sequence[rows], order[rows])
    found = row_units(experiment.dataset, experiment.split.kind)
    return None if found is None else found.numbers[rows]


def _slicings(experiment: Experiment, rows: np.ndarray) -> dict[str, Slicing]:
    """By what the rows are sliced, for every target alike."""
    dataset = experiment.dataset.rows(rows)
    slicings = slicings_of(dataset, _brightness(experiment, rows))
    more: dict[str, Slicing] = {}
    units, names = row_units(dataset, experiment.split.kind), unit_names_of(experiment)
    if units is not None and names is not None:
        column = experiment.split.kind.partition(":")[2] if units.word == "groups" else "block"
        more[column or "group"] = by_name([str(name) for name in names[rows]])
    if experiment.folds:
        more["fold"] = by_name([str(fold) for fold in experiment.fold_of_row[rows].tolist()])
    for by, slicing in more.items():
        several = 1 < len(slicing.values) <= MOST_GROUPS
        if several and by not in slicings and not any(map(slicing.is_same, slicings.values())):
            slicings[by] = slicing
    return slicings


def _brightness(experiment: Experiment, rows: np.ndarray) -> np.ndarray:
    """(rows,) how bright the images of at most PICTURES rows are; NaN for the others."""
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), PICTURES)).astype(np.int64))
    found = np.full(len(rows), np.nan)
    digests = experiment.dataset.rows(rows[some]).pictures
    if len(some) >= LEAST and any(digests):
        limits = experiment.features.range
        found[some] = brightness_of(experiment.cache, digests, limits)
    return found
