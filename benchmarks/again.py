"""An extraction once more with nothing to do, and memory as images grow many.

    python benchmarks/again.py [--images 10000] [--few 2000] [--many 20000]
        [--options --size 75 75] [--no-memory]

Drawn JPEG files of 320x160. First `images` of them are extracted at 299x299 by the engine that
`auto` is, then the same command runs again. Then `few` and `many` are extracted into new caches,
with the options of `--for-memory`, and the peaks of resident memory are compared.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from extract import draw


@dataclass(frozen=True)
class Arguments:
    """Time an extraction that has nothing to do, and compare memory."""

    images: int = 10_000  # of the run that is repeated
    few: int = 2_000  # of the small run
    many: int = 20_000  # of the large one
    weights: str = "random"  # what extract takes; any will do for time
    options: tuple[str, ...] = ()  # more options of the run that is repeated
    repeats: int = 5  # of it, with nothing to do
    memory: bool = True  # compare memory too
    for_memory: tuple[str, ...] = ("--precision", "bfloat16", "--layers", "mixed2")


def main(arguments: Arguments) -> None:
    """Draw, extract and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _extract(_folder(folder, 64), folder / "warm", arguments.weights)  # the conversion is kept
        images = _folder(folder, arguments.images)
        first = _extract(images, folder / "cache", arguments.weights, arguments.options)
        repeats = [
            _extract(images, folder / "cache", arguments.weights, arguments.options)
            for _ in range(arguments.repeats)
        ]
        again = sorted(repeats, key=lambda one: one["wall"])[len(repeats) // 2]
        print(f"{arguments.images} images on {first['engine']}: {first['wall']:.1f} s, of which")
        print(f"start {first['seconds']['start']:.1f} s; {first['images_per_second']} images/s")
        share = again["wall"] / first["wall"]
        print(
            f"again, median of {len(repeats)}: {again['wall']:.2f} s, {share:.4f} of that;", end=" "
        )
        print(f"{again['computed']} computed")
        if not arguments.memory:
            return
        peaks = [
            _extract(
                _folder(folder, count), folder / f"{count}", arguments.weights, arguments.for_memory
            )["peak"]
            for count in (arguments.few, arguments.many)
        ]
        for count, peak in zip((arguments.few, arguments.many), peaks, strict=True):
            print(f"{count} images, {' '.join(arguments.for_memory)}: peak {peak / 2**20:.0f} MiB")
        print(f"ratio {peaks[1] / peaks[0]:.3f}")


def _folder(parent: Path, count: int) -> Path:
    folder = parent / f"images-{count}"
    if not folder.exists():
        draw(folder, count)
    return folder


def _extract(
    images: Path, cache: Path, weights: str, options: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What the command printed, its wall time in seconds and its peak memory in bytes."""
    command = [sys.executable, "-m", "jaxreg.extract", str(images), "--cache", str(cache)]
    command += ["--weights", weights, "--json", *options]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} ended with {status}")
    wall = time.perf_counter() - begin
    return {**json.loads(printed.splitlines()[-1]), "wall": wall, "peak": used.ru_maxrss * 1024}


if __name__ == "__main__":
    main(tyro.cli(Arguments))
