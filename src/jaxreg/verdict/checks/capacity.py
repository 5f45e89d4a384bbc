"""Rows against what the head could learn by heart."""

import numpy as np

from jaxreg.common.threads import threads_for
from jaxreg.verdict.checks.stopped_early import overfit_curve
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed

ROWS_PER_DIRECTION = 2.0
MOST = 256  # directions, and rows that they are counted on
EXPLAINED = 0.9  # of the features' variance
GAP = 0.5  # training over validation error
HALVES = 6  # drawn
STILL_FALLS = 0.93  # a ridge's error on all rows over that on half of them
SIMPLER = 0.9  # a ridge's error over the head's
FEWEST = 20  # rows that a validation error needs


def rows_few(obs: Observed) -> Evidence | None:
    """Fewer rows than the features have directions, and more of them would help."""
    if obs.mae is None or obs.train_mae is None:
        return None
    rows = len(obs.train)
    if rows >= ROWS_PER_DIRECTION * MOST or len(obs.sample_train) < 4:
        return None  # before anything is computed
    directions = _directions(obs)
    if rows >= ROWS_PER_DIRECTION * directions:
        return None
    y, dual, random = obs.sample_y[obs.sample_validation], obs.dual, np.random.default_rng(0)
    halves = [random.permutation(dual.rows)[: dual.rows // 2] for _ in range(HALVES)]
    less = float(np.mean([np.abs(dual.predict(half) - y).mean() for half in halves]))
    all_rows = float(np.abs(dual.predict() - y).mean())
    gap = obs.train_mae < GAP * obs.mae or not obs.learns
    if not gap or (all_rows > STILL_FALLS * less and rows >= FEWEST * 2):
        return None
    sentence = (
        f"{rows} training rows, whose features vary in {directions} directions (for "
        f"{EXPLAINED:.0%} of their variance): MAE {obs.train_mae:.2g} on them, {obs.mae:.2g} on "
        f"the {len(obs.validation)} validation rows; a ridge on half of them reaches {less:.2g}, "
        f"on all {all_rows:.2g}"
    )
    numbers = {"rows": rows, "directions": directions, "half": less, "all": all_rows}
    return Evidence(sentence, f"more images, then: {obs.extract}", numbers)


def overfit(obs: Observed) -> Evidence | None:
    """The head knows its training rows far better than others."""
    if obs.mae is None or obs.train_mae is None:
        return None
    gap, ridge = obs.train_mae / (obs.mae or 1.0), obs.ridge_mae
    if gap < GAP and ridge is not None and ridge < SIMPLER * obs.mae:
        sentence = (
            f"MAE {obs.train_mae:.2g} on the training rows, {obs.mae:.2g} on the validation "
            f"rows, where a ridge, which is simpler, reaches {ridge:.2g}"
        )
        simpler = {"head": "ridge", "scale_features": True}
        return Evidence(sentence, simpler, {"gap": gap, "ridge": ridge})
    if (curve := overfit_curve(obs)) is None:
        return None
    rises, falls = curve
    sentence = (
        f"since epoch {obs.best_epoch} the validation loss has risen to {rises:.2f} times its "
        f"lowest, while the training loss fell to {falls:.2f} times; the weights of epoch "
        f"{obs.best_epoch} are kept"
    )
    changed = {"keep_going": False} if obs.config.keep_going else ""
    return Evidence(sentence, changed, {"rises": rises, "falls": falls}, "note")


def _directions(obs: Observed) -> int:
    """How many principal directions hold most of the variance of the sampled training rows."""
    z = np.clip(obs.standard[obs.sample_train], -4, 4)
    z = z[:MOST] - z[:MOST].mean(axis=0)
    with threads_for(len(z)):
        squares = np.maximum(np.linalg.eigvalsh(z @ z.T)[::-1], 0)
    total = squares.sum()
    return int(np.searchsorted(np.cumsum(squares), EXPLAINED * total) + 1) if total else 1
