"""What precisions cost in accuracy: `python studies/precision.py SOURCE --target T --weights FILE`.

Measured are the error of the features and the R² of a ridge on them, for each engine and precision.
Each variant is extracted by its own `jaxreg extract`, all layers at once. The relative
error is max|a - b| / max|b| over all images, b being TensorFlow's float32; beside it the 99.9th
percentile of |a - b| / |b| over the elements that are not 0. R² is the mean over five contiguous
blocks of the recording: scikit-learn's RidgeCV (leave-one-out on the training rows), features
standardized with a floor under the std of a tenth of the largest and cut at 4.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache

FLOOR, LIMIT, FOLDS = 0.1, 4.0, 5

VARIANTS = {
    "tensorflow float32": ["--engine", "tensorflow"],
    "jax float32": ["--engine", "jax"],
    "openvino float32": ["--engine", "openvino"],
    "openvino bfloat16": ["--precision", "bfloat16"],
    "openvino int8": ["--precision", "int8"],
}


@dataclass(frozen=True)
class Arguments:
    """Compare engines and precisions on a recording."""

    source: Annotated[str, tyro.conf.Positional]  # whatever extract takes, in order
    target: str  # the column that a ridge predicts
    weights: str = "imagenet"  # as for extract
    layers: tuple[str, ...] = ("mixed2", "mixed7", "mixed10")
    pool: str = "avg"
    jax: bool = False  # the JAX engine too: slow without an accelerator


def main(arguments: Arguments) -> None:
    """Extract, compare and print a table."""
    rows = {}
    for name, options in VARIANTS.items():
        if name.startswith("jax") and not arguments.jax:
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = _features(arguments, options, Path(folder))
    _, target = rows["tensorflow float32"]
    print(f"{len(target)} images of {arguments.source}, {arguments.pool}, R² of {arguments.target}")
    print("| | layer | relative error | 99.9% of elements within | R² |")
    print("|---|---|---|---|---|")
    for name, (features, _) in rows.items():
        for layer, found in features.items():
            wanted = rows["tensorflow float32"][0][layer]
            error = np.abs(found - wanted)
            some = wanted != 0
            most = np.percentile(error[some] / np.abs(wanted[some]), 99.9)
            print(
                f"| {name} | {layer} | {error.max() / np.abs(wanted).max():.2g} | {most:.2g} "
                f"| {ridge_r2(found, target):.3f} |"
            )


def _features(
    arguments: Arguments, options: list[str], cache: Path
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """{layer: (images, D)} and the target, rows in the source's order."""
    command = [sys.executable, "-m", "jaxreg.extract", arguments.source, "--name", "measured"]
    command += ["--cache", str(cache), "--weights", arguments.weights, "--pool", arguments.pool]
    command += ["--layers", *arguments.layers, *options]
    subprocess.run(command, check=True)
    store = Cache(cache)
    dataset = read_dataset(store, "measured")
    columns = [Column(layer=layer, pool=arguments.pool) for layer in arguments.layers]
    digests = dataset.table["digest"].to_pylist()
    features = {c.layer: store.read(dataset.feature_set, [c], digests) for c in columns}
    return features, dataset.table[arguments.target].to_numpy().astype(np.float64)


def ridge_r2(x: np.ndarray, y: np.ndarray) -> float:
    """Mean R² on held-out contiguous blocks."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold

    scores = []
    for train, test in KFold(FOLDS).split(x):
        std = x[train].std(axis=0)
        scaled = (x - x[train].mean(axis=0)) / np.maximum(std, FLOOR * std.max())
        scaled = np.clip(scaled, -LIMIT, LIMIT).astype(np.float64)
        ridge = RidgeCV(np.logspace(-1, 6, 15)).fit(scaled[train], y[train])
        scores.append(ridge.score(scaled[test], y[test]))
    return float(np.mean(scores))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
