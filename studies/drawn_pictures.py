"""Two drawn tasks, as folders with a labels.csv: the reading of a gauge, and the number of cells.

    python studies/drawn_pictures.py FOLDER [--count 1000]     # FOLDER/gauge and FOLDER/cells

Each picture has its own random generator, so picture `i` is the same for every count.
"""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image, ImageDraw, ImageFilter

SIDE = 224  # pixels
FINE = 2  # drawn at twice the size, then made smaller: smooth edges
SWEEP = math.radians(270)  # from the reading 0 to the reading 1

Draw = Callable[[np.random.Generator], tuple[Image.Image, float]]


@dataclass(frozen=True)
class Arguments:
    """Draw both tasks."""

    folder: Annotated[Path, tyro.conf.Positional]
    count: int = 1000  # pictures of each task


def main(arguments: Arguments) -> None:
    """Write both folders."""
    for name in TASKS:
        print(write_task(name, arguments.folder, arguments.count))


def write_task(name: str, folder: Path, count: int) -> Path:
    """Draw the pictures of a task into `folder/name`; returns the path of its labels.csv.

    The columns are image and `reading` (0 to 1) of a gauge, or `cells` (0 to 60).
    """
    draw, target = TASKS[name]
    (folder / name).mkdir(parents=True, exist_ok=True)
    with open(folder / name / "labels.csv", "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["image", target])
        for number in range(count):
            picture, value = draw(np.random.default_rng([number, len(name)]))
            picture.save(folder / name / f"{number:05}.png")
            lines.writerow([f"{number:05}.png", f"{value:.4f}"])
    return folder / name / "labels.csv"


def draw_gauge(rng: np.random.Generator) -> tuple[Image.Image, float]:
    """A dial with a needle, anywhere in the picture, turned by up to 10 degrees; its reading."""
    size, reading = SIDE * FINE, rng.uniform()
    picture = Image.fromarray(_background(rng, size))
    pen = ImageDraw.Draw(picture)
    radius = size * rng.uniform(0.28, 0.42)
    x, y = (rng.uniform(radius + 8, size - radius - 8) for _ in range(2))
    turned = math.radians(rng.uniform(-10, 10))
    face = rng.integers(140, 256, 3)
    ink = rng.integers(0, 90, 3)
    box = [x - radius, y - radius, x + radius, y + radius]
    pen.ellipse(box, fill=_rgb(face), outline=_rgb(ink), width=round(size * 0.012))

    def point(share: float, length: float) -> tuple[float, float]:
        """The place at a reading, `length` radii from the centre."""
        angle = math.pi / 2 + (2 * math.pi - SWEEP) / 2 + share * SWEEP + turned
        return x + length * radius * math.cos(angle), y + length * radius * math.sin(angle)

    for tick in range(11):
        inner = 0.78 if tick % 5 == 0 else 0.86
        pen.line([point(tick / 10, inner), point(tick / 10, 0.94)], fill=_rgb(ink), width=4)
    needle = rng.integers(0, 256, 3) if rng.uniform() < 0.5 else np.array([200, 20, 20])
    ends = [point(reading, -0.18), point(reading, rng.uniform(0.6, 0.85))]
    pen.line(ends, fill=_rgb(needle // 2), width=round(size * rng.uniform(0.01, 0.02)))
    hub = radius * 0.08
    pen.ellipse([x - hub, y - hub, x + hub, y + hub], fill=_rgb(ink))
    return _photographed(rng, picture), reading


def draw_cells(rng: np.random.Generator) -> tuple[Image.Image, float]:
    """Round cells with a nucleus, which may overlap, on uneven light; their number."""
    size, count = SIDE * FINE, int(rng.integers(0, 61))
    picture = Image.fromarray(_background(rng, size))
    shape = rng.uniform(0.02, 0.035) * size
    tint = rng.integers(60, 200, 3)
    for _ in range(count):
        x, y = rng.uniform(0.04 * size, 0.96 * size, 2)
        wide, high = shape * rng.uniform(0.8, 1.5, 2)
        cell = Image.new("L", (size, size), 0)
        ImageDraw.Draw(cell).ellipse([x - wide, y - high, x + wide, y + high], fill=150)
        own = np.clip(tint + rng.integers(-20, 21, 3), 0, 255)
        picture.paste(_rgb(own), mask=cell)
        pen, core = ImageDraw.Draw(picture), 0.4 * min(wide, high)
        pen.ellipse([x - core, y - core, x + core, y + core], fill=_rgb(own // 2))
    return _photographed(rng, picture), float(count)


TASKS: dict[str, tuple[Draw, str]] = {
    "gauge": (draw_gauge, "reading"),
    "cells": (draw_cells, "cells"),
}


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Smooth colours that differ from place to place, uint8 (size, size, 3)."""
    coarse = rng.integers(90, 256, (4, 4, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def _photographed(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """The picture at its final size with blur, another exposure, and noise."""
    small = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    small = small.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2)))
    pixels = np.asarray(small, np.float64) * rng.uniform(0.6, 1.15)
    pixels += rng.normal(0, rng.uniform(1, 8), pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue


if __name__ == "__main__":
    main(tyro.cli(Arguments))
