"""What a verdict is made of: findings, and the causes that they are findings of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    pass

Severity = Literal["error", "warning", "note"]

ORDER: tuple[Severity, ...] = ("error", "warning", "note")
"""The gravest first."""


@dataclass(frozen=True)
class Evidence:
    """What a check saw where its cause is at work."""

    sentence: str  # with the numbers, no full stop
    remedy: Mapping[str, Any] | str = ""  # settings to change, or a command, or "" for nothing
    numbers: Mapping[str, float] = field(default_factory=dict)  # the sentence's, unrounded
    severity: Severity | None = None  # where it is not the cause's own


@dataclass(frozen=True)
class Finding:
    """One named cause, what shows it, and what to do about it."""

    code: str
    severity: Severity
    evidence: str  # a sentence with the numbers
    remedy: str  # a command to copy, "" if there is nothing to do
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """What a training, or several together, are judged by on the validation rows; target units."""

    mae: float | None  # None if a prediction is not finite
    median_mae: float  # of the training median
    ridge_mae: float | None  # None if there is none to compare with
    gain: float  # median_mae - mae
    gain_error: float  # its std over bootstrap draws

    @property
    def learns(self) -> bool:
        """The error is below the median predictor's by more than twice the gain's own error."""
        return self.mae is not None and self.gain > 2 * self.gain_error
