"""From what was observed to the verdict: healthy, headline, findings."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jaxreg.config_io import command_line, from_json, option_words
from jaxreg.train_config import TrainConfig
from jaxreg.verdict.catalogue import CAUSES, Cause
from jaxreg.verdict.finding import ORDER, Compared, Evidence, Finding, Severity
from jaxreg.verdict.observation import Observed


def judge(obs: Observed) -> dict[str, Any]:
    """`verdict` of summary.json: healthy, headline and findings, the most severe first.

    A run is healthy if it learns (`Compared.learns`) and has no finding of severity error.
    """
    found = [(cause, cause.check(obs)) for cause in CAUSES if cause.check is not None]
    there: list[tuple[Severity, Cause, Evidence]] = [
        (evidence.severity or (cause.severity if obs.learns else cause.failing), cause, evidence)
        for cause, evidence in found
        if evidence is not None
    ]
    there.sort(key=lambda entry: ORDER.index(entry[0]))  # stable: keeps the table's order
    errors = [evidence.remedy for severity, _, evidence in there if severity == "error"]
    causes = [e.remedy for severity, c, e in there if severity == "error" and not c.symptom]
    asked = _together(causes or errors)
    findings = []
    for severity, cause, evidence in there:
        # one command removes all errors: without one of two faults the run still does not learn
        others = asked if severity == "error" else {}
        command = _command(obs, evidence.remedy, others)
        numbers = dict(evidence.numbers)
        findings.append(Finding(cause.code, severity, evidence.sentence, command, numbers))
    change = errors[0] if errors and isinstance(errors[0], str) else options(asked)
    return {
        "healthy": obs.learns and not errors,
        "headline": headline(obs.compared, findings[: len(errors)], change),
        "findings": [asdict(finding) for finding in findings],
    }


def _command(obs: Observed, remedy: Mapping[str, Any] | str, others: Mapping[str, Any]) -> str:
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


def options(changed: Mapping[str, Any]) -> str:
    """Settings as words of the command line, defaults too."""
    short = {n: f"{value:g}" if isinstance(value, float) else value for n, value in changed.items()}
    return " ".join(word for pair in short.items() for word in option_words(*pair))


def headline(obs: Compared, errors: Sequence[Finding], change: str) -> str:
    """Whether the run learns, its numbers, and what to try where it does not.

    Args:
        obs: the errors of one training, or of several.
        errors: findings of severity error, the one to name first.
        change: what they ask for, in short.
    """
    tried = f". Try {change}" if change else ""
    if obs.mae is None:
        why = errors[0].evidence if errors else "predictions are not finite"
        return f"not learning: {why}{tried}"
    compared = _compared(obs)
    if errors:
        start = "learning, but held back" if obs.learns else "not learning"
        if errors[0].code == "split-leak":
            start = "not to be believed"
        return f"{start}: {errors[0].evidence}{tried} ({compared})"
    if obs.learns:
        return f"learning: {compared}"
    if obs.gain < -2 * obs.gain_error:
        return f"not learning: {compared}"
    # with its error, or a lower MAE would look like a contradiction
    return (
        f"not learning for certain: {compared}; on these rows that difference may be chance "
        f"({obs.gain:.2g} ± {obs.gain_error:.2g}); more rows would decide it (--folds 5)"
    )


def _compared(obs: Compared) -> str:
    text = f"MAE {obs.mae:.3g}, {_share(obs)} the median predictor ({obs.median_mae:.3g})"
    if obs.ridge_mae is not None:
        text += f", ridge reaches {obs.ridge_mae:.3g}"
    return text


def _share(obs: Compared) -> str:
    """`63% below`, `4.2 times`, or `against` where the median is perfect and no share exists."""
    if not obs.median_mae:
        return "against"
    share = obs.gain / obs.median_mae
    if abs(share) < 0.005:
        return "no better than"
    if share < -1:
        return f"{1 - share:.3g} times that of"
    return f"{share:.0%} below" if share > 0 else f"{-share:.0%} above"
