"""The verdict in one line."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxreg.verdict.finding import Finding


@dataclass(frozen=True)
class Compared:
    """What a training, or several together, are judged by on the validation rows; target units."""

    mae: float | None  # None if a prediction is not finite
    median_mae: float  # of the training median
    ridge_mae: float | None  # None if there is none to compare with
    gain: float  # median_mae - mae
    gain_error: float  # its deviation over bootstrap draws

    @property
    def learns(self) -> bool:
        """The error is below the median predictor's by more than twice the gain's own error."""
        return self.mae is not None and self.gain > 2 * self.gain_error


def headline(seen: Compared, errors: Sequence[Finding], change: str) -> str:
    """Whether it learns, by which numbers, and what to try where it does not.

    Args:
        seen: the training, or several.
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
    # beside its own error, so that nobody takes a lower MAE for a broken verdict
    return (
        f"not learning for certain: {compared}; on these rows that difference may be chance "
        f"({seen.gain:.2g} ± {seen.gain_error:.2g}), more of them would tell (--folds 5)"
    )


def _compared(seen: Compared) -> str:
    told = f"MAE {seen.mae:.3g}, {_share(seen)} the median predictor ({seen.median_mae:.3g})"
    if seen.ridge_mae is not None:
        told += f", ridge reaches {seen.ridge_mae:.3g}"
    return told


def _share(seen: Compared) -> str:
    """`63% below`, `4.2 times`, or `against` where the median is perfect and no share exists."""
    if not seen.median_mae:
        return "against"
    share = seen.gain / seen.median_mae
    if abs(share) < 0.005:
        return "no better than"
    if share < -1:
        return f"{1 - share:.3g} times that of"
    return f"{share:.0%} below" if share > 0 else f"{-share:.0%} above"
