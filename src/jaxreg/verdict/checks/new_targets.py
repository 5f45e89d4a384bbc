"""Whether new targets are distributed unlike those of training."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxreg.target_types import TargetType, center_and_std, difference
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.unit_parts import differences, threshold, unit_numbers

MEANS = 0.75  # std of the training targets
WIDER = 1.5  # times, of the std
KOLMOGOROV = 0.3  # the largest difference of the two distribution functions
LEAST = 10  # rows of each side


class Numbers(NamedTuple):
    """A target of the rows of one side that have it."""

    y: np.ndarray  # (rows,) float64
    units: np.ndarray | None  # (rows,) which rows are alike; None: rows alone


def targets_shifted(kind: TargetType, train: Numbers, new: Numbers) -> Evidence | None:
    """The evidence that the numbers of a target are unlike; None if not, or with too few rows.

    The difference of the means, the ratio of the std and the statistic of Kolmogorov and Smirnov
    are compared with those of parts of the training rows.
    """
    if min(len(train.y), len(new.y)) < LEAST or np.ptp(train.y) == 0:
        return None
    numbers = unit_numbers(train.units, len(train.y))
    new_units = int(unit_numbers(new.units, len(new.y)).max()) + 1
    [center], [std] = center_and_std([kind], train.y[:, None])
    # a circular target is measured from its circular mean, and is a plain number there
    own, others = (
        difference([kind], values[:, None], np.array([center]))[:, 0] / std
        for values in (train.y, new.y)
    )
    words = []
    found: dict[str, float] = {}
    for name, (measure, least) in _MEASURES.items():
        usual = differences(numbers, new_units, len(others) / len(own), _compare(measure, own))
        if usual is None:
            return None
        found[name] = measure(own, others)
        if found[name] > threshold(usual, least):
            words.append(name)
    if not words:
        return None
    mean, spread = float(others.mean()), float(others.std())
    return Evidence(
        f"the new targets have another distribution than those of training: their mean lies "
        f"{mean:+.2f} std of training away, and their std is {spread:.2f} times that of training "
        f"(Kolmogorov-Smirnov statistic {found['kolmogorov_smirnov']:.2f}); parts of the training "
        "rows differ less",
        remedy="check that the targets have the unit and the zero of training; where they do, "
        "train on such rows too",
        numbers={"mean": mean, "std_ratio": spread, **found},
    )


def _compare(
    measure: Callable[[np.ndarray, np.ndarray], float], y: np.ndarray
) -> Callable[[np.ndarray], float]:
    return lambda part: measure(y[~part], y[part])


def _means(a: np.ndarray, b: np.ndarray) -> float:
    return float(abs(b.mean() - a.mean()))


def _spreads(a: np.ndarray, b: np.ndarray) -> float:
    tiny = 1e-6  # std of training: constant targets have a finite ratio
    return float(abs(np.log(max(b.std(), tiny) / max(a.std(), tiny))))


def _kolmogorov(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference between the empirical distribution functions."""
    from scipy.stats import ks_2samp

    found: Any = ks_2samp(a, b, method="asymp")
    return float(found.statistic)


_MEASURES: dict[str, tuple[Callable[[np.ndarray, np.ndarray], float], float]] = {
    "means": (_means, MEANS),
    "log_std_ratio": (_spreads, float(np.log(WIDER))),
    "kolmogorov_smirnov": (_kolmogorov, KOLMOGOROV),
}
