"""Parts: small immutable Parquet files, each named by the hash of its own bytes.

A part is written whole or not at all, so any number of processes may add parts to one folder.
Every read checks the bytes against the name, which finds any damage. A part holds the name of its
folder, so a part in another column's folder is noticed.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.cache.object_store import Entry, Store
from jaxreg.cache.recipe import Column
from jaxreg.common.json_files import reason_of
from jaxreg.errors import InputError

_FOLDER = b"jaxreg.folder"
"""The key of a part's Parquet metadata that holds the name of its folder."""


class DamagedPart(InputError):
    """A part whose bytes do not match the hash in its name, or that is in another folder."""

    feature_set = ""  # that the part is of


class LackingFeatures(InputError):
    """Images that a column has no features of."""

    def __init__(self, count: int, feature_set: str, column: Column) -> None:
        super().__init__(
            f"{count} images have no {column.name} features in {feature_set}",
            remedy="extract them; what is there already is not computed again",
        )
        self.feature_set = feature_set


def write_part(store: Store, folder: str, table: pa.Table) -> str:
    """Add `table` to `folder` as one part, and return its key; the same table twice is one file."""
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({_FOLDER: _own_name(folder)})
    # features are noise to a compressor: it would cost time and save nothing
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_page_checksum=True)
    content = sink.getvalue().to_pybytes()
    key = f"{folder}/part-{_name(content)}.parquet"
    if not store.exists(key):
        store.put(key, content)
    return key


def is_part(key: str) -> bool:
    """Whether a file's name is that of a part."""
    name = key.rpartition("/")[2]
    return name.startswith("part-") and name.endswith(".parquet")


def list_parts(store: Store, folder: str) -> list[str]:
    """The keys of the parts of a folder; the first one with a digest is the one that counts."""
    return sorted(f"{folder}/{name}" for name in store.children(folder) if is_part(name))


def part_entries(store: Store, folder: str) -> list[Entry]:
    """The same parts with their bytes."""
    every = (entry for entry in store.list(folder) if is_part(entry.key))
    return [entry for entry in every if entry.key.rpartition("/")[0] == folder]


def read_part(store: Store, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a part.

    It is read, not mapped: a file that shrinks under a map kills the process.

    Raises:
        DamagedPart: the bytes do not match the name, or it is the part of another folder.
        FileNotFoundError: another process has set it aside in the meantime.
        InputError: it may not be read.
        UnavailableError: the bucket cannot be reached.
    """
    content: bytes | Exception
    try:
        content = store.read(key)
    except OSError as error:
        content = error
    return part_table(store, key, content, columns)


def part_table(
    store: Store, key: str, content: bytes | Exception, columns: Sequence[str] | None = None
) -> pa.Table:
    """The table of a part whose bytes have been read; errors as of `read_part`.

    Args:
        store: where it is.
        key: of the part.
        content: as `Store.read_ahead` gives it: its bytes, or why they could not be read.
        columns: of the table; None: all.
    """
    why = "its bytes do not match the hash in its name, or are no features"
    if isinstance(content, PermissionError):
        found = f"{store.shown(key)} cannot be read: {content.strerror or content}"
        raise InputError(found) from content
    if isinstance(content, OSError) and not isinstance(content, FileNotFoundError):
        content, why = b"", reason_of(content)
    if isinstance(content, Exception):
        raise content
    path = PurePosixPath(key)
    if _name(content) == path.stem.removeprefix("part-"):
        with suppress(pa.ArrowException):  # the name of other bytes than a part's
            # read_table would import pyarrow.dataset, and that pandas where it is installed
            table = pq.ParquetFile(pa.BufferReader(content)).read(columns)
            its = (table.schema.metadata or {}).get(_FOLDER, b"no folder").decode(errors="replace")
            if its == _own_name(str(path.parent)):
                return table
            why = f"it is a part of {its}"
    damaged = DamagedPart(
        f"{store.shown(key)} is damaged: {why}",
        remedy="run jaxreg verify --repair, then extract again, which computes only that part",
    )
    damaged.feature_set = path.parent.parent.name
    raise damaged


def digests_of(store: Store, key: str, content: bytes | Exception) -> list[str]:
    """The digests of a part; arguments and errors as of `part_table`."""
    return part_table(store, key, content, ["digest"])["digest"].to_pylist()


class Layout(NamedTuple):
    """The features of one image in a column."""

    size: int  # numbers
    dtype: np.dtype  # float32 or float16


def read_layout(store: Store, key: str) -> Layout:
    """The layout of a part of features, which is that of its column. Raises DamagedPart."""
    lists = read_part(store, key, ["feature"]).schema.field("feature").type
    return Layout(lists.list_size, np.dtype(lists.value_type.to_pandas_dtype()))


def part_features(
    store: Store, key: str, content: bytes | Exception, layout: Layout
) -> tuple[list[str], np.ndarray]:
    """The digests of a part, and their features (digests, layout.size).

    Arguments and errors as of `part_table`; InputError too if the layout is another one.
    """
    table = part_table(store, key, content)
    block = _to_numpy(table["feature"])
    if (block.shape[1], block.dtype) != layout:
        raise InputError(
            f"{store.shown(key)} holds {block.dtype} features of size {block.shape[1]}",
            expected=f"{layout.dtype} of {layout.size}, as the parts before it",
        )
    return table["digest"].to_pylist(), block


def set_aside(store: Store, key: str) -> str:
    """Rename a damaged part to `.bad`, where no reader looks; another process may have done so.

    Returns:
        Its new place, for messages.

    Raises:
        InputError: the folder cannot be written.
    """
    aside = f"{key}.bad"
    try:
        store.rename(key, aside)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InputError(
            f"{store.shown(key)} is damaged, and cannot be set aside: {error.strerror or error}",
            remedy="make the cache writable, then: jaxreg verify --repair",
        ) from error
    return store.shown(aside)


def _name(content: bytes | pa.Buffer) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _own_name(folder: str) -> str:
    """The name of a folder of parts: that of a column comes with its feature set."""
    names = folder.split("/")
    return "/".join(names[-2:] if names[-3:-2] == ["features"] else names[-1:])


def _to_numpy(lists: pa.ChunkedArray) -> np.ndarray:
    """Shape (rows, size) of a column of fixed-size lists. `flatten` imports pyarrow.compute."""
    whole = lists.combine_chunks()
    rows = slice(whole.offset, whole.offset + len(whole))
    return whole.values.to_numpy().reshape(-1, lists.type.list_size)[rows]
