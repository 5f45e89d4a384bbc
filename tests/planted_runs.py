"""Quick runs on the planted dataset, and what they left on disk."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import jaxreg
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.store import Cache

# the same for all tests where nothing else is asked: each other one has to be compiled
QUICK = {"hidden": (16, 8), "epochs": 12, "learning_rate": 0.01}


def run_quick(planted: Path, **options):
    options = {"cache": planted, "ckpts": planted.parent / "ckpts", **QUICK, **options}
    return jaxreg.train_head("planted", **options)


def words(planted: Path, *more: str) -> list[str]:
    ckpts = str(planted.parent / "ckpts")
    quick = ["--hidden", "16", "8", "--epochs", "12", "--learning-rate", "0.01"]
    return ["planted", "--cache", str(planted), "--ckpts", ckpts, *quick, *more]


def column_of(table, name: str, side: str) -> np.ndarray:
    return table[name].to_numpy()[np.array(table["split"]) == side]


def digests_of(planted: Path) -> list[str]:
    return pq.read_table(planted / "datasets" / "planted.parquet")["digest"].to_pylist()


def predictions_of(path: Path, target: str = "angle") -> list[float]:
    return pq.read_table(path / "predictions.parquet")[f"prediction.{target}"].to_pylist()


def history_of(path: Path) -> list[list[str]]:
    """Every line but for its seconds."""
    return [line.split(",")[:-1] for line in (path / "history.csv").read_text().splitlines()]


def edit_dataset(planted: Path, **fields: Any) -> None:
    """Write the dataset again with other fields; a function makes one of the dataset itself."""
    cache = Cache(planted)
    dataset = read_dataset(cache, "planted")
    made = {n: value(dataset) if callable(value) else value for n, value in fields.items()}
    write_dataset(cache, dataclasses.replace(dataset, **made))


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
