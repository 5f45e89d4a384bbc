"""Runs on small pictures of the drawn road, for the tests of `jaxreg explain`."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import jaxreg
from jaxreg.sources.examples import Examples
from jaxreg.sources.road.frames import RoadImages, open_road

SIZE = (75, 75)  # the smallest that InceptionV3 takes


def road(count: int, corner: int = 0) -> Examples:
    """Frames of the drawn road; with a corner of so many pixels, the target is its grey level."""
    examples = open_road(count)
    images = [RoadImages(count)[number].copy() for number in range(count)]
    steering = examples.columns["steering"].to_numpy()
    for rgb, target in zip(images, steering, strict=True):
        if corner:
            rgb[-corner:, :corner] = np.round(127.5 + 127.5 * target)
    columns = {name: examples.columns[name] for name in ("steering", "offset", "curvature")}
    return Examples(
        ids=examples.ids,
        images=images,
        columns=pa.table(columns),
        description={"kind": "arrays"},
        order=examples.order,
        group=examples.group,
        targets=("steering",),
        sequential=True,
    )


def extract(folder: Path, name: str, examples: Examples, *columns: str, **options: Any) -> None:
    """The features of random weights in the cache of a folder."""
    options = {"weights": "random", "size": SIZE, **options}
    jaxreg.extract_features(examples, name=name, cache=folder / "cache", columns=columns, **options)


def train(folder: Path, name: str, run: str, **options: Any) -> Any:
    """A ridge on a dataset of that cache."""
    options = {"head": "ridge", "target": "steering", **options}
    places = {"cache": folder / "cache", "ckpts": folder / "ckpts"}
    return jaxreg.train_head(name, run=run, **places, **options)
