"""Runs on arrays, and new rows for them, for the tests of `jaxreg evaluate`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

import jaxreg
from jaxreg.extract_config import SourceOptions

GROUPS, OF_GROUP, WIDTH = 12, 20, 8
ROWS = GROUPS * OF_GROUP

Columns = dict[str, Any]


def rows_of(seed: int) -> tuple[np.ndarray, Columns]:
    """Vectors (rows, WIDTH) whose groups differ, and the columns that follow from them."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), OF_GROUP)
    x = rng.normal(size=(ROWS, WIDTH)) + 0.5 * rng.normal(size=(GROUPS, WIDTH))[group]
    noise = rng.normal(size=(ROWS, 3))
    y = x[:, 0] - 0.5 * x[:, 1] + 0.2 * noise[:, 0]
    columns = {
        "y": y,
        "speed": 20 + 5 * x[:, 2] + noise[:, 1],
        "share": 1 / (1 + np.exp(-y)),
        "heading": (350 + 20 * y) % 360,
        "drive": [f"{seed}-{number}" for number in group],
        "weather": np.where(x[:, 3] > 0, "sun", "rain"),
        "weight": rng.integers(1, 4, ROWS),
        "height": 100 + 10 * noise[:, 2],
    }
    return x.astype(np.float32), columns


def write(folder: Path, name: str, x: np.ndarray, columns: Columns) -> tuple[Path, Path]:
    """A table and a file with the vectors of its rows."""
    table, vectors = folder / f"{name}.csv", folder / f"{name}.npy"
    pyarrow.csv.write_csv(
        pa.table({k: pa.array(v, from_pandas=True) for k, v in columns.items()}), table
    )
    np.save(vectors, x)
    return table, vectors


def new_rows(
    folder: Path,
    change: Callable[[np.ndarray, Columns], tuple[np.ndarray, Columns]] = lambda x, c: (x, c),
    seed: int = 2,
    name: str = "new",
) -> tuple[Path, Path]:
    """New rows of the same kind, changed."""
    return write(folder, name, *change(*rows_of(seed)))


def train(folder: Path, run: str, **options: Any) -> Any:
    """A run on the rows of seed 1; a ridge with whole drives held out, unless told otherwise."""
    if not (folder / "cache").exists():
        table, vectors = write(folder, "known", *rows_of(1))
        jaxreg.extract_features(
            table,
            cache=folder / "cache",
            embeddings=str(vectors),
            embeddings_name="v",
            options=SourceOptions(group_column="drive"),
        )
    options = {"head": "ridge", "split": "group:drive", "target": "y", **options}
    return jaxreg.train_head(
        "known", cache=folder / "cache", ckpts=folder / "ckpts", run=run, **options
    )
