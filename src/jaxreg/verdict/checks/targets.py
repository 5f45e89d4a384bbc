"""Looks for targets that the output cannot reach, or whose scale hides them from the loss."""

import numpy as np

from jaxreg.head.target_outputs import scaled
from jaxreg.metrics import huber
from jaxreg.target_numbers import number_text, std_of
from jaxreg.target_types import center_and_std
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.target_remedies import only

BOUND_COST = 0.01  # of the median predictor's error
TRIMS = (0.1, 0.05, 0.02)  # shares left out on each side for the scale of the usual targets
OUTLYING, SHRINKS = 15.0, 3.0  # usual std; times the std falls without them
UNSEEN = 30.0  # times --min-delta: the loss of the median predictor
SMALL = 0.3  # of the Huber delta
FAR = 10.0  # head outputs: initial ones are about 1


def output_bounded(obs: Observed) -> Evidence | None:
    """The output relu cannot reach targets below 0."""
    if obs.config.output_activation != "relu":
        return None
    y = obs.y[obs.train]
    below = float((y < 0).mean())
    cost = float(np.maximum(-y, 0).mean())
    usual = float(np.abs(obs.difference(obs.median, y)).mean())
    if cost <= BOUND_COST * usual:
        return None
    sentence = f"the output relu cannot go below 0, and {below:.0%} of the training targets do"
    return Evidence(sentence, {"output_activation": "linear"}, {"share": below, "cost": cost})


def target_constant(obs: Observed) -> Evidence | None:
    """All training rows have the same target."""
    if _varies(obs):
        return None
    y = obs.y[obs.train]
    sentence = f"the target is {y[0, 0]:.10g} for all {len(y)} training rows"
    numbers = {"value": float(y[0, 0])}
    others = tuple(one.targets[0] for one in (obs.whole or obs).each if _varies(one))
    if others:
        return Evidence(sentence, only(obs, others), numbers)
    remedy = f"jaxreg train {' '.join(obs.words)} --target COLUMN"
    return Evidence(sentence, remedy, numbers)


def _varies(obs: Observed) -> bool:
    y = obs.y[obs.train]
    return bool((y != y[:1]).any())


def targets_outliers(obs: Observed) -> Evidence | None:
    """A few targets are so far from all others that they decide the std."""
    if obs.types[0].circular:  # no target is far from all others
        return None
    y = obs.y[obs.train, 0].astype(np.float64)
    center, usual = float(np.median(y)), _usual_std(y)
    far = np.abs(y - center) > OUTLYING * usual
    if not usual or not far.any():
        return None
    std, without = std_of(y), std_of(y[~far])
    if std < SHRINKS * without:
        return None
    worst = y[np.argmax(np.abs(y - center))]
    sentence = (
        f"most training targets are {number_text(center, usual)} ± {usual:.2g}; {far.sum()} of "
        f"{len(y)} are more than {OUTLYING:g} times that far away, the farthest at {worst:.4g}; "
        f"without them the std falls from {std:.3g} to {without:.3g}"
    )
    first = int(obs.train[np.flatnonzero(far)[0]])
    remedy = f"mend or take out such targets (first: row {first}), then: {obs.extract}"
    return Evidence(sentence, remedy, {"rows": int(far.sum())})


def target_scale(obs: Observed) -> Evidence | None:
    """The targets are so small that early stopping misses all progress, or far from the output."""
    if not obs.behind or obs.mae is None:
        return None
    scaler, config = obs.state.scalers.target, obs.config
    y = scaled(config, scaler, obs.y[obs.train])
    away = float(np.sqrt(np.square(y, dtype=np.float64).mean()))
    if not config.scale_target and away > FAR:
        sentence = f"the unscaled targets lie about {away:.3g} from 0, and a new head starts near 0"
        return Evidence(sentence, {"scale_target": True}, {"away": away})
    error = np.abs(obs.difference(obs.median, obs.y[obs.validation]))
    unit = 1.0 if obs.whole is None else float(scaler.std[0])  # as in the loss
    deltas, least = config.thresholds
    _, [std] = center_and_std(obs.types, obs.y[obs.train])
    if deltas is None:
        small, told = True, ""
        to_lose = float(((error / unit) ** config.power).mean())
    else:
        delta = float(np.max(deltas))  # there is one: that of this target
        small, told = std < SMALL * delta, f", the Huber delta {delta:g}"
        to_lose = float(huber(error / unit, delta / unit).mean())
    if not (small and obs.state.stopped and to_lose < UNSEEN * least):
        return None
    sentence = (
        f"the median predictor's loss is {to_lose:.2g} (the std of the target is "
        f"{std:.2g}{told}), and improvements below "
        f"--min-delta {least:g} do not count"
    )
    changed = {"min_delta": float(f"{to_lose / 3000:.1g}"), "scale_target": True}
    return Evidence(sentence, changed, {"to_lose": to_lose, "min_delta": float(least)})


def _usual_std(values: np.ndarray) -> float:
    """The std without the outermost shares; the first of TRIMS that leaves values that vary."""
    ordered = np.sort(values)
    for trim in TRIMS:
        cut = round(trim * len(ordered))
        if (std := std_of(ordered[cut : len(ordered) - cut])) > 0:
            return std
    return 0.0
