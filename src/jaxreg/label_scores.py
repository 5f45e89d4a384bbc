"""How much each label looks like the others, given predictions that have not seen it: OUTRE.

Rows are points in the plane of the standardized label and 5 times the standardized residual. The
score of a row is exp(−d / m): d is its mean distance to the nearest half of all rows, and m is the
median of d over the rows. So 1 is a label like the others, and 0 a label like no other.

This is the default of `cleanlab.regression.rank.get_label_quality_scores` (2.9). The score by
distances to neighbours is that of arXiv:2207.03061.
"""

import numpy as np

from jaxreg.target_types import PLAIN, TargetType, center_and_std, difference

RESIDUALS = 5.0  # how much more a residual counts than a label
NEIGHBOURS = 0.5  # share of the rows that a row is compared with
MOST_ROWS = 2048  # that each row is compared with; of more, as many are drawn

_TINY = 1e-100  # a std of 0 becomes this
_LEAST = 1e-6  # of the median distance
_ROUNDED = (100 * np.finfo(np.float64).eps) ** 0.5  # a mean distance below it is 0
_BLOCK = 256  # rows at a time


def label_scores(y: np.ndarray, predictions: np.ndarray, kind: TargetType = PLAIN) -> np.ndarray:
    """The OUTRE score of each label, from 0 (unlike the others) to 1.

    Around a circle, label and residual are differences the shorter way around, and so are the
    distances of rows. With more than MOST_ROWS rows, the distances are to so many rows that a
    fixed seed draws, so the time grows linearly.

    Args:
        y: (rows,) labels, target units.
        predictions: (rows,) by heads that did not see the row.
        kind: the type of the target.

    Returns:
        (rows,) float64. NaN where the label or the prediction is not finite.
    """
    known = np.flatnonzero(np.isfinite(y) & np.isfinite(predictions))
    found = np.full(len(y), np.nan)
    if not len(known):
        return found
    own = y[known, None].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged head
        center, (spread,) = center_and_std([kind], own)
        labels = difference([kind], own, center[None, :])[:, 0] / (spread + _TINY)
        residuals = difference([kind], predictions[known, None], own)[:, 0]
        size = (residuals.std() + _TINY) / RESIDUALS
        residuals = (residuals - residuals.mean()) / size
    turns = [kind.period / unit if kind.circular else None for unit in (spread + _TINY, size)]
    some = slice(None)
    if len(known) > MOST_ROWS:
        some = np.random.default_rng(0).choice(len(known), MOST_ROWS, replace=False)
    apart = _mean_distances([labels, residuals], [labels[some], residuals[some]], turns)
    scores = np.exp(-apart / max(float(np.median(apart)), _LEAST))
    found[known] = np.where(apart < _ROUNDED, 1.0, scores)
    return found


def _mean_distances(
    points: list[np.ndarray], others: list[np.ndarray], turns: list[float | None]
) -> np.ndarray:
    """The mean distance of each point (rows,) to the nearest NEIGHBOURS of the others.

    Args:
        points, others: the two coordinates.
        turns: the length of a full turn of each coordinate; None for a straight one.
    """
    count = int(np.ceil(NEIGHBOURS * len(others[0])))
    found = np.empty(len(points[0]))
    for start in range(0, len(found), _BLOCK):
        square = 0.0
        for here, there, turn in zip(points, others, turns, strict=True):
            apart = np.abs(here[start : start + _BLOCK, None] - there[None, :])
            if turn is not None:
                apart = np.minimum(apart, turn - apart)
            square = square + np.square(apart)
        nearest = np.partition(square, count - 1, axis=1)[:, :count]
        found[start : start + _BLOCK] = np.sqrt(nearest).mean(axis=1)
    return found
