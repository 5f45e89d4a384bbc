"""From what was observed to the verdict: healthy, headline, findings."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from jaxreg.config import TrainConfig
from jaxreg.settings import command_line, fields_of
from jaxreg.verdict.causes import CAUSES
from jaxreg.verdict.finding import ORDER, Cause, Evidence, Finding, Severity
from jaxreg.verdict.headline import headline
from jaxreg.verdict.observed import Observed


def judge(seen: Observed) -> dict[str, Any]:
    """`verdict` of summary.json: healthy, headline and findings, the gravest first.

    Healthy is: no finding of severity error, and a validation MAE below the median predictor's by
    more than twice the bootstrap error of that difference.
    """
    found = [(cause, cause.check(seen)) for cause in CAUSES if cause.check is not None]
    there: list[tuple[Severity, Cause, Evidence]] = [
        (evidence.severity or (cause.severity if seen.learns else cause.failing), cause, evidence)
        for cause, evidence in found
        if evidence is not None
    ]
    there.sort(key=lambda told: ORDER.index(told[0]))  # stable: the table's order within
    errors = [evidence.remedy for severity, _, evidence in there if severity == "error"]
    causes = [e.remedy for severity, c, e in there if severity == "error" and not c.symptom]
    asked = _together(causes or errors)
    findings = []
    for severity, cause, evidence in there:
        # what the errors ask for is asked for at once: mending one of two does not make it learn
        others = asked if severity == "error" else {}
        command = _command(seen, evidence.remedy, others)
        numbers = dict(evidence.numbers)
        findings.append(Finding(cause.code, severity, evidence.sentence, command, numbers))
    change = errors[0] if errors and isinstance(errors[0], str) else options(asked)
    return {
        "healthy": seen.learns and not errors,
        "headline": headline(seen.compared, findings[: len(errors)], change),
        "findings": [asdict(finding) for finding in findings],
    }


def _command(seen: Observed, remedy: Mapping[str, Any] | str, others: Mapping[str, Any]) -> str:
    """A remedy as a command to copy."""
    if isinstance(remedy, str):
        return remedy
    plain = TrainConfig(**fields_of(TrainConfig, seen.config))
    return command_line("jaxreg.train", seen.words, replace(plain, **{**others, **remedy}))


def _together(changes: Sequence[Mapping[str, Any] | str]) -> dict[str, Any]:
    """All settings that are asked for; of two values of one setting the first."""
    merged: dict[str, Any] = {}
    for change in changes:
        if not isinstance(change, str):
            merged |= {name: value for name, value in change.items() if name not in merged}
    return merged


def options(changed: Mapping[str, Any]) -> str:
    """Settings as they are said on the command line, defaults too."""
    words = []
    for name, value in changed.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words.append(f"--{flag} {value:g}" if isinstance(value, float) else f"--{flag} {value}")
    return " ".join(words)
