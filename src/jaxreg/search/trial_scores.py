"""The score of a trial: of its pooled predictions on the rows that its inner folds hold out."""

import math
from typing import NamedTuple

import numpy as np

from jaxreg.experiment.resolve import ResolvedRun
from jaxreg.metrics import Loss, scores
from jaxreg.target_types import center_and_std
from jaxreg.train_config import DELTA


class Score(NamedTuple):
    """How good predictions are. `error` is what a sweep makes small."""

    mae: float | None  # target units; None for several targets
    r2: float | None
    huber: float  # the loss; of several targets the scaled one
    rows: int

    @property
    def error(self) -> float:
        """The MAE, or of several targets the scaled Huber loss."""
        return self.huber if self.mae is None else self.mae


def loss_within(resolved: ResolvedRun, rows: np.ndarray) -> Loss:
    """The Huber loss that the trials of a choice are compared by, whatever their own delta is.

    Its std is that of the rows that the choice may see.
    """
    _, std = center_and_std(resolved.types, resolved.y[rows])
    units = np.where(std == 0, 1.0, std)
    asked = resolved.asked.get("huber_delta")
    return Loss(DELTA * units if asked is None else np.array(asked), units, resolved.types)


def score_of(y: np.ndarray, rows: np.ndarray, predictions: np.ndarray, loss: Loss) -> Score | None:
    """Score predictions (rows, targets) of these rows of y; None where one is not finite."""
    if not len(rows) or not np.isfinite(predictions).all():
        return None
    found = scores(y[rows], predictions, loss)
    huber = found["huber"]
    if huber is None or not math.isfinite(huber):
        return None
    return Score(found["mae"], found["r2"], huber, len(rows))
