"""Every command on 10,000, 100,000 and 1,000,000 rows: seconds, of cores too, and peak memory.

    python benchmarks/million_rows.py [--rows 10000 100000 1000000] [--kinds vectors pictures]

`vectors`: a Parquet table with 384 numbers for each row, from a .npy file. `pictures`: a table
whose rows all point to 1,000 small pictures; a network with random weights computes features.
Each command is a process of its own. Its peak is the largest resident memory, in which pages of a
mapped file count too. The growth is the exponent p of the seconds of cores ~ rows^p between the two
largest sizes, of what both have more than the smallest: 1 is linear.
"""

import json
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    import numpy as np

WIDTH = 384  # numbers of a vector
PICTURES = 1000
PLACES = 40  # groups of rows, for folds and slices
Kind = Literal["vectors", "pictures"]

TRAIN = "--batch-size 1024 --epochs 3 --learning-rate 0.001 --memory-limit 1GiB"
NETWORK = "--weights random --size 75 75 --layers mixed0 --engine tensorflow"


@dataclass(frozen=True)
class Arguments:
    """Time every command on tables of several sizes."""

    rows: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Rows of the tables"""
    kinds: tuple[Kind, ...] = ("vectors", "pictures")
    """What the features come from"""
    folder: Path | None = None
    """Folder for tables, cache and runs, which stays; by default one that is deleted"""
    stages: tuple[str, ...] = ()
    """Stages to run, by their names in the table; by default all"""
    suffix: Literal[".parquet", ".csv"] = ".parquet"
    """Format of the tables"""


@dataclass(frozen=True)
class Stage:
    """One command that ended."""

    name: str
    seconds: float  # by the wall clock
    cpu: float  # seconds of all cores
    peak: float  # MiB


def make_table(folder: Path, kind: Kind, rows: int, suffix: str) -> Path:
    """Write a table, and its vectors or pictures; returns its path."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"table{suffix}"
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    if kind == "vectors":
        vectors = np.lib.format.open_memmap(
            folder / "vectors.npy", mode="w+", dtype=np.float32, shape=(rows, WIDTH)
        )
        weights = rng.normal(size=WIDTH).astype(np.float32) / math.sqrt(WIDTH)
        signal = np.empty(rows)
        for start in range(0, rows, 8192):
            block = rng.normal(size=(min(8192, rows - start), WIDTH)).astype(np.float32)
            vectors[start : start + len(block)] = block
            signal[start : start + len(block)] = block @ weights
        vectors.flush()
        columns = {"id": pa.array([f"row-{row:07d}" for row in range(rows)])}
    else:
        shades = draw_pictures(folder / "pictures", rng)
        drawn = rng.integers(PICTURES, size=rows)
        signal = shades[drawn]
        names = np.array([f"pictures/{number:04d}.png" for number in range(PICTURES)])
        columns = {
            "id": pa.array([f"row-{row:07d}" for row in range(rows)]),
            "image": pa.array(names[drawn]),
        }
    table = pa.table(
        {
            **columns,
            "place": pa.array(rng.integers(PLACES, size=rows)).cast(pa.string()),
            "height": rng.normal(size=rows),
            "y": signal + 0.1 * rng.normal(size=rows),
        }
    )
    if suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


def draw_pictures(folder: Path, rng: "np.random.Generator") -> "np.ndarray":
    """Write PICTURES small pictures; returns the mean shade of each, from 0 to 1."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    shades = rng.random(PICTURES)
    for number, shade in enumerate(shades):
        noise = rng.integers(0, 40, size=(75, 75, 3))
        pixels = np.clip(255 * shade + noise - 20, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.png")
    return shades


def run(name: str, words: Sequence[str], folder: Path) -> Stage:
    """Run one command of jaxreg and measure it."""
    begin = time.perf_counter()
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jaxreg", *words], stdout=log, stderr=log, cwd=folder
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    if process.returncode:
        tail = (folder / "log.txt").read_text()[-2000:]
        raise SystemExit(
            f"{name}: jaxreg {' '.join(words)} ended with {process.returncode}\n{tail}"
        )
    cpu = usage.ru_utime + usage.ru_stime
    return Stage(name, round(seconds, 2), round(cpu, 2), usage.ru_maxrss / 1024)


def commands(kind: Kind, table: str) -> dict[str, list[str]]:
    """The stages in their order: name → words after `jaxreg`."""
    its = (
        ["--embeddings", "vectors.npy", "--embeddings-name", "made"]
        if kind == "vectors"
        else NETWORK.split()
    )
    new = ["--embeddings", "vectors.npy"] if kind == "vectors" else []
    extract = ["extract", table, "--name", "many", *its]
    train = ["train", "many", "--target", "y", *TRAIN.split(), "--overwrite"]
    return {
        "extract": extract,
        "extract again": extract,
        "train": [*train, "--run", "plain"],
        "train, 3 folds": [*train, "--run", "folds", "--folds", "3", "--split", "group:place"],
        "train, ridge": [
            "train",
            "many",
            "--target",
            "y",
            "--run",
            "ridge",
            "--head",
            "ridge",
            "--overwrite",
        ],
        "runs": ["runs"],
        "predict": ["predict", "plain", table, "--out", "predicted.parquet", *new],
        "evaluate": ["evaluate", "plain", table, "--json", *new],
        "verify": ["verify"],
        "list": ["list", "datasets"],
    }


def measure(kind: Kind, rows: int, folder: Path, arguments: Arguments) -> list[Stage]:
    """Run the stages on a table of that many rows."""
    # a process begins with the peak of the one that starts it, so this one stays small
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        table = pool.submit(make_table, folder, kind, rows, arguments.suffix).result()
    stages = []
    for name, words in commands(kind, table.name).items():
        if arguments.stages and name not in arguments.stages:
            continue
        stages.append(run(name, words, folder))
        print(json.dumps({"kind": kind, "rows": rows, **vars(stages[-1])}), flush=True)
    return stages


def growth(rows: Sequence[int], seconds: Sequence[float]) -> str:
    """The exponent of growth between the two largest sizes, of what is more than the smallest."""
    if len(rows) < 3:
        return ""
    smaller, larger = (max(some - seconds[0], 0.01) for some in seconds[-2:])
    more, most = (some - rows[0] for some in rows[-2:])
    return f"{math.log(larger / smaller) / math.log(most / more):.2f}"


def show(kind: Kind, rows: Sequence[int], measured: Sequence[Sequence[Stage]]) -> None:
    """Print the table of one kind, a line for each stage, as Markdown."""
    print(f"\n| {kind} | " + " | ".join(f"{count:,} rows" for count in rows) + " | growth |")
    print("|---|" + "---|" * (len(rows) + 1))
    for stages in zip(*measured, strict=True):
        cells = [f"{one.seconds:.1f} s ({one.cpu:.1f}), {one.peak:,.0f} MiB" for one in stages]
        exponent = growth(rows, [stage.cpu for stage in stages])
        print(f"| {stages[0].name} | " + " | ".join(cells) + f" | {exponent} |")


def main() -> None:
    arguments = tyro.cli(Arguments, description=__doc__)
    with tempfile.TemporaryDirectory() as temporary:
        top = (arguments.folder or Path(temporary)).resolve()
        for kind in arguments.kinds:
            measured = [
                measure(kind, rows, top / f"{kind}-{rows}", arguments) for rows in arguments.rows
            ]
            show(kind, arguments.rows, measured)


if __name__ == "__main__":
    main()
