"""Parts: small immutable Parquet files, each named by the hash of its own bytes.

A part is written whole or not at all, so any number of processes may add parts to one folder.
Every read checks the bytes against the name, which finds any damage. A part holds the name of its
folder, so a part in another column's folder is noticed.
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.common.files import open_regular, write_whole
from jaxreg.common.json_files import reason_of
from jaxreg.errors import InputError

_FOLDER = b"jaxreg.folder"
"""The key of a part's Parquet metadata that holds the name of its folder."""


class DamagedPart(InputError):
    """A part whose bytes do not match the hash in its name, or that is in another folder."""

    feature_set = ""  # that the part is of


def write_part(folder: Path, table: pa.Table) -> Path:
    """Add `table` to `folder` as one part; the same table twice is one file."""
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({_FOLDER: _own_name(folder)})
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
    """The table of a part.

    It is read, not mapped: a file that shrinks under a map kills the process.

    Raises:
        DamagedPart: the bytes do not match the name, or it is the part of another folder.
        FileNotFoundError: another process has set it aside in the meantime.
        InputError: it may not be read.
    """
    why = "its bytes do not match the hash in its name, or are no features"
    try:
        with open_regular(path) as file:
            content = file.read()
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except OSError as error:
        content, why = b"", reason_of(error)
    if _name(content) == path.stem.removeprefix("part-"):
        with suppress(pa.ArrowException):  # the name of other bytes than a part's
            # read_table would import pyarrow.dataset, and that pandas where it is installed
            table = pq.ParquetFile(pa.BufferReader(content)).read(columns)
            its = (table.schema.metadata or {}).get(_FOLDER, b"no folder").decode(errors="replace")
            if its == _own_name(path.parent):
                return table
            why = f"it is a part of {its}"
    damaged = DamagedPart(
        f"{path} is damaged: {why}",
        remedy="run jaxreg verify --repair, then extract again, which computes only that part",
    )
    damaged.feature_set = path.parent.parent.name
    raise damaged


def read_digests(path: Path) -> list[str]:
    """The digests of a part; errors as of `read_part`."""
    return read_part(path, ["digest"])["digest"].to_pylist()


class Layout(NamedTuple):
    """The features of one image in a column."""

    size: int  # numbers
    dtype: np.dtype  # float32 or float16


def read_layout(path: Path) -> Layout:
    """The layout of a part of features, which is that of its column. Raises DamagedPart."""
    lists = read_part(path, ["feature"]).schema.field("feature").type
    return Layout(lists.list_size, np.dtype(lists.value_type.to_pandas_dtype()))


def read_features(path: Path, layout: Layout) -> tuple[list[str], np.ndarray]:
    """The digests of a part, and their features (digests, layout.size).

    Raises:
        DamagedPart: the bytes do not match the name.
        InputError: the layout is another one.
    """
    table = read_part(path)
    block = _to_numpy(table["feature"])
    if (block.shape[1], block.dtype) != layout:
        raise InputError(
            f"{path} holds {block.dtype} features of size {block.shape[1]}",
            expected=f"{layout.dtype} of {layout.size}, as the parts before it",
        )
    return table["digest"].to_pylist(), block


def set_aside(path: Path) -> Path:
    """Rename a damaged part to `.bad`, where no reader looks; another process may have done so.

    Raises:
        InputError: the folder cannot be written.
    """
    aside = path.with_name(path.name + ".bad")
    try:
        path.rename(aside)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InputError(
            f"{path} is damaged, and cannot be set aside: {error.strerror or error}",
            remedy="make the cache writable, then: jaxreg verify --repair",
        ) from error
    return aside


def _name(content: bytes | pa.Buffer) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _own_name(folder: Path) -> str:
    """The name of a folder of parts: that of a column comes with its feature set."""
    column = folder.parent.parent.name == "features"
    return f"{folder.parent.name}/{folder.name}" if column else folder.name


def _to_numpy(lists: pa.ChunkedArray) -> np.ndarray:
    """Shape (rows, size) of a column of fixed-size lists. `flatten` imports pyarrow.compute."""
    whole = lists.combine_chunks()
    rows = slice(whole.offset, whole.offset + len(whole))
    return whole.values.to_numpy().reshape(-1, lists.type.list_size)[rows]
