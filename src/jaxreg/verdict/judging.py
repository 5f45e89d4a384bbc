"""From what was observed to the verdict: healthy, headline, findings."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from jaxreg.config import TrainConfig, command_line, fields_of
from jaxreg.verdict.causes import CAUSES
from jaxreg.verdict.finding import ORDER, Evidence, Finding
from jaxreg.verdict.headline import headline
from jaxreg.verdict.observed import Observed


def judge(seen: Observed) -> dict[str, Any]:
    """`verdict` of summary.json: healthy, headline and findings, the gravest first.

    Healthy is: no finding of severity error, and a validation MAE below the median predictor's by
    more than twice the bootstrap error of that difference.
    """
    findings, changes = [], []
    for cause in CAUSES:
        if cause.check is None or (evidence := cause.check(seen)) is None:
            continue
        severity = evidence.severity or (cause.severity if seen.learns else cause.failing)
        command = remedy(seen, evidence)
        findings.append(
            Finding(cause.code, severity, evidence.sentence, command, dict(evidence.numbers))
        )
        changes.append(evidence.remedy)
    rank = sorted(range(len(findings)), key=lambda i: ORDER.index(findings[i].severity))
    findings, changes = [findings[i] for i in rank], [changes[i] for i in rank]
    errors = sum(finding.severity == "error" for finding in findings)
    return {
        "healthy": seen.learns and not errors,
        "headline": headline(seen, findings[:errors], _together(changes[:errors])),
        "findings": [asdict(finding) for finding in findings],
    }


def remedy(seen: Observed, evidence: Evidence) -> str:
    """The remedy as a command to copy."""
    if isinstance(evidence.remedy, str):
        return evidence.remedy
    config = replace(fields(seen), **evidence.remedy)
    return command_line("jaxreg.train", seen.words, config)


def fields(seen: Observed) -> TrainConfig:
    """The run's settings, as a plain TrainConfig."""
    return TrainConfig(**fields_of(TrainConfig, seen.config))


def _together(changes: list[Mapping[str, Any] | str]) -> str:
    """What the errors ask for at once, as options; the first one's words if it is no option."""
    if changes and isinstance(changes[0], str):
        return changes[0]
    merged: dict[str, Any] = {}
    for change in changes:
        if not isinstance(change, str):
            merged = {**change, **merged}
    return options(merged)


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
