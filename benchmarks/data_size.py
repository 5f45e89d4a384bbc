"""Rows a second and peak memory where features are kept on the device, on the host and in parts.

    python benchmarks/data_size.py [--gib 1] [--share 0.25] [--epochs 3]

Makes a cache of random features (rows × 2,048, float32, parts of 1,024 images), then trains the
original head on it in a process for each place: without a limit, with one that the features just
fit, and with `share` of their size. Also a run with hardly any features, whose peak is what a
process takes without them. The first epoch, which fills the caches, is not counted.
"""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

WIDTH, PART = 2048, 1024


def make_cache(root: Path, name: str, rows: int) -> None:
    """A dataset of `rows` rows whose target hangs on the first eight features."""
    from jaxreg.cache.dataset_table import make_dataset
    from jaxreg.cache.datasets import write_dataset
    from jaxreg.cache.recipe import Column, Recipe
    from jaxreg.cache.store import Cache
    from jaxreg.extract_config import ExtractConfig, SourceOptions
    from jaxreg.sources.examples import Examples

    cache, column = Cache(root), Column()
    recipe = Recipe(weights="random:0:v1", weights_tag="random0")
    cache.make_feature_set(recipe, None)
    rng = np.random.default_rng(0)
    digests, targets = [], []
    for start in range(0, rows, PART):
        x = rng.standard_normal((min(PART, rows - start), WIDTH), np.float32)
        some = [hashlib.sha256(f"{name} {start + i}".encode()).hexdigest() for i in range(len(x))]
        cache.add(recipe.feature_set, column, some, x)
        digests += some
        targets.append(x[:, :8].sum(axis=1))
    examples = Examples(
        ids=tuple(map(str, range(rows))),
        images=[b""] * rows,
        columns=pa.table({"target": np.concatenate(targets)}),
        description={"kind": "benchmark"},
        targets=("target",),
    )
    dataset = make_dataset(
        name,
        examples,
        digests,
        feature_set=recipe.feature_set,
        columns=[column],
        opened="benchmark",
        options=SourceOptions(),
        settings=ExtractConfig(weights="random"),
    )
    write_dataset(cache, dataset)


def train(root: Path, name: str, epochs: int, limit: str | None) -> None:
    """In a process of its own: train, and print where, the seconds of each epoch and the peak."""
    import jaxreg

    told: list[str] = []
    run = jaxreg.train_head(
        name,
        cache=root,
        ckpts=root / "ckpts",
        epochs=epochs,
        patience=epochs,
        memory_limit=limit,
        say=told.append,
    )
    history = (run.path / "history.csv").read_text().splitlines()[1:]
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "where": next(line for line in told if line.startswith("data: ")),
                "seconds": [float(line.rsplit(",", 1)[1]) for line in history],
                "load": run.summary["seconds"]["load"],
                "peak": kilobytes * (1 if sys.platform == "darwin" else 1024),
            }
        )
    )


def in_a_process(*words: object, **environment: str) -> dict:
    command = [sys.executable, __file__, *map(str, words)]
    environment = {**os.environ, **environment}
    told = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=environment
    ).stdout
    return json.loads(told.splitlines()[-1])


def bare_peak(root: Path, epochs: int) -> int:
    """Bytes that a process takes with 256 rows; it gives memory back as it does with many rows."""
    words = ["--epochs", epochs, "--train", root, "few", "none"]
    in_a_process(*words)  # compiles, which takes memory too; the next one finds it done
    return in_a_process(*words, MALLOC_MMAP_THRESHOLD_=str(2**20))["peak"]


def limited(root: Path, epochs: int, limit: str) -> dict:
    """A training within a limit, with its programs compiled before."""
    in_a_process("--epochs", 1, "--train", root, "many", limit)
    return in_a_process("--epochs", epochs, "--train", root, "many", limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gib", type=float, default=1.0, help="of features")
    parser.add_argument("--share", type=float, default=0.25, help="of that, the smallest limit")
    parser.add_argument(
        "--epochs", type=int, default=3, help="of each training; the first is warm-up"
    )
    parser.add_argument("--skip", nargs="*", default=[], help="of: device host parts")
    parser.add_argument("--folder", type=Path, help="for the cache, instead of a temporary one")
    parser.add_argument("--train", nargs=3, metavar=("CACHE", "NAME", "LIMIT"))
    arguments = parser.parse_args()
    if arguments.train:
        root, name, limit = arguments.train
        train(Path(root), name, arguments.epochs, None if limit == "none" else limit)
        return

    rows = int(arguments.gib * 2**30) // (WIDTH * 4)
    size = rows * WIDTH * 4
    limits = {"device": "none", "host": f"{int(1.2 * size)}B"}
    limits["parts"] = f"{int(arguments.share * size)}B"
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root = Path(folder)
        make_cache(root, "few", 256)
        make_cache(root, "many", rows)
        bare = bare_peak(root, arguments.epochs)
        print(f"{rows:,} rows, {size / 2**20:.0f} MiB; a process with 256 rows: {bare >> 20} MiB")
        base = None
        for place, limit in limits.items():
            if place in arguments.skip:
                continue
            told = limited(root, arguments.epochs, limit)
            seconds = statistics.median(told["seconds"][1:])
            base = base or seconds
            print(
                f"{told['where']}\n  limit {limit}; {rows / seconds:,.0f} rows/s, "
                f"{base / seconds:.2f} of the first; load {told['load']:.1f} s; "
                f"peak above that process {(told['peak'] - bare) >> 20} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
