"""The errors of recordings over time: predictions beside true values, and a smooth error."""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from jaxreg.experiment.arrays import Experiment
from jaxreg.report.plots import BLACK, BLUE, GREY, figure, save, short_name, styled
from jaxreg.report.run_content import each_target
from jaxreg.report.run_predictions import RunPredictions
from jaxreg.target_types import TargetType, difference

RECORDINGS = 4  # drawn for each target, those with the largest MAE
CHARTS = 8  # of all targets together
POINTS = 2000  # of a line; of more rows every so many is drawn
LEAST = 10  # rows of a recording
LONGEST_NAME = 24  # letters of a target's name


class TimeChart(NamedTuple):
    """The errors of one recording."""

    title: str  # the recording; empty where there is one
    mae: float
    rows: int
    picture: bytes  # a PNG


class TargetCharts(NamedTuple):
    """The charts of one target."""

    target: str
    recordings: int  # that have held-out rows, also those that are not drawn
    charts: list[TimeChart]  # the largest MAE first


def charts_over_time(experiment: Experiment, predictions: RunPredictions) -> list[TargetCharts]:
    """The charts of a dataset whose rows follow one another in time; of another there are none."""
    if not experiment.dataset.sequential:
        return []
    held_out, found = experiment.rows("validation"), []
    sequence, order = experiment.places
    names = experiment.group_names("group") if experiment.has_sequences else None
    drawn = max(1, min(RECORDINGS, CHARTS // len(experiment.targets)))
    for number, _ in each_target(experiment):
        kind, target = experiment.types[number], experiment.targets[number]
        column = slice(number, number + 1)
        y, predicted = predictions.y[:, column], predictions.predictions[:, column]
        error = difference([kind], predicted, y)[:, 0]
        rows = held_out[np.isfinite(error[held_out])]
        rows = rows[np.lexsort((order[rows], sequence[rows]))]
        parts = np.split(rows, np.flatnonzero(np.diff(sequence[rows])) + 1)
        parts = [part for part in parts if len(part) >= LEAST]
        parts.sort(key=lambda part: -np.abs(error[part]).mean())
        charts = []
        for part in parts[:drawn]:
            title = "" if names is None or len(parts) == 1 else names[part[0]]
            columns = order[part], y[part, 0], predicted[part, 0], np.abs(error[part])
            picture = error_over_time(target, *columns, kind)
            mae = float(np.abs(error[part]).mean())
            charts.append(TimeChart(title, mae, len(part), picture))
        if charts:
            found.append(TargetCharts(target, len(parts), charts))
    return found


@styled
def error_over_time(
    target: str,
    order: np.ndarray,
    true: np.ndarray,
    predicted: np.ndarray,
    errors: np.ndarray,
    kind: TargetType,
) -> bytes:
    """Plot one recording: predicted and true values, and the size of the errors below.

    Args:
        target: the name of the target.
        order: (rows,) the places of the rows, rising.
        true, predicted: (rows,) in target units, finite. Those of a circular target are dots.
        errors: (rows,) 0 or more. The line is their mean over a window of `window` rows.
        kind: the type of the target.
    """
    drawing, (values, sizes) = figure((5.6, 4.6), nrows=2, sharex=True, height_ratios=(3, 2))
    drawing.set_layout_engine(None)  # a layout that fits the labels takes half of the time
    drawing.subplots_adjust(left=0.17, right=0.98, top=0.93, bottom=0.11, hspace=0.28)
    stretches = _stretches(order)
    smooth = np.concatenate([moving_mean(errors[rows], window(len(errors))) for rows in stretches])
    every = -(-len(order) // POINTS)
    for y, colour, label in ((true, BLACK, "true"), (predicted, BLUE, "predicted")):
        if kind.circular:
            values.plot(order[::every], y[::every], ".", color=colour, ms=2, label=label)
        else:
            _line(values, order, y, stretches, every, colour, label)
    sizes.plot(order[::every], errors[::every], ".", color=GREY, ms=2, alpha=0.6)
    _line(sizes, order, smooth, stretches, every, BLUE, f"mean of {window(len(errors))} rows")
    values.set_ylabel(short_name(target, LONGEST_NAME), parse_math=False)
    sizes.set_ylabel("|error|")
    sizes.set_xlabel("place in the recording (rows)")
    sizes.set_ylim(bottom=0)
    for axes in (values, sizes):  # on the right: the offset of large numbers is on the left
        axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98))
    return save(drawing)


def window(rows: int) -> int:
    """The rows of a moving mean: about √rows, an odd number of at least 5."""
    return max(5, math.isqrt(rows) | 1)


def moving_mean(values: np.ndarray, rows: int) -> np.ndarray:
    """The mean of the values (N,) around each one; at the ends of fewer."""
    half, count = rows // 2, len(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(count)
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, count)
    return (sums[last] - sums[first]) / (last - first)


def _stretches(order: np.ndarray) -> list[np.ndarray]:
    """The rows between the gaps, of which most are left out of the scores."""
    steps = np.diff(order)
    usual = max(1.0, float(np.median(steps))) if len(steps) else 1.0
    return np.split(np.arange(len(order)), np.flatnonzero(steps > 5 * usual) + 1)


def _line(
    axes: Axes,
    order: np.ndarray,
    y: np.ndarray,
    stretches: list[np.ndarray],
    every: int,
    colour: str,
    label: str,
) -> None:
    """A line with a gap between stretches."""
    places, numbers = [], []
    for rows in stretches:
        some = rows[::every]
        places += [order[some].astype(np.float64), [np.nan]]
        numbers += [y[some], [np.nan]]
    places, numbers = np.concatenate(places), np.concatenate(numbers)
    axes.plot(places, numbers, color=colour, lw=1.1, label=label)
