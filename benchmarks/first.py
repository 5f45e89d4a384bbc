"""The first `extract` after installing, and the second one, by part.

    python benchmarks/first.py [--rounds 3] [--options --precision int8] [--keep-files]

In each round a user's cache without a converted network is made. Then three processes run, one
after another: Keras on TensorFlow is imported and nothing else, one drawn picture is extracted, and
one more picture is extracted into the same cache. Where the system allows it, its memory of files
is dropped before the first two, as after a start of the machine; `--keep-files` leaves it.

A part is a step that the command shows, without the steps inside it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from extract import draw

KERAS = "import os; os.environ['KERAS_BACKEND'] = 'tensorflow'; import keras"

EXTRACT = """
import json, sys, threading, time
begin = time.perf_counter()
from contextlib import contextmanager
from jaxreg.common import steps

parts, since, lock, plain = {}, [begin], threading.Lock(), steps.step

def count(name=None):
    with lock:
        now = time.perf_counter()
        name = name or (steps.running[-1].name if steps.running else "between the steps")
        parts[name] = parts.get(name, 0) + now - since[0]
        since[0] = now

@contextmanager
def counted(*words, **named):
    count()
    with plain(*words, **named) as one:
        try:
            yield one
        finally:
            count()

steps.step = counted
from jaxreg import cli, extract
count("Python, the command's options")
def main():
    code = extract.main()
    count()
    print(json.dumps({"parts": parts, "all": time.perf_counter() - begin}))
    return code
cli.run_command(main)
"""

START = "start and end of the process"


@dataclass(frozen=True)
class Arguments:
    """Time the first extractions."""

    rounds: int = 3
    weights: str = "random"  # what extract takes; any will do for time
    options: tuple[str, ...] = ()  # more options of extract
    keep_files: bool = False  # leave the system's memory of files as it is


def main(arguments: Arguments) -> None:
    """Run the rounds and print medians."""
    told: dict[str, list[dict[str, float]]] = {"the first": [], "the second": []}
    imports: list[float] = []
    dropped = False
    with tempfile.TemporaryDirectory() as name:
        images = Path(name, "images")
        draw(images, 2)
        first, second = sorted(images.iterdir())
        for number in range(arguments.rounds):
            places = Path(name, str(number))
            dropped = not arguments.keep_files and _drop_files()
            imports.append(_timed([sys.executable, "-c", KERAS], places)[0])
            if dropped:
                _drop_files()
            told["the first"].append(_extract(first, places, arguments))
            told["the second"].append(_extract(second, places, arguments))
    print(f"seconds, medians of {arguments.rounds}; files {'dropped' if dropped else 'in memory'}")
    keras = statistics.median(imports)
    print(f"import of Keras and TensorFlow alone: {keras:.2f}")
    for name, rounds in told.items():
        whole = statistics.median(sum(one.values()) for one in rounds)
        print(f"{name} extract of one picture: {whole:.2f}, {whole / keras:.2f} of that import")
        for part in dict.fromkeys(part for one in rounds for part in one):
            seconds = statistics.median(one.get(part, 0.0) for one in rounds)
            if seconds >= 0.005:
                print(f"  {seconds:6.2f}  {part}")


def _extract(image: Path, places: Path, arguments: Arguments) -> dict[str, float]:
    """Seconds by part of the whole command."""
    words = [sys.executable, "-c", EXTRACT, str(image), "--cache", str(places / "cache")]
    wall, printed = _timed([*words, "--weights", arguments.weights, *arguments.options], places)
    told = json.loads(printed.splitlines()[-1])
    parts: Mapping[str, float] = told["parts"]
    return {START: wall - told["all"], **parts}


def _timed(words: Sequence[str], places: Path) -> tuple[float, str]:
    """Wall time of a process with its own user's cache, and what it printed."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(places / "user")}
    begin = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{words[3:]} ended with {done.returncode}: {done.stderr}")
    return time.perf_counter() - begin, done.stdout


def _drop_files() -> bool:
    """Whether the system has dropped its memory of files: only its administrator may ask."""
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main(tyro.cli(Arguments))
