"""Size, latency and speed of a run in each format of `jaxreg export`.

    python benchmarks/export.py [--quick] [--formats keras savedmodel …] [--preset best]

Each model runs in a process of its own, by its format's own library with its own threads. Images
are 320 x 96. Latency: the median time of one image. Images/s: in batches of 32. With --folder, the
models stay there, and those that are there are only measured.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import humanize
import numpy as np

import jaxreg
from jaxreg.artefact.formats import FORMATS
from jaxreg.sources.road.frames import RoadImages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="75 x 75, a few rounds")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--preset", choices=["best"], help="features of this preset")
    parser.add_argument("--folder", type=Path, help="where the models are kept")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        files = {one: folder / f"{one}{FORMATS[one].suffix}" for one in asked.formats}
        if missing := [one for one, file in files.items() if not file.exists()]:
            run = make_run(Path(name), asked.quick, asked.preset)
            for format in missing:
                run.export(files[format], format=format)
        print("| format | size | one image | images/s |\n|---|---|---|---|", flush=True)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as process:
            for format, file in files.items():
                rounds = 2 if asked.quick else 10
                latency, rate = process.submit(measure, format, file, rounds).result()
                size = humanize.naturalsize(size_of(file, FORMATS[format].beside))
                print(f"| {format} | {size} | {latency * 1e3:.1f} ms | {rate:.0f} |", flush=True)


def measure(format: str, file: Path, rounds: int) -> tuple[float, float]:
    """Seconds of one image, and images a second in a batch: medians."""
    road = RoadImages(320)
    batch = np.stack([road[number] for number in range(0, 320, 10)])
    run_it = FORMATS[format].load(file)
    for some in (batch[:1], batch):
        seconds(run_it, some)  # compiles
    one = statistics.median(seconds(run_it, batch[:1]) for _ in range(3 * rounds))
    many = statistics.median(seconds(run_it, batch) for _ in range(rounds))
    return one, len(batch) / many


def make_run(folder: Path, quick: bool, preset: str | None):
    """Five heads of the default size on an InceptionV3 with random weights."""
    settings: dict[str, Any] = (
        {"preset": preset} if preset else {"size": (75, 75) if quick else (299, 299)}
    )
    jaxreg.extract_features(
        "road:40", name="road", cache=folder / "cache", weights="random", **settings
    )
    more: dict[str, Any] = {"preset": preset} if preset else {}
    return jaxreg.train_head(
        "road", cache=folder / "cache", ckpts=folder / "ckpts", epochs=2, folds=5, **more
    )


def seconds(run_it: Callable, images: np.ndarray) -> float:
    begin = time.perf_counter()
    run_it(images)
    return time.perf_counter() - begin


def size_of(path: Path, beside: tuple[str, ...]) -> int:
    files = [path, *(path.with_suffix(end) for end in beside), *path.rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".md")


if __name__ == "__main__":
    main()
