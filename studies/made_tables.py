"""Tables for `python studies/blend_tables.py`: made of random numbers, the drawn road, a tub."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

import jaxreg
from jaxreg.cache.datasets import dataset_names
from jaxreg.cache.store import Cache


class Table(NamedTuple):
    """A dataset in a cache, and how it is split."""

    name: str
    dataset: str
    asked: dict[str, Any]  # settings of train


class Made(NamedTuple):
    """Rows of vectors in groups, as a formula gives them."""

    groups: int
    rows: int  # of each group
    width: int
    curved: float  # share of the target's variance that no line in the vectors tells
    noise: float  # std, where the signal has 1
    drift: float  # how much of a vector is the look of its group, in std
    seed: int
    thin: float = 0.0  # so many more directions of noise, of this std


MADE = {
    "curved, 40 groups": Made(40, 25, 256, 0.8, 0.3, 0.5, 1),
    "curved, 12 groups": Made(12, 60, 256, 0.9, 0.3, 0.7, 2),
    "curved, 6 groups": Made(6, 80, 128, 0.9, 0.2, 0.5, 3),
    "half curved, 15 groups": Made(15, 40, 512, 0.5, 0.3, 1.0, 4),
    "linear, 12 groups": Made(12, 40, 512, 0.0, 0.5, 0.7, 5),
    "linear, 100 rows": Made(10, 10, 256, 0.0, 0.3, 0.3, 6),
    "noise, 20 groups": Made(20, 20, 128, 0.5, 3.0, 0.5, 7),
}


def vectors(made: Made) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, width) vectors, (rows,) targets in degrees and (rows,) groups.

    In each group six hidden numbers walk. The target is a line in some and a curve in others.
    """
    rng = np.random.default_rng(made.seed)
    steps = 0.4 * rng.normal(size=(made.groups, made.rows, 6))
    hidden = rng.normal(size=(made.groups, 1, 6)) * 0.5 + 0.9 * np.cumsum(steps, axis=1)
    hidden = np.tanh(hidden.reshape(-1, 6)) * 1.7
    group = np.repeat(np.arange(made.groups), made.rows)
    line = hidden[:, 0] + 0.5 * hidden[:, 1]
    curve = np.abs(hidden[:, 2]) + hidden[:, 3] * hidden[:, 4] + np.cos(2 * hidden[:, 5])
    line, curve = ((each - each.mean()) / each.std() for each in (line, curve))
    signal = np.sqrt(1 - made.curved) * line + np.sqrt(made.curved) * curve
    y = 30 + 12 * (signal + made.noise * rng.normal(size=len(signal)))
    look = made.drift * rng.normal(size=(made.groups, 12))[group]
    inner = np.concatenate([hidden, look], axis=1)
    x = inner @ rng.normal(size=(inner.shape[1], made.width)) / 3
    return np.maximum(x + 0.3 * rng.normal(size=x.shape), -0.5).astype(np.float32), y, group


def made_tables(cache: Path) -> list[Table]:
    """The tables of random numbers, with the split that fits each."""
    found = []
    for number, (name, made) in enumerate(MADE.items()):
        x, y, group = vectors(made)
        dataset = f"made-{number}"
        if dataset not in dataset_names(Cache(cache)):
            folder = cache / "made"
            folder.mkdir(parents=True, exist_ok=True)
            ids = [f"row-{i}" for i in range(len(y))]
            table = pa.table({"id": ids, "angle": y, "drive": [f"d{g}" for g in group]})
            csv.write_csv(table, folder / f"{dataset}.csv")
            np.save(folder / f"{dataset}.npy", x)
            jaxreg.extract_features(
                folder / f"{dataset}.csv", name=dataset, cache=cache,
                embeddings=str(folder / f"{dataset}.npy"), embeddings_name=f"made{number}",
            )  # fmt: skip
        split = "hash" if "rows" in name else "group:drive"
        found.append(Table(name, dataset, {"target": ("angle",), "split": split}))
    return found


def road_tables(cache: Path) -> list[Table]:
    """The drawn road with random weights: few and many frames, each split that it has."""
    found = []
    for frames, splits in [(300, ("blocks", "hash")), (1500, ("blocks", "group:group", "hash"))]:
        name = f"road-{frames}"
        if name not in dataset_names(Cache(cache)):
            jaxreg.extract_features(
                f"road:{frames}", name=name, cache=cache, weights="random", size=(75, 75),
                layers=("mixed2",), pool="grid:2x4",
            )  # fmt: skip
        found += [
            Table(
                f"road, {frames} frames, {split}", name, {"target": ("steering",), "split": split}
            )
            for split in splits
        ]
    return found


def tub_tables(cache: Path, tub: str, weights: str) -> list[Table]:
    """A tub of one recording, by blocks and by rows."""
    found = []
    kinds: list[tuple[str, tuple[int, int], Literal["keras", "unit"]]] = [
        ("tub-keras", (150, 150), "keras"),
        ("tub-unit", (299, 299), "unit"),
    ]
    for name, size, preprocess in kinds:
        if name not in dataset_names(Cache(cache)):
            layer = "mixed2" if name == "tub-keras" else "mixed3"
            jaxreg.extract_features(
                tub, name=name, cache=cache, weights=weights, size=size,
                layers=(layer,), pool="grid:2x4", preprocess=preprocess,
            )  # fmt: skip
        found += [
            Table(f"{name}, {split}", name, {"target": ("user/angle",), "split": split})
            for split in ("blocks", "hash")
        ]
    return found
