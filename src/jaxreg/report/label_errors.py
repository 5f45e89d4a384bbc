"""Rows whose label looks least like the others, and the training rows that are nearest to each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxreg.cache.lazy_features import read_pieces, read_rows
from jaxreg.experiment.arrays import Experiment
from jaxreg.head.scaling import Scaler, scale_block
from jaxreg.label_scores import label_scores
from jaxreg.report.row_pictures import RowPictures
from jaxreg.report.run_content import each_target
from jaxreg.report.run_predictions import RunPredictions

LISTED = 10  # rows of each target
SHARE = 0.1  # of the scored rows: with fewer than 100 of them, fewer are listed
LEAST = 10  # scored rows; with fewer, none is listed
FEW = 50  # scored rows, below which the scores mean little
NEAREST = 3  # training rows beside each row


@dataclass(frozen=True)
class Suspect:
    """A row whose label looks least like the others."""

    row: int
    target: int
    score: float
    nearest: tuple[int, ...] = ()  # training rows, the nearest first


def score_labels(experiment: Experiment, predictions: RunPredictions) -> np.ndarray:
    """The score of each label (rows, targets), by predictions of heads that did not see the row.

    With folds these are all rows that a fold holds out, else the validation rows. Others are NaN.
    """
    scores = np.full(predictions.y.shape, np.nan)
    rows = experiment.rows("validation")
    for number, kind in enumerate(experiment.types):
        y, own = predictions.y[rows, number], predictions.predictions[rows, number]
        scores[rows, number] = label_scores(y, own, kind)
    return scores


def find_suspects(experiment: Experiment, scaler: Scaler, scores: np.ndarray) -> list[Suspect]:
    """The rows of the lowest scores for each target in turn, each with its nearest training rows.

    Args:
        experiment: has the features and the split.
        scaler: of the features of a head of the run.
        scores: what `score_labels` returned.
    """
    found = []
    for number, own in enumerate(scores.T):
        known = np.flatnonzero(~np.isnan(own))
        if len(known) >= LEAST:
            lowest = known[np.argsort(own[known], kind="stable")]
            count = min(LISTED, int(np.ceil(SHARE * len(known))))
            found += [Suspect(row, number, float(own[row])) for row in lowest[:count].tolist()]
    return with_nearest(experiment, scaler, found)


def with_nearest(experiment: Experiment, scaler: Scaler, suspects: list[Suspect]) -> list[Suspect]:
    """The same with the nearest of the rows that trained the head and have the target.

    With folds, these are the training rows of the fold that holds the row out. The distance is
    Euclid's, in features as the head scales them, without side columns and before components.
    """
    if not suspects:
        return []
    width = scaler.features
    mean, std = (np.asarray(part)[:width] for part in (scaler.mean, scaler.std))
    plain = Scaler(mean, std, np.asarray(scaler.limit))
    rows = np.unique([one.row for one in suspects])
    own = scale_block(plain, read_rows(experiment.x, rows)[:, :width])
    trained = _training_rows(experiment, rows)
    allowed = [trained[np.searchsorted(rows, one.row)] for one in suspects]
    known = ~np.isnan(experiment.y)
    of = np.searchsorted(rows, [one.row for one in suspects])
    best = np.full((len(suspects), NEAREST), np.inf)
    place = np.full((len(suspects), NEAREST), -1)
    for some, x in read_pieces(experiment.x, np.flatnonzero(trained.any(axis=0))):
        there = scale_block(plain, x[:, :width])
        apart = np.einsum("ij,ij->i", there, there)[None, :] - 2 * (own @ there.T)
        for i, one in enumerate(suspects):
            usable = allowed[i][some] & known[some, one.target]
            both = np.concatenate([best[i], np.where(usable, apart[of[i]], np.inf)])
            numbers = np.concatenate([place[i], some])
            chosen = np.argsort(both, kind="stable")[:NEAREST]
            best[i], place[i] = both[chosen], numbers[chosen]
    near = [place[i, np.isfinite(best[i])].tolist() for i in range(len(suspects))]
    return [
        Suspect(one.row, one.target, one.score, tuple(numbers))
        for one, numbers in zip(suspects, near, strict=True)
    ]


def _training_rows(experiment: Experiment, rows: np.ndarray) -> np.ndarray:
    """(rows, rows of the dataset) whether a row trained the heads that predict one of `rows`."""
    if not experiment.folds:
        return np.tile(experiment.split.labels == "train", (len(rows), 1))
    by_fold = np.stack([fold.labels == "train" for fold in experiment.folds])
    return by_fold[experiment.fold_of_row[rows]]


def label_errors_json(
    experiment: Experiment, predictions: RunPredictions, suspects: list[Suspect]
) -> list[dict[str, Any]]:
    """`label_errors` of summary.json."""
    ids = experiment.dataset.ids
    return [
        {
            "id": ids[one.row],
            "target": experiment.targets[one.target],
            "label": float(predictions.y[one.row, one.target]),
            "prediction": float(predictions.predictions[one.row, one.target]),
            "score": one.score,
            "nearest": [ids[row] for row in one.nearest],
        }
        for one in suspects
    ]


class ShownRow(NamedTuple):
    """A row on the page."""

    row: int
    id: str
    label: float
    picture: bytes | None  # a JPEG


class ShownSuspect(NamedTuple):
    """A row whose label looks least like the others, on the page."""

    own: ShownRow
    prediction: float
    score: float
    nearest: list[ShownRow]


class SuspectTable(NamedTuple):
    """The rows of one target, those of the lowest scores first."""

    caption: str
    target: str
    caution: str  # why the scores mean little; else ""
    rows: list[ShownSuspect]


def suspect_tables(
    experiment: Experiment,
    predictions: RunPredictions,
    suspects: Sequence[Suspect],
    pictures: RowPictures,
    verdict: Mapping[str, bool | None],
) -> list[SuspectTable]:
    """What the page shows of suspects; `verdict` says of each target whether it is healthy."""
    ids = experiment.dataset.ids

    def shown(row: int, target: int) -> ShownRow:
        return ShownRow(row, ids[row], float(predictions.y[row, target]), pictures.thumbnail(row))

    tables = []
    for number, start in each_target(experiment):
        own = [one for one in suspects if one.target == number]
        if not own:
            continue
        name, rows = experiment.targets[number], experiment.rows("validation")
        scored = int((~np.isnan(predictions.y[rows, number])).sum())
        caution = ""
        if not verdict[name]:
            of = f" for {name}" if start else ""
            caution = (
                f"the run is not healthy{of}, so its predictions say little about these labels"
            )
        elif scored < FEW:
            caution = f"{scored} rows are few, so the scores mean little"
        side = "" if experiment.folds else "validation "
        tables.append(
            SuspectTable(
                f"{start}{len(own)} of {scored:,} {side}rows",
                name,
                caution,
                [
                    ShownSuspect(
                        shown(one.row, number),
                        float(predictions.predictions[one.row, number]),
                        one.score,
                        [shown(row, number) for row in one.nearest],
                    )
                    for one in own
                ],
            )
        )
    return tables
