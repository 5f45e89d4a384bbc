"""Pixels of more than 8 bits: what values they hold, and how these become 0..255."""

from dataclasses import dataclass
from typing import Self

import numpy as np

LEVELS = 256
FEW_LEVELS = 64  # of 256; 14 of 16 bits use so many
RARE = 1e-4  # share of the pixels; fewer at a level do not count as using it

Range = tuple[float, float]
"""The lowest and the highest value of `--range`, which become 0 and 255."""


@dataclass(frozen=True)
class Depth:
    """The values of some images of 16 bits."""

    images: int
    low: float
    high: float
    levels: np.ndarray  # (256,) how many values have each high byte

    @classmethod
    def of_words(cls, values: np.ndarray) -> Self:
        """Of uint16 values."""
        levels = np.bincount(values.ravel() >> 8, minlength=LEVELS)
        return cls(1, int(values.min()), int(values.max()), levels)

    @classmethod
    def of_high_bytes(cls, values: np.ndarray) -> Self:
        """Of uint8 values that are the high bytes; the low ones are unknown."""
        levels = np.bincount(values.ravel(), minlength=LEVELS)
        return cls(1, 256 * int(values.min()), 256 * int(values.max()) + 255, levels)

    def __add__(self, other: "Depth") -> "Depth":
        return Depth(
            self.images + other.images,
            min(self.low, other.low),
            max(self.high, other.high),
            self.levels + other.levels,
        )

    @property
    def used(self) -> int:
        """How many of 256 levels the high bytes use."""
        return int((self.levels > RARE * self.levels.sum()).sum())

    @property
    def note(self) -> str | None:
        """A sentence for images that use few of the levels that the network could see."""
        if self.used > FEW_LEVELS:
            return None
        span = (self.high - self.low) // LEVELS + 1
        known = span <= FEW_LEVELS
        asked = f"{self.low:g} {self.high:g}" if known else "LO HI"
        what = "these values" if known else "the values from LO to HI"
        return (
            f"{self.images} images have 16 bits and hold values from {self.low:g} to "
            f"{self.high:g}; the network sees {self.used} of {LEVELS} levels; "
            f"`jaxreg extract --range {asked}` maps {what} to 0…255"
        )


def mapped(values: np.ndarray, limits: Range) -> np.ndarray:
    """uint8 of the same shape: 0 at the lower limit, 255 at the upper one, rounded and clipped.

    NaN becomes 0.
    """
    low, high = limits
    result = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), 64):  # so that only a strip of float64 is in memory
        strip = (values[top : top + 64].astype(np.float64) - low) * (255 / (high - low))
        result[top : top + 64] = np.rint(np.nan_to_num(strip, nan=0.0).clip(0, 255))
    return result


def as_uint8(images: np.ndarray) -> str:
    """The expression that makes pixels of 0..255 of an array `images`, by the values in it."""
    if not np.isfinite(images).all():
        return "give a value to the pixels that are NaN or infinite first"
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
