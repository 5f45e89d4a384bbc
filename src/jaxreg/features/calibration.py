"""What the images of an int8 calibration were like, and whether others are like them.

Quantization fixes the ranges of a network's numbers by the images that it was calibrated on. Images
that are darker, greyer or noisier than all of those may leave these ranges. So a few measures of
each image are compared, taken from its thumbnail, which the cache has of every image.
"""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxreg.features.pixels import thumbnail
from jaxreg.files import write_whole

NAMES = (
    *(f"mean {colour}" for colour in ("red", "green", "blue")),
    *(f"contrast in {colour}" for colour in ("red", "green", "blue")),
    "detail",
)
"""Mean and deviation of each channel, and the mean step from pixel to pixel: all in 0..255."""

MARGIN = 0.5  # of the calibration's own span, on either side
STEPS = 4.0  # of 0..255, on either side: the least that counts as another kind of image
WORTH_SAYING = 0.01  # share of images outside from which it is said
LOOKED_AT = 500  # images of an extraction, spread evenly: more would cost time and say the same
VERIFIED = 5000  # images of a space that `verify` looks at; it has the time


@dataclass(frozen=True)
class Range:
    """The least and greatest of each measure among the images of a calibration."""

    low: np.ndarray  # (measures,)
    high: np.ndarray

    def warning(self, jpegs: Iterable[bytes]) -> str | None:
        """A sentence if more than a few of these thumbnails are outside; None otherwise."""
        measures = np.array([measure(jpeg) for jpeg in jpegs])
        if not len(measures):
            return None
        margin = MARGIN * (self.high - self.low) + STEPS
        beyond = (measures < self.low - margin) | (measures > self.high + margin)
        outside = int(beyond.any(axis=1).sum())
        if outside <= WORTH_SAYING * len(measures):
            return None
        worst = int(beyond.sum(axis=0).argmax())
        values = measures[beyond[:, worst], worst]
        return (
            f"{outside} of {len(measures)} images are unlike those that int8 was calibrated on "
            f"({NAMES[worst]} {values.min():.0f} to {values.max():.0f}, there "
            f"{self.low[worst]:.0f} to {self.high[worst]:.0f}); their features may be coarse: "
            "--precision bfloat16, or int8 calibrated on them in another --cache"
        )


def measure(jpeg: bytes) -> np.ndarray:
    """The measures of a thumbnail, in the order of NAMES."""
    from PIL import Image as pillow
    from PIL import ImageStat

    with pillow.open(io.BytesIO(jpeg)) as picture:
        rgb = picture.convert("RGB")
    told = ImageStat.Stat(rgb)
    grey = np.asarray(rgb).sum(axis=2, dtype=np.int16)
    detail = np.abs(np.diff(grey, axis=1)).mean() / 3 if rgb.width > 1 else 0.0
    return np.array([*told.mean, *told.stddev, detail], np.float32)


def write_range(path: Path, images: Iterable[np.ndarray]) -> None:
    """Write the range of decoded images, uint8 (height, width, 3)."""
    measures = np.array([measure(thumbnail(np.ascontiguousarray(image))) for image in images])
    limits = {
        name: [float(low), float(high)]
        for name, low, high in zip(NAMES, measures.min(axis=0), measures.max(axis=0), strict=True)
    }
    write_whole(path, json.dumps(limits, indent=2).encode() + b"\n")


def read_range(path: Path) -> Range | None:
    """The range in a file; None if there is none that can be read, as beside older networks."""
    try:
        limits = json.loads(path.read_bytes())
        low, high = zip(*(limits[name] for name in NAMES), strict=True)
        return Range(np.array(low, np.float32), np.array(high, np.float32))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def some(digests: Sequence[str], count: int = LOOKED_AT) -> list[str]:
    """At most `count` of them, spread evenly."""
    places = np.linspace(0, len(digests) - 1, min(count, len(digests))).round().astype(int)
    return [digests[int(place)] for place in places]
