"""`jaxreg predict --interval` against `jaxreg predict` on images whose features are cached.

    python benchmarks/intervals.py [--quick]

Both run in turn in one process, whole commands: the run is loaded, the images are read, the table
is written. The medians, and the median of the differences.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import numpy as np
from PIL import Image

from experiment import make_cache
from train import synthetic

FEATURES = 1_152


def interval(quick: bool, rounds: int) -> None:
    """Seconds that intervals take, on 10,000 rows of 1,152 features."""
    import jaxreg
    from jaxreg import predict
    from jaxreg.cache.recipe import Column
    from jaxreg.cache.store import Cache

    rows, rounds = (400 if quick else 10_000), (1 if quick else 2 * rounds + 1)
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), Path(name, "cache")
        x, y = synthetic(rows)
        x = x[:, :FEATURES]
        make_cache(cache, x, y)
        options = {"folds": 2, "split": "hash", "epochs": 2, "hidden": (64,)}
        run = jaxreg.train_head("synthetic", cache=cache, ckpts=folder, run="one", **options)
        images, digests = folder / "images", []
        images.mkdir()
        for number in range(rows):
            file = images / f"{number:05}.png"
            Image.fromarray(np.frombuffer(number.to_bytes(3), np.uint8)[None, None]).save(file)
            digests.append(hashlib.sha256(file.read_bytes()).hexdigest())
        for start in range(0, rows, 1024):
            part = slice(start, start + 1024)
            Cache(cache).add(run.features.feature_set, Column(), digests[part], x[part])
        words = [str(run.path), str(images), "--out", str(folder / "p.csv")]

        def seconds(*more: str) -> float:
            begin = time.perf_counter()
            with redirect_stderr(StringIO()):
                predict.main([*words, *more])
            return time.perf_counter() - begin

        seconds("--interval", "0.8")  # compiles
        pairs = [(seconds(), seconds("--interval", "0.8")) for _ in range(rounds)]
    plain, around = (statistics.median(own) for own in zip(*pairs, strict=True))
    more = statistics.median(with_them - without for without, with_them in pairs)
    print(
        f"predict on {rows:,} images with cached features of {FEATURES:,} columns, {rounds} rounds"
    )
    print(f"alone {plain:.2f} s, with --interval {around:.2f} s: {more:.3f} s more")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rows: does everything work?")
    interval(parser.parse_args().quick, 2)
