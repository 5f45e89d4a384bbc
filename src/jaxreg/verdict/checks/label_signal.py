"""Looks for targets that the features tell nothing about."""

import math

import numpy as np

from jaxreg.head.target_outputs import encode
from jaxreg.metrics import ranks
from jaxreg.target_types import TargetType
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed

RELATED = 0.3  # rank correlation
SURE = 4.0  # times the error of the gain: a larger gain needs no further test
MUCH = 0.25  # of the median predictor's error: with such a gain the targets are related
SHUFFLES = 200
CHANCE = 0.05  # share of shuffles with as high a correlation
LITTLE = 0.9  # of the median predictor's error: a ridge below it has learned something
HELPS = 0.95  # of the median predictor's error: a ridge above it has learned nothing


def labels_unrelated(obs: Observed) -> Evidence | None:
    """Neither the head nor a ridge predicts better than shuffled targets allow by chance."""
    if obs.mae is None or obs.gain > SURE * obs.gain_error:
        return None
    rows, pred = obs.linear
    if obs.learns and (obs.gain > MUCH * obs.median_mae or not _at_chance(obs)):
        return None
    y = obs.y[rows].astype(np.float64)
    if np.ptp(y) == 0 or not _can_tell(len(y), in_time=obs.sequential):
        return None
    ridge = float(np.abs(obs.difference(pred, y)).mean())
    median = float(np.abs(obs.difference(obs.median, y)).mean())
    rank, chance = _chance(obs, rows, pred[:, 0], y[:, 0])
    if ridge < LITTLE * median:
        return None
    if chance <= CHANCE and (ridge < HELPS * median or rank > RELATED):
        return None
    circular = obs.types[0].circular
    within = "shuffles within sequences" if obs.sequential else "shuffles"
    sentence = (
        f"a ridge reaches an MAE of {ridge:.3g}, the median predictor {median:.3g}; the ridge's "
        f"{'' if circular else 'rank '}correlation with the target is {rank:.2f}, and {chance:.0%} "
        f"of {within} reach that too: these features do not tell these targets"
    )
    remedy = f"check that each {obs.noun} has its own target, then: {obs.diagnose}"
    return Evidence(sentence, remedy, {"rank": rank, "chance": chance, "ridge": ridge})


def _can_tell(rows: int, *, in_time: bool) -> bool:
    """Whether there are so many rows that shuffles rarely reach their best order by chance."""
    return 1 / (rows - 1 if in_time else math.factorial(min(rows, 20))) <= CHANCE


def _at_chance(obs: Observed) -> bool:
    """Whether the head's own predictions correlate no better than with shuffled targets."""
    rows = obs.validation
    y, pred = obs.y[rows, 0].astype(np.float64), obs.predictions[rows, 0]
    return _chance(obs, rows, pred, y)[1] > CHANCE


def _chance(
    obs: Observed, rows: np.ndarray, pred: np.ndarray, y: np.ndarray
) -> tuple[float, float]:
    """The rank correlation, and the share of shuffled targets with as high a correlation.

    Angles have no ranks. There the correlation is that of points on the circle.
    """
    if np.ptp(pred) == 0 or np.ptp(y) == 0:
        return 0.0, 1.0
    [kind] = obs.types
    a, b = (_standing(kind, values) for values in (pred, y))
    random = np.random.default_rng(0)
    shuffled = np.empty((SHUFFLES, len(b)), int)
    place = np.lexsort((obs.order[rows], obs.sequence[rows]))
    for i in range(SHUFFLES):
        if obs.sequential:  # neighbours stay neighbours
            shuffled[i, place] = np.roll(place, random.integers(1, max(2, len(b))))
        else:
            shuffled[i] = random.permutation(len(b))
    a = (a - a.mean(axis=0)) / np.sqrt(a.var(axis=0).sum())
    size = len(b) * np.sqrt(b.var(axis=0).sum())
    found = float((a * b).sum() / size)
    by_chance = np.array([(a * b[some]).sum() for some in shuffled]) / size
    return found, float((by_chance >= found).mean())


def _standing(kind: TargetType, values: np.ndarray) -> np.ndarray:
    """(rows, 1) the ranks of values; of angles (rows, 2) their points on the circle."""
    return encode([kind], values[:, None]) if kind.circular else ranks(values)[:, None]
