"""Looks for too few rows, and for a head that learns its training rows by heart."""

import numpy as np

from jaxreg.common.threads import threads_for
from jaxreg.verdict.checks.held_out import AS_BASELINE
from jaxreg.verdict.checks.stopped_early import overfit_curve
from jaxreg.verdict.finding import Evidence, more_rows
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.small_ridge import small_ridge

ROWS_PER_DIRECTION = 2.0
MOST = 256  # directions, and rows that they are counted on
EXPLAINED = 0.9  # of the features' variance
GAP = 0.5  # training over validation error
HALVES = 6  # of the rows, drawn
STILL_FALLS = 0.93  # error of a ridge fitted on all rows over that of one fitted on half
SIMPLER = 0.9  # a ridge's error over the head's
FEWEST = 20  # rows that a validation error needs


def rows_few(obs: Observed) -> Evidence | None:
    """There are few rows for the number of directions, and more rows would help."""
    if obs.mae is None or obs.train_mae is None:
        return None
    rows = len(obs.train)
    if rows >= ROWS_PER_DIRECTION * MOST or len(obs.sample_train) < 4:
        return None
    if obs.learns and obs.train_mae >= GAP * obs.mae:
        return None
    directions = _directions(obs)
    if rows >= ROWS_PER_DIRECTION * directions:
        return None
    random, train, asked = np.random.default_rng(0), obs.sample_train, obs.sample_validation
    halves = [random.permutation(train)[: len(train) // 2] for _ in range(HALVES)]
    x, y, how = obs.x, obs.sample_y, (obs.types, obs.side)
    ridges = [small_ridge(x[half], y[half], x[asked], *how) for half in halves]
    errors = [np.abs(obs.difference(one, y[asked])).mean() for one in (*ridges, obs.sample_ridge)]
    less, all_rows = float(np.mean(errors[:-1])), float(errors[-1])
    if all_rows > STILL_FALLS * less and rows >= FEWEST * 2:
        return None
    sentence = (
        f"there are {rows} training rows, and {directions} directions hold {EXPLAINED:.0%} of the "
        f"variance of their features; the MAE is {obs.train_mae:.2g} on these rows and "
        f"{obs.mae:.2g} on the {len(obs.validation)} validation rows; a ridge fitted on half of "
        f"the rows reaches {less:.2g}, on all of them {all_rows:.2g}"
    )
    numbers = {"rows": rows, "directions": directions, "half": less, "all": all_rows}
    return Evidence(
        sentence, f"add {more_rows(obs.unit_word, obs.noun)}, then: {obs.extract}", numbers
    )


def overfit(obs: Observed) -> Evidence | None:
    """The error on the training rows is far below that on the validation rows."""
    if obs.mae is None or obs.train_mae is None:
        return None
    gap, ridge = obs.train_mae / (obs.mae or 1.0), obs.ridge_mae
    if gap < GAP and ridge is not None and ridge < SIMPLER * obs.mae:
        sentence = (
            f"the MAE is {obs.train_mae:.2g} on the training rows and {obs.mae:.2g} on the "
            f"validation rows; a ridge, which is simpler, reaches {ridge:.2g} there"
        )
        return Evidence(sentence, AS_BASELINE, {"gap": gap, "ridge": ridge})
    if (curve := overfit_curve(obs)) is None:
        return None
    (rises, falls), best = curve, int(obs.state.best_epoch)
    sentence = (
        f"the validation loss is lowest in epoch {best}; since then it has risen to {rises:.2f} "
        f"times its value there, and the training loss has fallen to {falls:.2f} times; the run "
        f"keeps the weights of epoch {best}"
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
