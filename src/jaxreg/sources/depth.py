"""Pixels of more than 8 bits: what values they hold, and how these become 0..255."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np

LEVELS = 256
FEW_LEVELS = 64  # of 256; 14 of 16 bits use so many
RARE = 1e-4  # share of the pixels; fewer at a level do not count as using it

Range = tuple[float, float]
"""The lowest and the highest value of `--range`, which become 0 and 255."""


@dataclass(frozen=True)
class Depth:
    """How many images have 8 bits and how many have more, and the values of the latter."""

    plain: int = 0  # images of 8 bits
    deep: int = 0  # images of more
    low: float = math.inf
    high: float = -math.inf
    levels: np.ndarray = field(default_factory=lambda: np.zeros(LEVELS, np.int64))
    """(256,) how many values of deep images the network sees as 0, 1 … 255."""

    @classmethod
    def of(cls, low: float, high: float, seen: np.ndarray) -> Self:
        """Of one deep image: its lowest and highest value, and its values as uint8."""
        levels = sum(np.bincount(s.ravel(), minlength=LEVELS) for s in _strips(seen))
        return cls(0, 1, float(low), float(high), np.asarray(levels))

    def __add__(self, other: "Depth") -> "Depth":
        return Depth(
            self.plain + other.plain,
            self.deep + other.deep,
            min(self.low, other.low),
            max(self.high, other.high),
            self.levels + other.levels,
        )

    @property
    def used(self) -> int:
        """How many of 256 levels the values use."""
        return int((self.levels > RARE * self.levels.sum()).sum())

    def notes(self, limits: Range | None) -> list[str]:
        """Sentences for the user: a range without effect, and deep images of few levels.

        Args:
            limits: the range that the images were decoded with.
        """
        notes = []
        if limits is not None and self.plain:
            which = f"{self.plain} images have 8 bits"
            rest = f"; {self.deep} have more" if self.deep else ", and none has more"
            notes.append(f"--range {_text(*limits)} changes only images of more than 8 bits: "
                         f"{which}{rest}")  # fmt: skip
        if self.deep and self.used <= FEW_LEVELS and not self._is_filled(limits):
            notes.append(self._few_levels(limits))
        return notes

    def _is_filled(self, limits: Range | None) -> bool:
        """Whether the values take more than half of the range, and no other place."""
        if limits is None:
            return False
        low, high = limits
        return low <= self.low and self.high <= high and 2 * (self.high - self.low) > high - low

    def _few_levels(self, limits: Range | None) -> str:
        there = np.flatnonzero(self.levels)
        known = self.low < self.high and there[-1] - there[0] < FEW_LEVELS
        if limits is None:
            found = f"{self.deep} images have 16 bits and hold values"
        else:
            known = known and limits[0] <= self.low and self.high <= limits[1]
            found = f"--range {_text(*limits)}: {self.deep} images hold values"
        asked = _text(self.low, self.high) if known else "LO HI"
        what = "these values" if known else "the values from LO to HI"
        return (
            f"{found} from {_text(self.low)} to {_text(self.high)}; the network sees {self.used} "
            f"of {LEVELS} levels; `jaxreg extract --range {asked}` maps {what} to 0…255"
        )


def _text(*values: float) -> str:
    return " ".join(f"{value:.10g}" for value in values)


def mapped(values: np.ndarray, limits: Range) -> np.ndarray:
    """uint8 of the same shape: 0 at the lower limit, 255 at the upper one, rounded and clipped."""
    low, high = limits
    result = np.empty(values.shape, np.uint8)
    for strip, place in zip(_strips(values), _strips(result), strict=True):
        scaled = (strip.astype(np.float64) - low) * (255 / (high - low))
        place[:] = np.rint(scaled.clip(0, 255))
    return result


def _strips(values: np.ndarray) -> Iterator[np.ndarray]:
    """64 rows at a time, so that only these are in memory as larger numbers."""
    return (values[top : top + 64] for top in range(0, len(values), 64))


def as_uint8(images: np.ndarray) -> str:
    """The expression that makes pixels of 0..255 of an array `images`, by the values in it."""
    if not np.isfinite(images).all():
        return "images with a number in the place of each NaN and infinity"
    low, high = images.min().item(), images.max().item()
    whole = images.dtype.kind != "f" or bool((images == np.rint(images)).all())
    if low >= 0 and high > 1 and high <= 255:
        return f"images{'' if whole else '.round()'}.astype('uint8')"
    if low >= 0 and high <= 1:
        return "(255 * images).round().astype('uint8')" if high else "images.astype('uint8')"
    if low >= -1 and high <= 1 and not whole:
        return "(127.5 * (images + 1)).round().astype('uint8')"
    if low >= 0 and high <= 65535 and whole:
        return "images.astype('uint16')"
    scaled = f"(images - {low:g}) / {high - low:g}"
    return f"(255 * ({scaled})).round().astype('uint8') for a scale from {low:g} to {high:g}"
