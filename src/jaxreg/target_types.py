"""The types of targets: plain, bounded and circular, and the arithmetic of each.

A circular target starts again after its period, as an angle does. Its difference is the shorter way
around the circle, and its mean is the direction of the mean of its points on the circle (Fisher,
Statistical Analysis of Circular Data, 2.3). Its std is the root of the mean squared difference from
that mean. Every error of jaxreg is a `difference`, so no other module knows of periods.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxreg.errors import InputError, nearest
from jaxreg.target_numbers import LARGEST, mean_and_std

WORDS = {"plain": "plain", "bounded": "bounded:LO:HI", "circular": "circular:PERIOD"}
"""The first word of each type, and how the type is written."""

EXPECTED = "plain, bounded:LO:HI with LO below HI, or circular:PERIOD with a PERIOD above 0"
_NUMBER = re.compile(r"(?<![\d.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


class TargetType(NamedTuple):
    """The type of one target. What is not finite is not there."""

    low: float = -math.inf  # bounds, in target units; both are finite, or neither is
    high: float = math.inf
    period: float = math.inf

    @property
    def circular(self) -> bool:
        """Whether the target starts again after `period`."""
        return math.isfinite(self.period)

    @property
    def bounded(self) -> bool:
        """Whether predictions are kept from `low` to `high`."""
        return math.isfinite(self.low)

    @property
    def word(self) -> str:
        """The type as `--target-type` takes it."""
        if self.circular:
            return f"circular:{_text(self.period)}"
        return f"bounded:{_text(self.low)}:{_text(self.high)}" if self.bounded else "plain"

    @classmethod
    def parse(cls, word: str) -> "TargetType":
        """The type that a word of `--target-type` says.

        Raises:
            InputError: no such type, or numbers that cannot be its own; the nearest right word is
                the remedy.
        """
        first, *rest = word.strip().lower().split(":")
        try:
            numbers = [float(text) for text in rest]
        except ValueError:
            numbers = [math.nan]
        if all(abs(number) <= LARGEST for number in numbers):
            if first == "plain" and not numbers:
                return PLAIN
            if first == "bounded" and len(numbers) == 2 and numbers[0] < numbers[1]:
                return cls(low=numbers[0], high=numbers[1])
            if first == "circular" and len(numbers) == 1 and numbers[0] > 0:
                return cls(period=numbers[0])
        meant = _meant(word)
        raise InputError(
            f"--target-type {word}",
            expected=EXPECTED,
            remedy=f"--target-type {meant}" if meant else "",
        )


PLAIN = TargetType()

Types = Sequence[TargetType]
"""The types of targets, one each."""


def types_of(words: Sequence[str], targets: int) -> tuple[TargetType, ...]:
    """The type of each of so many targets; a single word is that of all.

    Raises:
        InputError: there are more or fewer words than targets.
    """
    if len(words) not in (1, targets):
        raise InputError(
            f"--target-type has {len(words)} types: {' '.join(words)}",
            expected="1 type" if targets == 1 else f"1 type for all, or {targets}: one a target",
        )
    each = [TargetType.parse(word) for word in words]
    return tuple(each if len(each) == targets else each * targets)


def words_of(types: Types) -> tuple[str, ...]:
    """The words of types: a single one where all are alike."""
    words = tuple(kind.word for kind in types)
    return words[:1] if len(set(words)) == 1 else words


def check_words(words: Sequence[str], activation: str, *, scaled: bool) -> None:
    """Raise InputError for a type that is unknown, or that a head cannot have with its settings.

    Args:
        words: of `--target-type`.
        activation: `--output-activation`.
        scaled: whether targets are scaled.
    """
    if not words:
        raise InputError("--target-type without a type", expected=EXPECTED)
    for kind in map(TargetType.parse, words):
        if activation == "relu" and kind != PLAIN:
            raise InputError(
                f"--output-activation relu with --target-type {kind.word}",
                expected="a linear output, or a plain target",
                remedy="--output-activation linear",
            )
        if kind.bounded and not scaled:
            raise InputError(
                f"--no-scale-target with --target-type {kind.word}, whose sigmoid needs the mean "
                "and the std of the targets",
                remedy="--scale-target",
            )


def difference(types: Types, predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Predictions less targets, both (…, targets) in target units, as float64.

    Of a circular target it is the shorter way around, from −PERIOD/2 to PERIOD/2.
    """
    apart = np.asarray(predictions, np.float64) - np.asarray(targets, np.float64)
    with np.errstate(invalid="ignore"):  # a diverged head
        for i, kind in enumerate(types):
            if kind.circular:
                apart[..., i] -= kind.period * np.round(apart[..., i] / kind.period)
    return apart


