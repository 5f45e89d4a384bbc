"""Small datasets of arrays with several columns, for the tests of sweeps."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from jaxreg.cache.dataset_table import make_dataset
from jaxreg.cache.datasets import write_dataset
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.sources.examples import Examples

GOOD, BAD = "mixed2.avg", "mixed10.avg"  # the column that decides the target, and one of noise


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
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(rows, 4))
    good = hidden @ rng.normal(size=(4, 16)) + 0.3 * rng.normal(size=(rows, 16))
    height = rng.normal(size=rows)
    y = hidden[:, 0] + np.tanh(2 * hidden[:, 1]) + 0.2 * height + noise * rng.normal(size=rows)
    if permuted:
        y = rng.permutation(y)
    y = y if change is None else change(y)
    columns = {
        "y": y,
        "y2": 20 + 5 * hidden[:, 2] + noise * rng.normal(size=rows),
        "angle": np.degrees(np.arctan2(hidden[:, 0], hidden[:, 1])) % 360,
        "height": height,
        "weight": rng.integers(0, 3, rows).astype(float),
        "patient": [f"p{i % groups}" for i in range(rows)],
        "part": [f"fold{i % 4}" for i in range(rows)],
    }
    cache = Cache(folder / "cache")
    recipe = Recipe(weights="random:0:v1", weights_tag="random0")
    cache.make_feature_set(recipe, None)
    features = {GOOD: good, "mixed4.avg": good[:, :6], BAD: rng.normal(size=(rows, 8))}
    digests = [hashlib.sha256(row.tobytes()).hexdigest() for row in good]
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
    return cache.root
