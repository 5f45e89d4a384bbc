"""How far the numbers of artefacts are from those of their run, by format, head and target type.

Each run has three folds, on the drawn road. Its columns are a grid and the mean of two layers of an
InceptionV3 with random weights, at 75 x 75. The table in docs/export.md is the output.

    python studies/export_differences.py [--formats keras savedmodel …]
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import jaxreg
from jaxreg.artefact.export_run import target_std
from jaxreg.artefact.formats import FORMATS
from jaxreg.errors import InputError
from jaxreg.sources.road.frames import RoadImages, open_road
from jaxreg.target_types import difference

ROWS, IMAGES = 150, 32
HEADS = {"mlp": {}, "ridge": {}, "blend": {"components": 16}}
TARGETS = {"plain": "plain", "bounded": "bounded:0:1", "circular": "circular:360"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    formats = parser.parse_args().formats
    columns = [*TARGETS, "far from zero"]
    print(f"| format | head | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_dataset(folder / "cache")
        runs = {head: train(folder, head) for head in HEADS}
        for format in formats:
            for head, pair in runs.items():
                found = [one for run in pair for one in differences(run, format, folder)]
                shown = ["refused" if np.isnan(one) else f"{one:.1e}" for one in found]
                print(f"| {format} | {head} | {' | '.join(shown)} |")


def make_dataset(cache: Path) -> None:
    """The road with targets of each type."""
    road = open_road(ROWS)
    steering = road.columns["steering"].to_numpy()
    values = {
        "plain": steering,
        "bounded": (steering - steering.min()) / np.ptp(steering),
        "circular": np.degrees(road.columns["heading"].to_numpy()) % 360,
        "far": 1.7e9 + steering,  # seconds since 1970: float32 would round it by 64
    }
    examples = dataclasses.replace(road, columns=pa.table(values), targets=("plain",))
    settings: dict[str, Any] = {"weights": "random", "size": (75, 75)}
    read = ("mixed0.grid2x3", "mixed1.avg")
    jaxreg.extract_features(examples, name="road", cache=cache, columns=read, **settings)


def train(folder: Path, head: str) -> list:
    """Two runs with this head: float32 holds the targets of the first only."""
    common: dict[str, Any] = {"cache": folder / "cache", "ckpts": folder / "ckpts", "folds": 3}
    common |= {"head": head, **HEADS[head]}
    if head != "ridge":
        common |= {"epochs": 20, "learning_rate": 1e-3, "hidden": (64, 32)}
    wanted: tuple[dict[str, Any], ...] = (
        {"target": tuple(TARGETS), "target_type": tuple(TARGETS.values())},
        {"target": "far"},
    )
    return [
        jaxreg.train_head("road", run=f"{head}-{number}", **common, **targets)
        for number, targets in enumerate(wanted)
    ]


def differences(run, format: str, folder: Path) -> np.ndarray:
    """(targets,) the largest difference over 32 images of three sizes, in std of each target.

    NaN where `export` refuses to write the artefact.
    """
    out = folder / f"{run.path.name}-{format}{FORMATS[format].suffix}"
    try:
        run.export(out, format=format)
    except InputError:
        return np.full(len(run.targets), np.nan)
    artefact, road = FORMATS[format].load(out), RoadImages(4000)
    worst = np.zeros(len(run.targets))
    for start, (top, left) in enumerate([(0, 0), (21, 0), (0, 180)]):
        numbers = range(start, IMAGES, 3)
        images = np.stack([road[1000 + 50 * number][top:, left:] for number in numbers])
        found, wanted = artefact(images), run.predict(images)
        apart = np.abs(difference(run.types, found, wanted)) / target_std(run)
        worst = np.maximum(worst, apart.max(axis=0))
    return worst


if __name__ == "__main__":
    main()
