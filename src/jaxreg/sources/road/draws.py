"""Random numbers that are the same on every machine and with every NumPy.

The whole road is made of +, −, ×, ÷, comparisons and conversions to integers, which IEEE 754 rounds
alike everywhere, and of the raw bits of PCG64, whose stream NumPy keeps fixed. So a frame is the
same, bit for bit, wherever it is drawn. Sines, exponentials, normal deviates and the methods of
`np.random.Generator` may all change from one library to the next.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Colour = tuple[float, float, float]
T = TypeVar("T")


class Draws:
    """Uniform numbers from PCG64's raw bits, named by a seed of several integers."""

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def uniform(self, low: float, high: float) -> float:
        """One number in [low, high)."""
        return low + (high - low) * (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, each as likely."""
        return items[int(self.uniform(0, len(items)))]

    def bytes(self, count: int) -> np.ndarray:
        """`count` uint8, each value as likely."""
        words = np.asarray(self._bits.random_raw(-(-count // 8)), dtype="<u8")
        return words.view(np.uint8)[:count]

    def units(self, *shape: int) -> np.ndarray:
        """float32 in [-1, 1) with 65,536 levels."""
        count = int(np.prod(shape))
        words = self.bytes(2 * count).view("<u2").astype(np.float32)
        return (words / np.float32(32768) - np.float32(1)).reshape(shape)

    def wave(
        self, frames: int, low: float, high: float, spacing: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """A smooth random course: values and slopes per frame, each (frames,) float64.

        A uniform cubic B-spline whose control values, `spacing` frames apart, are uniform in
        [low, high]: two continuous derivatives, and it never leaves the range.
        """
        t = np.arange(frames) / spacing
        knot = t.astype(np.int64)
        control = np.array([self.uniform(low, high) for _ in range(int(knot[-1]) + 4)])
        t, (a, b, c, d) = t - knot, (control[knot + k] for k in range(4))
        u = 1 - t
        value = (
            a * u * u * u
            + b * (3 * t * t * t - 6 * t * t + 4)
            + c * (3 * u * u * u - 6 * u * u + 4)
            + d * t * t * t
        ) / 6
        slope = (-a * u * u + b * (3 * t * t - 4 * t) - c * (3 * u * u - 4 * u) + d * t * t) / 2
        return value, slope / spacing
