"""The parts of a verdict: evidence, findings, and the errors that it compares."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]

ORDER: tuple[Severity, ...] = ("error", "warning", "note")
"""The most severe first."""


@dataclass(frozen=True)
class Evidence:
    """What a check returns where it finds its cause."""

    sentence: str  # with the numbers, no full stop
    remedy: Mapping[str, Any] | str = ""  # settings to change, a command, or ""
    numbers: Mapping[str, float] = field(default_factory=dict)  # the sentence's, unrounded
    severity: Severity | None = None  # None: the cause's own
    targets: tuple[str, ...] | None = None  # of several, those that the remedy helps; None: all


@dataclass(frozen=True)
class Finding:
    """One named cause, its evidence, and its remedy."""

    code: str
    severity: Severity
    evidence: str  # a sentence with the numbers
    remedy: str  # a command to copy, or ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    targets: tuple[str, ...] = ()  # that it is about; empty: it is about all of the run

    def about(self, target: str) -> bool:
        """Whether the finding is about this target."""
        return not self.targets or target in self.targets

    def named(self) -> "Finding":
        """The same with the names of its targets in the evidence, unless it is about all."""
        if not self.targets:
            return self
        return replace(self, evidence=f"for {', '.join(self.targets)}, {self.evidence}")

    def to_json(self) -> dict[str, Any]:
        """A finding of summary.json."""
        return {name: value for name, value in asdict(self).items() if name != "targets" or value}


def more_rows(unit_word: str, noun: str) -> str:
    """What more data is for rows that come in such units: images of the same groups are not."""
    return f"more {noun}s of other groups" if unit_word == "groups" else f"more {noun}s"


@dataclass(frozen=True)
class Compared:
    """The errors for one target on the validation rows, in its units.

    They are those of one training, or of several together.
    """

    mae: float | None  # None if a prediction is not finite
    median_mae: float  # of the training median
    ridge_mae: float | None  # None if there is none to compare with
    gain: float  # median_mae - mae
    gain_error: float  # its std over bootstrap draws

    @property
    def learns(self) -> bool:
        """The error is below the median predictor's by more than twice the gain's own error."""
        return self.mae is not None and self.gain > 2 * self.gain_error
