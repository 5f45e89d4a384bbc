"""Small datasets of arrays with several columns, for the tests of sweeps."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.cache.dataset_table import make_dataset
from jaxreg.cache.datasets import write_dataset
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.sources.examples import Examples

GOOD, BAD = "mixed2.avg", "mixed10.avg"  # the column that decides the target, and one of noise


def make_arrays(
    rows: int, *, seed: int = 0, noise: float = 0.3, groups: int = 12
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The features of each column (rows, …), and the columns of the table.

    The first rows are the same for each number of rows.
    """
    mixing = np.random.default_rng(seed).normal(size=(4, 16))
    rng = np.random.default_rng([seed, 1])
    each = rng.normal(size=(rows, 4 + 16 + 8 + 3))  # row by row
    hidden, spread, junk, extra = np.split(each, [4, 20, 28], axis=1)
    good = hidden @ mixing + 0.3 * spread
    y = hidden[:, 0] + np.tanh(2 * hidden[:, 1]) + 0.2 * extra[:, 0] + noise * extra[:, 1]
    columns = {
        "y": y,
        "y2": 20 + 5 * hidden[:, 2] + noise * extra[:, 2],
        "angle": np.degrees(np.arctan2(hidden[:, 0], hidden[:, 1])) % 360,
        "height": extra[:, 0],
        "weight": np.random.default_rng(seed).integers(0, 3, rows).astype(float),
        "patient": [f"p{i % groups}" for i in range(rows)],
        "part": [f"fold{i % 4}" for i in range(rows)],
    }
    return {GOOD: good, "mixed4.avg": good[:, :6], BAD: junk}, columns


def make_table(
    folder: Path,
    *,
    rows: int = 240,
    seed: int = 0,
    noise: float = 0.3,
    groups: int = 12,
    dtype: str = "float32",
    permuted: bool = False,
    sequential: bool = False,
    change: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Path:
    """A cache with the dataset `table`, whose column GOOD decides `y`, and with it `y2`, `angle`.

    `change` makes other targets of `y`. `weight` are numbers from 0 to 2. `y` depends a little on
    the side column `height`.
    """
    features, columns = make_arrays(rows, seed=seed, noise=noise, groups=groups)
    if permuted:
        columns["y"] = np.random.default_rng(seed).permutation(columns["y"])
    columns["y"] = columns["y"] if change is None else change(columns["y"])
    cache = Cache(folder / "cache")
    recipe = Recipe(weights="random:0:v1", weights_tag="random0")
    cache.make_feature_set(recipe, None)
    digests = [hashlib.sha256(row.tobytes()).hexdigest() for row in features[GOOD]]
    for name, values in features.items():
        for view in ("identity", "mirror"):
            layer = name.split(".")[0]
            column = Column(view=view, layer=layer)
            cache.add(recipe.feature_set, column, digests, values.astype(dtype))
    examples = Examples(
        ids=tuple(f"row-{i}" for i in range(rows)),
        images=[b""] * rows,
        columns=pa.table(columns),
        description={"kind": "test"},
        group=None,
        targets=("y",),
        bookkeeping=(),
        sequential=sequential,
    )
    dataset = make_dataset(
        "table",
        examples,
        digests,
        feature_set=recipe.feature_set,
        columns=[Column(layer=name.split(".")[0]) for name in features],
        opened="table.csv",
        options=SourceOptions(),
        settings=ExtractConfig(weights="random"),
    )
    write_dataset(cache, dataset)
    return Path(cache.root)
