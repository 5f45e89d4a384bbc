"""Parts: small immutable Parquet files, each named by the hash of its own bytes.

A part is written whole or not at all and is checked against its name whenever it is read, so any
number of writers may add parts to one folder at once, and damage is noticed.
"""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.errors import InputError
from jaxreg.files import write_whole


class DamagedPart(InputError):
    """A part whose bytes are not those that its name promises."""


def write_part(folder: Path, table: pa.Table) -> Path:
    """Add `table` to `folder` as one part; the same table twice is one file."""
    sink = pa.BufferOutputStream()
    # features are noise to a compressor: it would cost time and save nothing
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_page_checksum=True)
    content = sink.getvalue().to_pybytes()
    path = folder / f"part-{_name(content)}.parquet"
    if not path.exists():
        write_whole(path, content)
    return path


def list_parts(folder: Path) -> list[Path]:
    """The parts of a folder by name; the first one with a digest is the one that counts."""
    return sorted(folder.glob("part-*.parquet"))


def read_part(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Raises DamagedPart if the bytes do not match the name."""
    try:
        with pa.memory_map(str(path)) as file:
            content = file.read_buffer()
        if _name(content) == path.stem.removeprefix("part-"):
            return pq.read_table(pa.BufferReader(content), columns=columns)
    except (OSError, pa.ArrowException):
        pass  # an empty file cannot be mapped, a directory not be opened: damaged all the same
    raise DamagedPart(
        f"{path} is damaged: its bytes are not those that its name stands for",
        remedy="python -m jaxreg.verify --repair, then extract again: only that part is computed",
    )


def set_aside(path: Path) -> Path:
    """Rename a damaged part to `.bad`, where no reader looks."""
    return path.rename(path.with_name(path.name + ".bad"))


def _name(content: bytes | pa.Buffer) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
