"""From what was observed to the verdict: healthy, headline, findings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType
from typing import Any

from jaxreg.config_io import command_line, from_json
from jaxreg.train_config import TrainConfig
from jaxreg.verdict.catalogue import CAUSES
from jaxreg.verdict.cause import Cause
from jaxreg.verdict.finding import ORDER, Compared, Evidence, Finding, Severity, more_rows
from jaxreg.verdict.headline import Headline, every_row, headline, is_chance
from jaxreg.verdict.observation import Observed


@dataclass(frozen=True)
class Verdict:
    """Whether a run learns each of its targets, and what was found."""

    healthy: Mapping[str, bool]  # by target
    headline: Headline
    remedy: str  # a command to copy, or words: what the first error asks for, else what tells more
    findings: Sequence[Finding]

    def to_json(self) -> dict[str, Any]:
        """`verdict` of summary.json."""
        return {
            "healthy": all(self.healthy.values()),
            "headline": self.headline.line,
            "title": self.headline.title,
            "text": self.headline.text,
            "remedy": self.remedy,
            "findings": [finding.to_json() for finding in self.findings],
        }


def judge(obs: Observed) -> dict[str, Any]:
    """The verdict of one training, as in summary.json."""
    return verdict_of_one(obs).to_json()


def verdict_of_one(obs: Observed) -> Verdict:
    """The verdict of one training."""
    return conclude(obs.compared_by_target, find(obs), obs)


def conclude(
    compared: Mapping[str, Compared], findings: Sequence[Finding], obs: Observed
) -> Verdict:
    """The verdict that follows from findings.

    A target is healthy if it is learned (`Compared.learns`) and no finding of severity error is
    about it. A run is healthy if every target is.

    Args:
        compared: the errors by target, of one training or of several.
        findings: the most severe first.
        obs: has the settings of the run.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    wrong = {name for name in compared if any(error.about(name) for error in errors)}
    healthy = {name: one.learns and name not in wrong for name, one in compared.items()}
    grouped = list(_grouped(findings, tuple(compared)))
    first = grouped[0] if errors else None
    remedy = first.remedy if first else ""
    if not errors and is_chance(compared):
        scored = every_row(obs.config, obs.units)
        more = f"add {more_rows(obs.unit_word, obs.noun)}, then: {obs.extract}"
        remedy = _command(obs, more if scored is None else scored)
    text = headline(compared, healthy, first, wrong)
    return Verdict(healthy, text, remedy, [finding.named() for finding in grouped])


def find(obs: Observed, causes: Sequence[Cause] = CAUSES) -> list[Finding]:
    """The findings of one training, the most severe first.

    Only `causes` are looked for. A check of one target is made for each target.
    """
    there: list[tuple[Severity, Cause, Evidence, tuple[str, ...]]] = []
    for cause in causes:
        for one in obs.each if cause.per_target else (obs,):
            evidence = None if cause.check is None else cause.check(one)
            if evidence is not None:
                severity, about = _severity(cause, one, evidence)
                if cause.per_target and len(obs.targets) > 1:
                    about = one.targets
                there.append((evidence.severity or severity, cause, evidence, about))
    there.sort(key=lambda entry: ORDER.index(entry[0]))  # stable: keeps the table's order
    errors = [evidence.remedy for severity, _, evidence, _ in there if severity == "error"]
    first = [e.remedy for severity, c, e, _ in there if severity == "error" and not c.symptom]
    asked = _together(first or errors)
    findings = []
    for severity, cause, evidence, about in there:
        # one command removes all errors: without one of two faults the run still does not learn
        others = asked if severity == "error" else {}
        remedy = evidence.remedy
        if others is asked and cause.symptom and first and isinstance(remedy, str):
            remedy = asked or first[0]
        command, numbers = _command(obs, remedy, others), dict(evidence.numbers)
        findings.append(Finding(cause.code, severity, evidence.sentence, command, numbers, about))
    return findings


def _severity(cause: Cause, obs: Observed, evidence: Evidence) -> tuple[Severity, tuple[str, ...]]:
    """The severity of a cause, and the targets that it holds for; none means all.

    What is an error only where the run does not learn is an error of those targets alone, and only
    of those that the remedy helps.
    """
    fails = {name for name, one in obs.compared_by_target.items() if not one.learns}
    if cause.severity == cause.failing or fails == set(obs.targets):
        return cause.failing if fails else cause.severity, ()
    helped = obs.targets if evidence.targets is None else evidence.targets
    about = tuple(name for name in helped if name in fails)
    return (cause.failing, about) if about else (cause.severity, ())


def _grouped(findings: Sequence[Finding], targets: tuple[str, ...]) -> Iterator[Finding]:
    """One finding for neighbours that say the same of different targets."""

    def same(finding: Finding) -> tuple[str, ...]:
        return finding.code, finding.severity, finding.evidence, finding.remedy

    for _, some in groupby(findings, same):
        alike = list(some)
        about = tuple(name for finding in alike for name in finding.targets)
        yield replace(alike[0], targets=() if set(about) == set(targets) else about)


def _command(
    obs: Observed, remedy: Mapping[str, Any] | str, others: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """A remedy as a command to copy."""
    if isinstance(remedy, str):
        return remedy
    settings = from_json(TrainConfig, {**obs.asked, **others, **remedy})
    return command_line("jaxreg train", obs.words, settings)


def _together(changes: Sequence[Mapping[str, Any] | str]) -> dict[str, Any]:
    """All settings that the remedies change; of two values of one setting the first."""
    merged: dict[str, Any] = {}
    for change in changes:
        if not isinstance(change, str):
            merged |= {name: value for name, value in change.items() if name not in merged}
    return merged
