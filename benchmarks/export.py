"""Size, latency and speed of a run in each format of `jaxreg export`.

    python benchmarks/export.py [--quick] [--formats keras savedmodel …] [--preset best]

The artefacts run in turn in one process, each by its format's own library with its own threads.
Images are 320 x 96. Latency: the median time of one image. Images/s: in batches of 32.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
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
    asked = parser.parse_args()
    road = RoadImages(2000)
    batch = np.stack([road[number] for number in range(0, 320, 10)])
    with tempfile.TemporaryDirectory() as name:
        run = make_run(Path(name), asked.quick, asked.preset)
        made: dict[str, tuple[int, Callable]] = {}
        for format in asked.formats:
            out = Path(name, f"{format}{FORMATS[format].suffix}")
            run.export(out, format=format)
            made[format] = size_of(out, FORMATS[format].beside), FORMATS[format].load(out)
        rounds = 2 if asked.quick else 7
        one = {format: [] for format in made}
        many = {format: [] for format in made}
        for number in range(rounds + 1):
            for format, (_, run_it) in made.items():
                found = seconds(run_it, batch[:1]), seconds(run_it, batch)
                if number:  # the first compiles
                    one[format].append(found[0])
                    many[format].append(found[1])
    print("| format | size | one image | images/s |\n|---|---|---|---|")
    for format, (size, _) in made.items():
        latency, whole = statistics.median(one[format]), statistics.median(many[format])
        shown = humanize.naturalsize(size), f"{latency * 1e3:.1f} ms", f"{len(batch) / whole:.0f}"
        print(f"| {format} | {' | '.join(shown)} |")


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
