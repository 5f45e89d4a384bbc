"""The first line of an evaluation: how the run scores, beside what it promised."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxreg.verdict.checks.new_errors import FAR, SURE
from jaxreg.verdict.finding import Finding

CHANCE = ", but it may be chance"


def headline_of(
    by_target: Mapping[str, Mapping[str, Any]],
    findings: Sequence[Finding],
    rows: int,
    trained: int,
) -> str:
    """One line; of several targets it names those that are far worse, else it names them all.

    Args:
        by_target: as `Evaluation.by_target`.
        findings: their codes follow where the run is far worse.
        rows: that are scored.
        trained: how many of them trained the run.
    """
    worse = [name for name, one in by_target.items() if one["far_worse"]]
    several = len(by_target) > 1
    shown = worse or [name for name, one in by_target.items() if one["mae"] is not None]
    parts = [_part(name if several else "", by_target[name]) for name in shown]
    word = "far worse than promised" if worse else _word([by_target[name] for name in shown])
    if trained:
        what = f"{trained} of the {rows} rows" if rows > 1 else "the row"
        word += f", {'and' if worse or CHANCE in word else 'but'} {what} trained the run"
    text = f"{word}: {'; '.join(parts)}" if parts else "nothing is scored"
    codes = dict.fromkeys(one.code for one in findings if any(one.about(name) for name in shown))
    return f"{text} ({', '.join(codes)})" if worse and codes else text


def _part(name: str, one: Mapping[str, Any]) -> str:
    unit = f"{name} " if name else ""
    promised, error = one["held_out"]["mae"], one["mae_error"]
    sure = "" if error is None or error == float("inf") else f" ± {error:.2g}"
    text = f"{unit}MAE {one['mae']:.3g}{sure} here"
    if promised is None:
        return text
    error = one["held_out_mae_error"]
    sure = "" if error is None or error == float("inf") else f" ± {error:.2g}"
    return f"{text}, {promised:.3g}{sure} on the held-out rows of the run"


def _word(shown: Sequence[Mapping[str, Any]]) -> str:
    """How scores that are not far worse compare with the promised ones."""
    ratios = [
        one["mae"] / one["held_out"]["mae"]
        for one in shown
        if one["mae"] is not None and one["held_out"]["mae"]
    ]
    if not ratios:
        return "scored"
    if any(one["far_worse"] is None for one in shown):
        return "scored"
    if max(ratios) > FAR:
        return f"worse than promised{CHANCE}"
    if max(ratios) >= 1 / FAR:
        return "about as promised"
    return f"better than promised{'' if all(map(_surely_better, shown)) else CHANCE}"


def _surely_better(one: Mapping[str, Any]) -> bool:
    """The MAE is below the promised one by more than SURE errors of the difference."""
    errors = math.hypot(one["mae_error"], one["held_out_mae_error"] or 0.0)
    return one["mae"] + SURE * errors < one["held_out"]["mae"]
