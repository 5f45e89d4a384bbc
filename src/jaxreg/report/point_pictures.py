"""What the page shows of a dot of predicted against true: its id, its numbers and its picture."""

import base64
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from jaxreg.experiment.arrays import Experiment
from jaxreg.report.plots import SIDES
from jaxreg.report.prediction_plots import Chart
from jaxreg.report.row_pictures import RowPictures
from jaxreg.report.run_predictions import RunPredictions
from jaxreg.target_numbers import number_text
from jaxreg.target_types import difference

POINTS = 2000  # of all targets that answer
PICTURES = 400  # of all targets that have a picture
BYTES = 600_000  # of the JPEGs of these
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Points:
    """The dots of one target that answer, those with the largest errors first.

    The first ones have a picture, as far as there is one.
    """

    rows: np.ndarray
    pictured: int  # how many of them


def choose_points(experiment: Experiment, predictions: RunPredictions) -> list[Points]:
    """The dots of each target that answer: those with the largest errors, and a spread."""
    apart = np.abs(difference(experiment.types, predictions.predictions, predictions.y))
    targets = len(experiment.targets)
    found = []
    for number, error in enumerate(apart.T):
        sides = ("train",), ("validation", "test")
        seen, held_out = (
            np.flatnonzero(np.isfinite(error) & np.isin(experiment.split.labels, names))
            for names in sides
        )
        y, rows = predictions.y[:, number], np.zeros(0, np.int64)
        for side in (held_out, seen):
            rows = np.concatenate([rows, _spread(side, error, y, POINTS // targets - len(rows))])
        first = _spread(rows[np.isin(rows, held_out)], error, y, PICTURES // targets)
        if not len(held_out):
            first = rows[:0]
        others = rows[~np.isin(rows, first)]
        found.append(Points(np.concatenate([first, others]), len(first)))
    return found


def _spread(rows: np.ndarray, error: np.ndarray, y: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows: half have the largest errors, the others lie at even steps of y."""
    rows = rows[np.argsort(-error[rows], kind="stable")]
    if len(rows) <= most:
        return rows
    worst, others = np.split(rows, [(most + 1) // 2])
    others = others[np.argsort(y[others], kind="stable")]
    some = np.linspace(0, len(others) - 1, most // 2).astype(np.int64)
    return np.concatenate([worst, others[some]])


def pictured_rows(points: Sequence[Points]) -> set[int]:
    """The rows whose thumbnails `points_json` may show."""
    return {row for one in points for row in one.rows[: one.pictured].tolist()}


def points_json(
    experiment: Experiment,
    predictions: RunPredictions,
    target: int,
    points: Points,
    chart: Chart,
) -> str:
    """The dots of one target: lists of shares across and down, row, side, true, predicted, id."""
    rows, side_of = points.rows, {name: number for number, name in enumerate(SIDES)}
    true, predicted = (part[rows, target] for part in (predictions.y, predictions.predictions))
    places = chart.places(true, predicted).round(4).tolist()
    std, ids = float(experiment.loss.std[target]), experiment.dataset.ids
    labels = experiment.split.labels[rows]
    lines = [
        [*place, row, side_of[side], *(_text(value, std) for value in both), ids[row]]
        for place, row, side, *both in zip(
            places, rows.tolist(), labels, true.tolist(), predicted.tolist(), strict=True
        )
    ]
    return json.dumps({"sides": list(SIDES), "points": lines}, separators=(",", ":"))


def pictures_json(
    points: Sequence[Points], pictures: RowPictures, elsewhere: Collection[int]
) -> str:
    """The thumbnails of dots by row, as base64; the page shows those of `elsewhere` itself."""
    found, left = dict[int, str](), BYTES
    for rank in range(max((one.pictured for one in points), default=0)):
        for one in points:
            row = int(one.rows[rank]) if rank < one.pictured else None
            if row is None or row in found or row in elsewhere:
                continue
            jpeg = pictures.thumbnail(row)
            if jpeg is not None and len(jpeg) <= left:
                left -= len(jpeg)
                found[row] = base64.b64encode(jpeg).decode()
    return json.dumps(found, separators=(",", ":"))


def _text(value: float, std: float) -> str:
    return number_text(value, std).replace("-", MINUS)
