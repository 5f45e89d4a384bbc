"""Settings about targets that a remedy changes, and the types that targets seem to have."""

import math
from typing import Any

import numpy as np

from jaxreg.target_types import TargetType, words_of
from jaxreg.verdict.observation import Observed

PERIODS = (1.0, math.pi, 2 * math.pi, 7.0, 12.0, 24.0, 60.0, 100.0, 180.0, 360.0, 365.0, 400.0)
"""Periods that people use: turns, radians, days, months, hours, minutes, percent, degrees, gon."""

COVERED = 0.9  # of a period: targets of that period cover as much
PILE = 0.05  # of the training targets stand exactly on a bound
FEWEST = 5  # of them
ABOVE = 3.0  # times as many as stand on one of the values beside it
BESIDE = 3  # so many of these


def only(obs: Observed, names: tuple[str, ...]) -> dict[str, Any]:
    """The settings of a run with these targets alone."""
    whole = obs.whole or obs
    kinds = dict(zip(whole.targets, whole.types, strict=True))
    own = {"target_type": words_of([kinds[name] for name in names])}
    return {"target": names, **(own if len(whole.config.target_type) > 1 else {})}


def as_type(obs: Observed, kind: TargetType) -> dict[str, Any]:
    """The settings of the same run with this type for the one target of `obs`."""
    whole = obs.whole or obs
    kinds = [kind if i == obs.number else one for i, one in enumerate(whole.types)]
    changed: dict[str, Any] = {"target_type": words_of(kinds)}
    if obs.config.output_activation == "relu":
        changed["output_activation"] = "linear"
    if kind.bounded and not obs.config.scale_target:
        changed["scale_target"] = True
    return changed


def period_of(y: np.ndarray) -> float | None:
    """The shortest of PERIODS that targets (rows,) cover from end to end; None: they cover none.

    They lie from 0 to the period, or from minus half of it to half of it. Whole numbers may end one
    before it, as hours from 0 to 23.
    """
    low, high = float(y.min()), float(y.max())
    whole = bool((y == np.round(y)).all())
    for period in PERIODS:
        span, near = high - low, 1e-6 * period
        covers = COVERED * period <= span <= period + near or (whole and span == period - 1)
        half = low >= -period / 2 - near and high <= period / 2 + near
        if whole and period % 1:  # whole numbers are no radians
            continue
        if covers and (half or (low >= -near and high <= period + near)):
            return period
    return None


def piles(y: np.ndarray) -> tuple[bool, bool]:
    """Whether many targets (rows,) stand exactly on the lowest value, and on the highest.

    Many are more than on any of the values beside it. So counts and grades have no pile.
    """
    values, counts = np.unique(y, return_counts=True)
    least = max(FEWEST, PILE * len(y))
    if len(values) <= BESIDE:
        return False, False
    ends = (counts[0], counts[1 : 1 + BESIDE]), (counts[-1], counts[-1 - BESIDE : -1])
    low, high = (bool(end >= least and end >= ABOVE * beside.max()) for end, beside in ends)
    return low, high


def bounds_of(y: np.ndarray, piled: tuple[bool, bool]) -> TargetType:
    """Bounds for targets (rows,): where they are piled, else the next round number beyond."""
    low, high = float(y.min()), float(y.max())
    low = _short(low, math.floor) if piled[0] else _round(low, math.floor)
    high = _short(high, math.ceil) if piled[1] else _round(high, math.ceil)
    return TargetType(low=low, high=high)


def _short(value: float, to: Any) -> float:
    """The number of six digits that float32 may have made longer; else the number itself."""
    short = float(f"{value:.6g}")
    outwards = short <= value if to is math.floor else short >= value
    return short if outwards else value


def _round(value: float, to: Any) -> float:
    """The next number of one digit."""
    if value == 0:
        return 0.0
    unit = 10.0 ** math.floor(math.log10(abs(value)))
    return float(f"{to(value / unit) * unit:.1g}")
