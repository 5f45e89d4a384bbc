"""What a verdict is made of: findings, and the causes that they are findings of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from jaxreg.verdict.observed import Observed

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
class Cause:
    """One line of the table of findings; the checks are pure functions of what was observed."""

    code: str  # kebab-case, fixed once used
    severity: Severity  # where the run learns
    failing: Severity  # where it does not
    measures: str  # in words
    threshold: str  # from where on it is a finding
    origin: str  # where the threshold comes from
    remedy: str  # what to do, in words
    check: "Callable[[Observed], Evidence | None] | None"  # None: not measured on a run
    symptom: bool = False  # what others cause: its remedy is not joined to theirs


@dataclass(frozen=True)
class Finding:
    """One named cause, what shows it, and what to do about it."""

    code: str
    severity: Severity
    evidence: str  # a sentence with the numbers
    remedy: str  # a command to copy, "" if there is nothing to do
    numbers: Mapping[str, float] = field(default_factory=dict)
