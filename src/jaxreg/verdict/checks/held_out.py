"""Looks at the predictions that the score is of: beside a ridge's, and over their targets."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxreg.target_numbers import number_text, std_of
from jaxreg.target_types import PLAIN, TargetType, difference, mean_over
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.small_ridge import small_ridge
from jaxreg.verdict.target_remedies import as_type, bounds_of, only, period_of, piles

LINEAR = 0.95  # of the head's error: a ridge below it is better
MIXED = 0.98  # of the ridge's error: below it the mean of head and ridge is better than both
FEWEST = 5  # rows at each end, and beside the ends
END = 0.05  # share of the rows that an end has
DENSE = 0.15  # of the range of the targets: the rows of an end lie within it
BIAS, FAR = 0.1, 0.35  # of the range: the mean error of an end's rows, and their largest
BESIDE = (0.1, 0.25)  # of the range, from the nearer end: rows that the ends are compared with
STEEP = 2.3  # times their error
AROUND = 0.75  # of the run's error around the circle: a ridge that learns directions is below it
BEYOND = 0.02  # of the MAE: the part of it that lies beyond a bound

Remedy = Mapping[str, Any] | str

AS_BASELINE = {"head": "ridge", "components": None, "scale_features": True, "seeds": 1}
"""The settings of the ridge that a run is compared with."""


def linear_is_better(obs: Observed) -> Evidence | None:
    """A ridge on the same features has a clearly lower error than the head."""
    if obs.mae is None or obs.ridge is None or obs.ridge_mae is None:
        return None
    rows, ridge = obs.validation, obs.ridge[obs.validation]
    y, head = obs.y[rows], obs.predictions[rows]
    gain, error = obs.gain_over(head, ridge)
    over_median = obs.gain_over(obs.median_for(rows), ridge)
    if obs.ridge_mae > LINEAR * obs.mae or gain < 2 * error or over_median[0] <= 2 * over_median[1]:
        return None
    share = gain / obs.mae
    sentence = (
        f"a ridge on the same features has an MAE of {obs.ridge_mae:.3g}, {share:.0%} below the "
        f"head's {obs.mae:.3g} (the difference is {gain:.2g} ± {error:.1g})"
    )
    mixed = float(np.abs(obs.difference(mean_over(obs.types, [head, ridge]), y)).mean())
    for_all = obs.whole is None or all(map(_ridge_leads, obs.whole.each))
    remedy: dict[str, Any] = AS_BASELINE if for_all else AS_BASELINE | only(obs, obs.targets)
    if obs.config.head != "blend" and (mixed < MIXED * obs.ridge_mae or not for_all):
        # a blend has a share for each target
        remedy = {"head": "blend", "scale_features": True, "scale_target": True}
    if obs.bounded:  # the ridge that was measured has no such bound
        remedy = remedy | {"output_activation": "linear"}
    numbers = {"ridge": obs.ridge_mae, "head": obs.mae, "gain": gain, "gain_error": error}
    return Evidence(sentence, remedy, numbers)


def _ridge_leads(obs: Observed) -> bool:
    return obs.mae is not None and obs.ridge_mae is not None and obs.ridge_mae < obs.mae


def targets_at_both_ends(obs: Observed) -> Evidence | None:
    """Predictions are far too high at the low end of the targets, and far too low at the high end.

    A prediction that shrinks to the mean errs more and more towards both ends. For a target that
    starts again, as an angle does, images at both ends are alike: there the error is a step. Where
    noise hides the step, a ridge that learns directions is clearly better than the run.
    """
    if obs.mae is None or obs.types[0] != PLAIN:
        return None
    y, predictions = (a[obs.validation, 0].astype(np.float64) for a in (obs.y, obs.predictions))
    trained = obs.y[obs.trained, 0]
    low, high = float(trained.min()), float(trained.max())
    span, few = high - low, max(FEWEST, round(END * len(y)))
    if span <= 0 or len(y) < 2 * few:
        return None
    error, place = (predictions - y) / span, np.argsort(y, kind="stable")
    first, last = place[:few], place[-few:]
    inside = np.minimum(y - low, high - y) / span
    beside = (inside > BESIDE[0]) & (inside < BESIDE[1])
    if beside.sum() < FEWEST or max(inside[first].max(), inside[last].max()) > DENSE:
        return None
    too_high, too_low = float(error[first].mean()), float(-error[last].mean())
    at_ends = float(np.abs(error[np.r_[first, last]]).mean())
    next_to_them = float(np.abs(error[beside]).mean())
    farthest = min(error[first].max(), -error[last].min())
    if min(too_high, too_low) < BIAS or farthest < FAR:
        return None
    std, period = std_of(trained), period_of(trained)
    numbers = {"low": too_high * span, "high": -too_low * span, "inside": next_to_them * span}
    compared = ""
    if at_ends < STEEP * next_to_them:
        around, own = (np.inf, 0.0) if period is None else _around(obs, TargetType(period=period))
        if around > AROUND * own:
            return None
        compared = f", where the MAE is {own:.3g} around the circle; a ridge that learns the "
        compared += f"direction reaches {around:.3g}"
        numbers |= {"around": own, "ridge_around": around}
    of = lambda value: number_text(float(value), std)  # noqa: E731
    sentence = (
        f"predictions are {too_high * span:.3g} too high for targets up to {of(y[first].max())} "
        f"and {too_low * span:.3g} too low from {of(y[last].min())} on, on average; a little "
        f"further inside the error is {next_to_them * span:.3g}. Targets that start again, as "
        f"angles do, have {obs.noun}s that are alike at {of(low)} and {of(high)}{compared}"
    )
    remedy: Remedy = "give the period of such a target: --target-type circular:PERIOD"
    if period is not None:
        remedy = as_type(obs, TargetType(period=period))
    return Evidence(sentence, remedy, numbers)


def _around(obs: Observed, kind: TargetType) -> tuple[float, float]:
    """Errors around the circle on sampled held-out rows.

    They are of a small ridge that learns directions, and the lower one of the run and of a small
    ridge that learns the numbers.
    """
    train, asked = obs.sample_train, obs.sample_validation
    if not len(train):  # pooled folds: one half predicts the other
        train, asked = np.array_split(asked, 2)
    if len(train) < FEWEST or len(asked) < FEWEST:
        return np.inf, 0.0
    y, weights, rows = obs.sample_y, obs.weights[obs.sampled], obs.sampled[asked]
    circular, plain = (
        small_ridge(obs.x[train], y[train], obs.x[asked], types, obs.side, weights[train])
        for types in ((kind,), (PLAIN,))
    )
    each = (circular, plain, obs.predictions[rows])
    around, *others = (float(np.abs(difference((kind,), p, y[asked])).mean()) for p in each)
    return around, min(others)


def targets_at_bound(obs: Observed) -> Evidence | None:
    """Many training targets stand exactly on a bound, and predictions go beyond it."""
    if obs.mae is None or obs.types[0] != PLAIN:
        return None
    trained = obs.y[obs.trained, 0].astype(np.float64)
    predictions = obs.predictions[obs.validation, 0].astype(np.float64)
    low, high = float(trained.min()), float(trained.max())
    piled = piles(trained)
    below = np.maximum(low - predictions, 0) * piled[0]
    above = np.maximum(predictions - high, 0) * piled[1]
    beyond = below + above
    cost, rows = float(beyond.mean()), int((beyond > 0).sum())
    if not any(piled) or cost < BEYOND * obs.mae or rows < FEWEST:
        return None
    std = std_of(trained)
    ends = [
        f"{float((trained == end).mean()):.0%} of the training targets are {number_text(end, std)}"
        for end, is_one in zip((low, high), piled, strict=True)
        if is_one
    ]
    sentence = (
        f"{' and '.join(ends)}, which looks like a bound; {rows} of {len(predictions)} predictions "
        f"are beyond it, and that is {cost / obs.mae:.0%} of the MAE ({obs.mae:.3g})"
    )
    known = obs.y[:, 0].astype(np.float64)
    kind = bounds_of(known[np.isfinite(known)], piled)
    numbers = {"rows": rows, "cost": cost, "low": kind.low, "high": kind.high}
    return Evidence(sentence, as_type(obs, kind), numbers)


def predictions_out_of_range(obs: Observed) -> Evidence | None:
    """Predictions leave the range of the training targets by more than their std."""
    if obs.types[0].circular:
        return None
    rows = np.flatnonzero(np.isin(obs.labels, ("validation", "test")))
    predictions = obs.predictions[rows, 0].astype(np.float64)
    trained = obs.y[obs.trained, 0].astype(np.float64)
    low, high, std = float(trained.min()), float(trained.max()), std_of(trained)
    beyond = np.maximum(low - predictions, predictions - high)
    if not np.isfinite(predictions).all() or not std or not (beyond > std).any():
        return None
    farthest, count = int(beyond.argmax()), int((beyond > std).sum())
    sentence = (
        f"{count} of {len(rows)} predictions leave the range of the training targets "
        f"({number_text(low, std)} to {number_text(high, std)}) by more than their std "
        f"({std:.3g}); row {rows[farthest]} has "
        f"{number_text(float(predictions[farthest]), std)}"
    )
    numbers = {"rows": count, "farthest": float(predictions[farthest]), "low": low, "high": high}
    if not obs.config.scale_features:
        return Evidence(sentence, {"scale_features": True}, numbers)
    return Evidence(sentence, f"look at the {obs.noun} of row {rows[farthest]}", numbers)
