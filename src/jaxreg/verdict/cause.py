"""One entry of the table of findings."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxreg.verdict.finding import Evidence, Severity
from jaxreg.verdict.observation import Observed


@dataclass(frozen=True)
class Cause:
    """One entry of the table of findings; a check is a pure function of an `Observed`."""

    code: str  # kebab-case, fixed once used
    severity: Severity  # where the run learns
    failing: Severity  # where it does not
    measures: str  # in words
    threshold: str  # from where on it is a finding
    origin: str  # of the threshold
    remedy: str  # in words
    check: Callable[[Observed], Evidence | None] | None  # None: not measured on a run
    picture: str | None  # name of the picture that `jaxreg diagnose` shows for it
    symptom: bool = False  # other causes bring it about: its remedy is not joined to theirs
    per_target: bool = False  # the check takes one target, and is made for each
    pooled: bool = False  # with several trainings it is looked for in their pooled predictions


TUNED = "planted faults"
SANE = "healthy runs stay far from it"
DEFINED = "definition"
BEHIND = "only for a run that is behind"
