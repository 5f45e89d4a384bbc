"""Extraction of large Parquet tables that come slice by slice: seconds and peak memory.

    python benchmarks/streamed_table.py [--rows 100000 1000000 10000000] [--options …]

All rows point to 1,000 small pictures. A table of 1,000 rows is extracted first, so the others have
nothing to compute, and no network is loaded: what is left is the table. Tables of at most a million
rows are read as a whole unless `--in-slices` is given. Then a process reads each dataset as `train`
does. Each command is a process of its own; its peak is the largest resident memory.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from PIL import Image

PICTURES = 1000
PIECE = 200_000  # rows of a row group
NETWORK = ("--weights", "random", "--size", "75", "75", "--layers", "mixed0")

EXTRACT = """
import sys
from jaxreg import cli, extract
from jaxreg.sources import large_table
large_table.MOST_WHOLE = int(sys.argv.pop(1))
cli.run_command(extract.main)
"""

READ = """
import sys
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from pathlib import Path
dataset = read_dataset(Cache(Path(sys.argv[1])), sys.argv[2])
print(len(dataset), dataset.table.nbytes)
"""


@dataclass(frozen=True)
class Arguments:
    """Extract large tables and print seconds and peak memory."""

    rows: tuple[int, ...] = (100_000, 1_000_000, 10_000_000)
    """Rows of the tables"""
    options: tuple[str, ...] = ("--group-column", "drive", "--order-column", "frame")
    """Options of `extract`"""
    in_slices: bool = True
    """Read the small tables in slices too"""
    read: bool = True
    """Read the datasets, as `train` does"""
    folder: Path | None = None
    """Folder for tables and cache, which stays and is used again; by default one that is deleted"""


def main(arguments: Arguments) -> None:
    """Make tables, extract them and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        draw(folder)
        most = 0 if arguments.in_slices else 1_000_000
        first = write_table(folder, PICTURES)
        extract(folder, first, most, arguments.options)
        base = extract(folder, first, most, arguments.options)
        print(f"{'rows':>12} {'seconds':>9} {'peak MiB':>9} {'bytes a row':>12}")
        for rows in arguments.rows:
            table = write_table(folder, rows)
            seconds, peak = extract(folder, table, most, arguments.options)
            each = (peak - base[1]) / rows
            print(f"{rows:12,} {seconds:9.1f} {peak / 2**20:9.0f} {each:12.0f}", flush=True)
            if arguments.read:
                command = [sys.executable, "-c", READ, str(folder / "cache"), table.stem]
                seconds, peak, printed = run(command)
                each, size = peak / rows, int(printed.split()[1]) / rows
                note = f"read the dataset; {size:.0f} bytes a row of its table"
                print(f"{'':12} {seconds:9.1f} {peak / 2**20:9.0f} {each:12.0f} {note}", flush=True)


def draw(folder: Path) -> None:
    """Draw the pictures."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        pixels = rng.integers(0, 255, (6, 8, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((80, 60))
        picture.save(folder / "pictures" / f"{number:04d}.jpg")


def write_table(folder: Path, rows: int) -> Path:
    """A table of so many rows, written piece by piece."""
    path = folder / f"rows-{rows}.parquet"
    if path.exists():
        return path
    schema = pa.schema(
        {"image": pa.string(), "y": pa.float64(), "frame": pa.int64(), "drive": pa.string()}
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, PIECE):
            frame = np.arange(start, min(start + PIECE, rows))
            columns = {
                "image": [f"pictures/{number:04d}.jpg" for number in (frame % PICTURES).tolist()],
                "y": np.sin(frame / 100),
                "frame": frame,
                "drive": [f"drive {number}" for number in (frame // 1000).tolist()],
            }
            writer.write_table(pa.table(columns, schema))
    return path


def extract(folder: Path, table: Path, most: int, options: Sequence[str]) -> tuple[float, int]:
    """Seconds and peak memory of `jaxreg extract`."""
    command = [sys.executable, "-c", EXTRACT, str(most), str(table), *options, *NETWORK]
    seconds, peak, printed = run([*command, "--cache", str(folder / "cache"), "--json"])
    found = json.loads(printed.splitlines()[-1])
    if found["failed"]:
        sys.exit(f"{found['failed']} rows failed")
    return seconds, peak


def run(command: Sequence[str]) -> tuple[float, int, str]:
    """Seconds, peak memory in bytes and standard output of a command."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    printed, told = process.stdout, process.stderr
    assert printed is not None
    assert told is not None
    said = told.read()
    output = printed.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} ended with {status}: {said}")
    return time.perf_counter() - begin, used.ru_maxrss * 1024, output


if __name__ == "__main__":
    main(tyro.cli(Arguments))
