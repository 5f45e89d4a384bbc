"""What the page shows of a dot of predicted against true: its id, its numbers and its picture."""

import base64
import io
import json
from collections.abc import Collection, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

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
SIDE = 96  # pixels of the longest side of such a picture
QUALITY = 60  # of its JPEG
BYTES = 500_000  # of these JPEGs
MINUS = "\N{MINUS SIGN}"


class Points(NamedTuple):
    """The dots of one target that answer."""

    rows: np.ndarray  # held-out rows before training rows; on each side the largest error first
    pictured: np.ndarray  # the held-out rows with a picture, the most important first


def choose_points(experiment: Experiment, predictions: RunPredictions) -> list[Points]:
    """The dots of each target that answer: those with the largest errors, and a spread."""
    apart = np.abs(difference(experiment.types, predictions.predictions, predictions.y))
    targets, trained = len(experiment.targets), experiment.split.labels == "train"
    held_out = np.isin(experiment.split.labels, ("validation", "test"))
    found = []
    for error, y in zip(apart.T, predictions.y.T, strict=True):
        rows, left = [], POINTS // targets
        for side in (held_out, trained):
            here = np.flatnonzero(side & np.isfinite(error))
            some = _spread(here, error, y, left)
            rows.append(some[np.argsort(-error[some], kind="stable")])
            left -= len(some)
        found.append(Points(np.concatenate(rows), _spread(rows[0], error, y, PICTURES // targets)))
    return found


def _spread(rows: np.ndarray, error: np.ndarray, y: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows, in turn the largest errors and others at even steps of y."""
    count = min(len(rows), most)
    by_error = rows[np.argsort(-error[rows], kind="stable")]
    worst, others = np.split(by_error, [(count + 1) // 2])
    others = others[np.argsort(y[others], kind="stable")]
    even = others[np.linspace(0, len(others) - 1, count // 2).astype(np.int64)]
    chosen = np.empty(count, np.int64)
    chosen[::2], chosen[1::2] = worst, even
    return chosen


def pictured_rows(points: Sequence[Points]) -> set[int]:
    """The rows whose thumbnails `pictures_json` may show."""
    return {row for one in points for row in one.pictured.tolist()}


def points_json(
    experiment: Experiment,
    predictions: RunPredictions,
    target: int,
    rows: np.ndarray,
    chart: Chart,
) -> str:
    """The dots of one target: lists of shares across and down, row, side, true, predicted, id."""
    side_of = {name: number for number, name in enumerate(SIDES)}
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
    """The pictures of dots by row, as base64; the page shows those of `elsewhere` itself."""
    found, left = dict[int, str](), BYTES
    ranked = zip_longest(*(one.pictured.tolist() for one in points))
    for row in chain.from_iterable(ranked):
        if row is None or row in found or row in elsewhere:
            continue
        jpeg = _small(pictures.thumbnail(row))
        if len(jpeg) > left:
            break
        if jpeg:
            left -= len(jpeg)
            found[row] = base64.b64encode(jpeg).decode()
    return json.dumps(found, separators=(",", ":"))


def _small(jpeg: bytes | None) -> bytes:
    """A thumbnail with fewer pixels and bytes; empty where there is none, or a damaged one."""
    from PIL import Image

    made = io.BytesIO()
    try:
        with Image.open(io.BytesIO(jpeg or b""), formats=["JPEG"]) as picture:
            picture.draft("RGB", (SIDE, SIDE))  # decodes no more pixels than it must
            picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=1.0)
            picture.save(made, "JPEG", quality=QUALITY)
    except Exception:  # a cache may come from somebody else
        return b""
    return made.getvalue()


def _text(value: float, std: float) -> str:
    return number_text(value, std).replace("-", MINUS)
