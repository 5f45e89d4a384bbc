"""Targets as float64 numbers: mean and std, and what float32 can hold of them."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from jaxreg.errors import InputError

ROUNDED = 1e-4  # of a target's std: float32 may round by so much, and no more
EXACT = 2**53  # float64 holds every whole number up to it
LEAST_STD, LARGEST = 1e-30, 1e30  # float32 holds the std and its reciprocal
LARGEST_SCALED = 1e18  # its square fits in float32


def mean_and_std(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population std (targets,) of y (rows, targets), float64.

    The std is 0 only if all rows are equal. The first row is subtracted before anything is
    summed, because a sum of large numbers loses their small differences. Squares are of numbers
    near 1, so that they neither overflow nor underflow.

    A NaN is a missing number: each target has its own rows. Of no number, both are 0.
    """
    if (missing := np.isnan(y)).any():
        known = [column[~lacks] for column, lacks in zip(y.T, missing.T, strict=True)]
        both = [mean_and_std(one[:, None]) if len(one) else (0.0, 0.0) for one in known]
        mean, std = (np.array([float(np.squeeze(part)) for part in parts])
                     for parts in zip(*both, strict=True))  # fmt: skip
        return mean, std
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite shows in the loss
        apart = y.astype(np.float64) - y[:1].astype(np.float64)
        mean = apart.mean(axis=0)
        around = apart - mean[None, :]
        largest = np.abs(around).max(axis=0)
        unit = np.where(largest == 0, 1.0, largest)
        std = unit * np.sqrt(np.square(around / unit[None, :]).mean(axis=0))
    varies = (apart != 0).any(axis=0)
    least = np.finfo(np.float64).smallest_subnormal
    return y[0].astype(np.float64) + mean, np.where(varies, np.maximum(std, least), 0.0)


def std_of(y: np.ndarray) -> float:
    """The population std of one target (rows,); 0 only if all rows are equal, as for no rows."""
    return float(mean_and_std(y[:, None])[1][0]) if len(y) else 0.0


def number_type(largest: float, std: float) -> type[np.floating]:
    """float64 if float32 may round numbers up to `largest` by more than ROUNDED std, else float32.

    Both are of one target, in its units.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # predictions of a diverged head
        rounding = float(np.spacing(np.float32(largest))) / 2
    return np.float64 if rounding > ROUNDED * std > 0 else np.float32


def number_text(value: float, std: float) -> str:
    """The number of a target with four digits, or with as many as show a hundredth of the std."""
    digits = 4
    if value and 0 < std < math.inf and math.isfinite(value):
        digits = max(digits, math.floor(math.log10(abs(value))) - math.floor(math.log10(std)) + 3)
    return f"{value:.{min(digits, 17)}g}"


def check_exact(name: str, values: np.ndarray, distinct: Callable[[], int]) -> None:
    """Raise InputError if float64 rounds the differences of a target away.

    Args:
        name: of the target.
        values: (rows,) the target as float64, NaN where it is missing.
        distinct: counts the different numbers that there were before; asked only if it matters.
    """
    known = values[~np.isnan(values)]
    largest, std = float(np.abs(known).max(initial=0.0)), std_of(known)
    if largest / EXACT > ROUNDED * std and distinct() > 1:
        raise InputError(
            f"the target {name} reaches {largest:.4g}, and float64 rounds its differences"
            + (f" (their std is {std:.2g})" if std else ""),
            expected=f"a std of at least {largest / EXACT / ROUNDED:.2g}",
            remedy="subtract a constant from the numbers in the source",
        )


def check_range(
    names: Sequence[str], y: np.ndarray, mean: np.ndarray, std: np.ndarray, *, scaled: bool
) -> None:
    """Raise InputError if float32 cannot hold the targets as the head is trained on them.

    Args:
        names: of the targets.
        y: (rows, targets) all numbers, in target units; NaN where one is missing.
        mean, std: (targets,) of the training rows.
        scaled: whether mean and std are taken out of the targets.
    """
    for name, column, center, unit in zip(names, y.T, mean, std, strict=True):
        values = column[~np.isnan(column)]
        largest = float(np.abs(values).max())
        if largest > LARGEST:
            raise InputError(
                f"the target {name} reaches {largest:.3g}",
                expected=f"at most {LARGEST:g}",
                remedy="use another unit, or take out what is not a measurement",
            )
        if 0 < unit < LEAST_STD:
            raise InputError(
                f"the std of the target {name} is {unit:.3g}",
                expected=f"at least {LEAST_STD:g}, which float32 can hold",
                remedy="use another unit",
            )
        if not scaled and number_type(largest, float(unit)) is np.float64:
            raise InputError(
                f"the target {name} reaches {largest:.7g} with a std of {unit:.3g}: without "
                "scaling, float32 loses these differences",
                remedy="--scale-target",
            )
        away = np.abs(values - center) / (unit or 1.0) if scaled else np.abs(values)
        if away.max() > LARGEST_SCALED:
            raise InputError(
                f"the target {name} is {values[away.argmax()]:.3g} in one row, and float32 cannot "
                f"hold its square in std of {unit:.3g}" if scaled
                else f"the target {name} reaches {largest:.3g}, whose square float32 cannot hold",
                remedy="use another unit, or take out what is not a measurement",
            )  # fmt: skip
