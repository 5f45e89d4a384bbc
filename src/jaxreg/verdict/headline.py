"""The verdict in one line."""

from collections.abc import Sequence

from jaxreg.verdict.finding import Finding
from jaxreg.verdict.observed import Observed


def headline(seen: Observed, errors: Sequence[Finding], change: str) -> str:
    """Whether it learns, by which numbers, and what to try where it does not.

    Args:
        seen: the training.
        errors: findings of that severity, the one to name first.
        change: what they ask for, in short.
    """
    tried = f". Try {change}" if change else ""
    if seen.mae is None:
        why = errors[0].evidence if errors else "predictions are not finite"
        return f"not learning: {why}{tried}"
    compared = _compared(seen)
    if errors:
        start = "learning, but held back" if seen.learns else "not learning"
        if errors[0].code == "split-leak":
            start = "not to be believed"
        return f"{start}: {errors[0].evidence}{tried} ({compared})"
    if seen.learns:
        return f"learning: {compared}"
    if seen.gain < -2 * seen.gain_error:
        return f"not learning: {compared}"
    return f"not learning: {compared}, within twice the error of that difference"


def _compared(seen: Observed) -> str:
    told = f"MAE {seen.mae:.3g}, {_share(seen)} the median predictor ({seen.median_mae:.3g})"
    if seen.ridge_mae is not None:
        told += f", ridge reaches {seen.ridge_mae:.3g}"
    return told


def _share(seen: Observed) -> str:
    """`63% below`, `4.2 times`, or `against` where the median is perfect and no share exists."""
    if not seen.median_mae:
        return "against"
    share = seen.gain / seen.median_mae
    if abs(share) < 0.005:
        return "no better than"
    if share < -1:
        return f"{1 - share:.3g} times that of"
    return f"{share:.0%} below" if share > 0 else f"{-share:.0%} above"