def center_and_std(types: Types, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population std (targets,) of y (rows, targets), as `mean_and_std`; NaN is missing.

    Of a circular target it is the circular mean, and the std of the differences from it.
    """
    mean, std = mean_and_std(y)
    for i, kind in enumerate(types):
        if kind.circular and std[i]:
            known = y[~np.isnan(y[:, i]), i]
            mean[i] = circular_mean(kind, known)
            apart = difference([kind], known[:, None], mean[i : i + 1])
            std[i] = np.sqrt(np.square(apart).mean())
    return mean, std


def medians(types: Types, y: np.ndarray) -> np.ndarray:
    """The median (targets,) of y (rows, targets); the circular mean of a circular target."""
    return _over(types, y, lambda values: np.median(values, axis=0))


def mean_over(types: Types, several: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The mean of several predictions (rows, targets) of the same rows, circular where targets are.

    A single one is returned as it is.
    """
    if len(several) == 1:
        return np.asarray(several[0])
    return _over(types, np.asarray(several, np.float64), lambda values: values.mean(axis=0))


def around(types: Types, y: np.ndarray) -> np.ndarray:
    """Targets (…, targets) with each circular one taken modulo its period, as float64."""
    inside = np.array(y, np.float64)
    for i, kind in enumerate(types):
        if kind.circular:
            inside[..., i] = _modulo(inside[..., i], kind.period)
    return inside


def held(
    types: Types, values: np.ndarray, kinds: Sequence[type[np.floating]]
) -> tuple[np.ndarray, ...]:
    """The columns of values (rows, targets), each as its number type holds it.

    Rounding moves no number over a bound, and none to the period.
    """
    columns = []
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged head
        for kind, column, number in zip(types, np.asarray(values).T, kinds, strict=True):
            numbers = column.astype(number)
            if kind.bounded:
                numbers = np.clip(numbers, *bounds_as(kind, number))
            elif kind.circular:
                numbers = np.where(numbers.astype(np.float64) >= kind.period, number(0), numbers)
            columns.append(numbers)
    return tuple(columns)


def bounds_as(kind: TargetType, number: type[np.floating]) -> tuple[np.floating, np.floating]:
    """The lowest and the highest number of a type within the bounds of a bounded target."""
    low, high = number(kind.low), number(kind.high)
    if float(low) < kind.low:
        low = np.nextafter(low, number(np.inf))
    if float(high) > kind.high:
        high = np.nextafter(high, number(-np.inf))
    return low, high


def outside(kind: TargetType, values: np.ndarray) -> np.ndarray:
    """Which values (rows,) of a target do not lie where its type says; never one that is NaN."""
    if kind.circular:
        return (values < 0) | (values >= kind.period)
    return (values < kind.low) | (values > kind.high)


def _over(
    types: Types, values: np.ndarray, usual: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """What `usual` takes over the first axis, with the circular mean of circular targets."""
    found = np.array(usual(values.astype(np.float64)))
    for i, kind in enumerate(types):
        if kind.circular:
            found[..., i] = circular_mean(kind, values[..., i])
    return found


def circular_mean(
    kind: TargetType, values: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """The circular mean over the first axis, from 0 to below the period; weighted, if they are."""
    with np.errstate(invalid="ignore"):
        angle = np.asarray(values, np.float64) * (2 * np.pi / kind.period)
        sine, cosine = (np.average(part, 0, weights) for part in (np.sin(angle), np.cos(angle)))
        mean = np.arctan2(sine, cosine)
    return _modulo(mean * (kind.period / (2 * np.pi)), kind.period)


def _modulo(values: np.ndarray, period: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        rest = np.mod(values, period)
    return np.where(rest >= period, 0.0, rest)  # of −1e-20 it is rounded to the period


def _text(number: float) -> str:
    return repr(float(number)).removesuffix(".0")


def _meant(word: str) -> str:
    """A right word that is like a wrong one; "" if none is."""
    text = word.strip().lower()
    first = re.split(r"[^a-z]", text, maxsplit=1)[0]
    kind = nearest(first, [*WORDS, "bound", "sigmoid", "circle", "angle", "linear"]) or ""
    numbers = sorted({float(found) for found in _NUMBER.findall(text[len(first) :])})
    numbers = [number for number in numbers if abs(number) <= LARGEST]
    if kind in ("circular", "circle", "angle"):
        size = max(map(abs, numbers), default=360.0) or 360.0
        if re.search(r"pi\b|π", text):
            size = (max(map(abs, numbers), default=1.0) or 1.0) * math.pi
        return TargetType(period=size).word
    if kind in ("bounded", "bound", "sigmoid"):
        low, high = (numbers[0], numbers[-1]) if len(numbers) > 1 else (0.0, 1.0)
        return TargetType(low=low, high=high).word
    return "plain" if kind else ""


def first_outside(
    names: Iterable[str], types: Types, y: np.ndarray
) -> tuple[str, TargetType, int] | None:
    """The first bounded target with a number out of its bounds: name, type, row. None: no such."""
    for name, kind, values in zip(names, types, y.T, strict=True):
        if kind.bounded and (rows := np.flatnonzero(outside(kind, values))).size:
            return name, kind, int(rows[0])
    return None


def check_bounds(names: Sequence[str], types: Types, y: np.ndarray) -> None:
    """Raise InputError for the first number of y (rows, targets) out of its bounds."""
    if (found := first_outside(names, types, y)) is not None:
        name, kind, row = found
        raise InputError(
            f"{name} is {y[row, names.index(name)]:g} in row {row}, out of {kind.word}",
            expected=f"numbers from {kind.low:g} to {kind.high:g}",
        )
