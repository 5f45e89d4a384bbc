"""Is it training? Measurements in; a headline, named findings and remedies out."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Finding:
    """One named cause, what shows it, and what to do about it."""

    code: str  # kebab-case, fixed once used
    severity: Literal["error", "warning", "note"]
    evidence: str  # a sentence with the numbers
    remedy: str  # a command or an option, "" if there is nothing to do


@dataclass(frozen=True)
class Measurements:
    """What a finished run is judged by; all errors in target units."""

    mae: float | None  # validation, None if no prediction is finite
    median_mae: float  # of the median of the training targets, on the same rows
    ridge_mae: float | None  # of a ridge on all columns, None if there is none to compare with
    gain: float  # median_mae - mae over the validation rows
    gain_error: float  # its deviation over bootstrap draws
    output_activation: str
    targets: np.ndarray  # (rows, targets), of the training rows
    finite: bool  # every loss was
    epochs: int  # done
    learning_rate: float
    random_seed: int | None  # of random weights


def judge(measured: Measurements) -> dict[str, Any]:
    """`verdict` of summary.json: healthy, headline and findings, the gravest first.

    Healthy is: no finding of severity error, and a validation MAE below the median predictor's by
    more than twice the bootstrap error of that difference.
    """
    found = [check(measured) for check in (_non_finite, _output_bounded, _random_weights)]
    findings = [finding for finding in found if finding is not None]
    errors = [finding for finding in findings if finding.severity == "error"]
    learns = measured.mae is not None and measured.gain > 2 * measured.gain_error
    healthy = learns and not errors
    return {
        "healthy": healthy,
        "headline": _headline(measured, healthy, learns, errors),
        "findings": [asdict(finding) for finding in findings],
    }


def _headline(measured: Measurements, healthy: bool, learns: bool, errors: list[Finding]) -> str:
    if measured.mae is None:
        return f"not learning: {errors[0].evidence}. Try {errors[0].remedy}"
    median = measured.median_mae
    compared = f"MAE {measured.mae:.3g}, {_share(measured)} the median predictor ({median:.3g})"
    if measured.ridge_mae is not None:
        compared += f", ridge reaches {measured.ridge_mae:.3g}"
    if healthy:
        return f"learning: {compared}"
    if errors:
        start = "learning, but held back" if learns else "not learning"
        return f"{start}: {errors[0].evidence}. Try {errors[0].remedy} ({compared})"
    if measured.gain < -2 * measured.gain_error:
        return f"not learning: {compared}"
    return f"not learning: {compared}, within twice the error of that difference"


def _share(measured: Measurements) -> str:
    """`63% below`, `4.2 times`, or `against` where the median is perfect and no share exists."""
    if not measured.median_mae:
        return "against"
    share = measured.gain / measured.median_mae
    if share < -1:
        return f"{1 - share:.3g} times that of"
    return f"{share:.0%} below" if share > 0 else f"{-share:.0%} above"


def _non_finite(measured: Measurements) -> Finding | None:
    if measured.finite:
        return None
    return Finding(
        "non-finite",
        "error",
        f"the loss was not finite in epoch {measured.epochs}, at a learning rate of "
        f"{measured.learning_rate:g}",
        f"--learning-rate {measured.learning_rate / 10:g}",
    )


def _output_bounded(measured: Measurements) -> Finding | None:
    below = float((measured.targets < 0).mean())
    if measured.output_activation != "relu" or below == 0:
        return None
    return Finding(
        "output-bounded",
        "error",
        f"the output relu cannot go below 0, and {below:.0%} of the training targets do",
        "--output-activation linear",
    )


def _random_weights(measured: Measurements) -> Finding | None:
    if measured.random_seed is None:
        return None
    return Finding(
        "random-weights",
        "note",
        f"the features come from random weights (seed {measured.random_seed}), trained on nothing",
        "python -m jaxreg.extract … --weights imagenet",
    )
