"""Rows against what the head could learn by heart."""

import numpy as np

from jaxreg.blas import threads_for
from jaxreg.verdict.curve import overfit_curve
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observed import Observed

ROWS_PER_DIRECTION = 2.0
MOST = 256  # directions, and rows that they are counted on
EXPLAINED = 0.9  # of the features' variance
GAP = 0.5  # training over validation error
HALVES = 6  # drawn
STILL_FALLS = 0.93  # a ridge's error on all rows over that on half of them
SIMPLER = 0.9  # a ridge's error over the head's
FEWEST = 20  # rows that a validation error needs


def rows_few(seen: Observed) -> Evidence | None:
    """Fewer rows than the features have directions, and more of them would help."""
    if seen.mae is None or seen.train_mae is None:
        return None
    rows = len(seen.train)
    if rows >= ROWS_PER_DIRECTION * MOST or len(seen.sample_train) < 4:
        return None  # before anything is computed
    directions = _directions(seen)
    if rows >= ROWS_PER_DIRECTION * directions:
        return None
    y, dual, random = seen.sample_y[seen.sample_watched], seen.dual, np.random.default_rng(0)
    halves = [random.permutation(dual.rows)[: dual.rows // 2] for _ in range(HALVES)]
    less = float(np.mean([np.abs(dual.predict(half) - y).mean() for half in halves]))
    all_rows = float(np.abs(dual.predict() - y).mean())
    gap = seen.train_mae < GAP * seen.mae or not seen.learns
    if not gap or (all_rows > STILL_FALLS * less and rows >= FEWEST * 2):
        return None
    sentence = (
        f"{rows} training rows, whose features vary in {directions} directions (for "
        f"{EXPLAINED:.0%} of their variance): MAE {seen.train_mae:.2g} on them, {seen.mae:.2g} on "
        f"the {len(seen.watched)} validation rows; a ridge on half of them reaches {less:.2g}, on "
        f"all {all_rows:.2g}"
    )
    numbers = {"rows": rows, "directions": directions, "half": less, "all": all_rows}
    return Evidence(sentence, f"more images, then: {seen.extract}", numbers)


def overfit(seen: Observed) -> Evidence | None:
    """The head knows its training rows far better than others."""
    if seen.mae is None or seen.train_mae is None:
        return None
    gap, ridge = seen.train_mae / (seen.mae or 1.0), seen.ridge_mae
    if gap < GAP and ridge is not None and ridge < SIMPLER * seen.mae:
        sentence = (
            f"MAE {seen.train_mae:.2g} on the training rows, {seen.mae:.2g} on the validation "
            f"rows, where a ridge, which is simpler, reaches {ridge:.2g}"
        )
        simpler = {"head": "ridge", "scale_features": True}
        return Evidence(sentence, simpler, {"gap": gap, "ridge": ridge})
    if (curve := overfit_curve(seen)) is None:
        return None
    rises, falls = curve
    sentence = (
        f"since epoch {seen.best_epoch} the validation loss has risen to {rises:.2f} times its "
        f"lowest, while the training loss fell to {falls:.2f} times; the weights of epoch "
        f"{seen.best_epoch} are kept"
    )
    changed = {"keep_going": False} if seen.config.keep_going else ""
    return Evidence(sentence, changed, {"rises": rises, "falls": falls}, "note")


def _directions(seen: Observed) -> int:
    """How many principal directions hold most of the variance of the sampled training rows."""
    z = np.clip(seen.standard[seen.sample_train], -4, 4)
    z = z[:MOST] - z[:MOST].mean(axis=0)
    with threads_for(len(z)):
        squares = np.maximum(np.linalg.eigvalsh(z @ z.T)[::-1], 0)
    total = squares.sum()
    return int(np.searchsorted(np.cumsum(squares), EXPLAINED * total) + 1) if total else 1
