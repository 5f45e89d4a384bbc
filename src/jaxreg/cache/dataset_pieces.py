"""A dataset and its list of failures that come piece by piece; neither is in memory as a whole."""

import csv
import hashlib
import json
import mmap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.cache.dataset_digest import values_digest
from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.datasets import (
    change_in_words,
    dataset_key,
    metadata_of,
    open_table,
    read_description,
    table_sha256,
)
from jaxreg.cache.failed_list import failed_key
from jaxreg.cache.object_store import LocalStore
from jaxreg.cache.store import Cache
from jaxreg.common.files import write_whole
from jaxreg.errors import InputError

BUFFER = 2**20  # bytes read at once, for each column
ROWS = 2**16  # that are copied at a time; a row group of the dataset


class DatasetPieces:
    """Gathers the table of a dataset in a file of its own, then puts it into the cache whole."""

    def __init__(self, folder: Path) -> None:
        """Use this folder for temporary files."""
        self._path, self._final = folder / "rows.parquet", folder / "dataset.parquet"
        self._writer: pq.ParquetWriter | None = None
        self._first: Dataset | None = None
        self._rows = 0

    def add(self, piece: Dataset) -> None:
        """The next rows; all but the table is the same in each piece."""
        if self._writer is None:
            self._first = replace(piece, table=piece.table.slice(0, 0))
            self._writer = pq.ParquetWriter(self._path, piece.table.schema)
        self._writer.write_table(piece.table)
        self._rows += len(piece)

    def __len__(self) -> int:
        return self._rows

    def write(self, cache: Cache, **fields: Any) -> str:
        """Replace the dataset of that name; returns in words what changed.

        Args:
            cache: it gets the dataset.
            fields: of the dataset, with other values than in the pieces.
        """
        assert self._writer is not None
        assert self._first is not None
        self._writer.close()
        dataset = replace(self._first, **fields)
        ids = _StoredIds(cache, dataset)
        with _open(self._path) as rows:
            schema = rows.schema_arrow.remove_metadata()
            metadata = metadata_of(dataset)
            column = partial(_column, rows)
            fingerprint = values_digest([name for name in schema.names if name != "path"], column)
            metadata["sha256"] = table_sha256(metadata, schema, fingerprint, column)
            kept = schema.with_metadata({"jaxreg": json.dumps(metadata)})
            with pq.ParquetWriter(self._final, kept, write_page_checksum=True) as final:
                for batch in rows.iter_batches(ROWS, use_threads=False):
                    table = pa.Table.from_batches([batch]).replace_schema_metadata(kept.metadata)
                    final.write_table(table)
                    ids.see(table["id"])
        put_file(cache, dataset_key(dataset.name), self._final)
        return change_in_words(self._rows, ids.count, ids.same, ids.moved)


class _StoredIds:
    """The ids of the dataset before, as hashes, to count those that are there again."""

    def __init__(self, cache: Cache, dataset: Dataset) -> None:
        self._before = np.zeros(0, np.int64)
        self.same, self.moved = 0, ""
        with suppress(InputError):  # absent, damaged or of another format: all rows are new
            old = read_description(cache, dataset.name)
            with open_table(cache, dataset.name) as opened, _open(opened) as file:
                hashes = [_hashes(piece) for piece in _column(file, "id")]
            self._before = np.concatenate([self._before, *hashes])
            self._before.sort()
            if old.source.get("location") != dataset.source.get("location"):
                self.moved = f"; it was made from {old.source.get('location')} before"

    @property
    def count(self) -> int:
        return len(self._before)

    def see(self, ids: pa.ChunkedArray) -> None:
        """Some ids of the dataset now."""
        if self.count:
            hashes = _hashes(ids)
            places = np.searchsorted(self._before, hashes).clip(max=self.count - 1)
            self.same += int((self._before[places] == hashes).sum())


def _hashes(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return np.fromiter(map(hash, ids.to_pylist()), np.int64, len(ids))


class FailedPieces:
    """Gathers the list of failures in a file: first the rows that the source left out."""

    def __init__(self, folder: Path) -> None:
        """Use this folder for temporary files."""
        self._paths = folder / "left-out.csv", folder / "failed.csv"
        self._files = [path.open("w", newline="", encoding="utf-8") for path in self._paths]
        self._writers = [csv.writer(file, lineterminator="\n") for file in self._files]
        self._writers[0].writerow(("id", "reason"))
        self._shown: tuple[list[tuple[str, str]], ...] = ([], [])
        self._count = 0

    def add(self, left_out: Sequence[tuple[str, str]], failed: Sequence[tuple[str, str]]) -> None:
        """(id, reason) of the next rows."""
        for some, shown, writer in zip((left_out, failed), self._shown, self._writers, strict=True):
            writer.writerows(some)
            shown += some[: 3 - len(shown)] if len(shown) < 3 else []
            self._count += len(some)

    def __len__(self) -> int:
        return self._count

    @property
    def first(self) -> list[tuple[str, str]]:
        """The first three."""
        return [*self._shown[0], *self._shown[1]][:3]

    def close(self) -> None:
        """All are there."""
        for file in self._files:
            file.close()

    def write(self, cache: Cache, name: str) -> str | None:
        """As `failed_list.write_failed`."""
        self.close()
        key = failed_key(name)
        if not self._count:
            cache.store.delete(key)
            return None
        whole, rest = self._paths
        with whole.open("ab") as file, rest.open("rb") as more:
            while piece := more.read(2**20):
                file.write(piece)
        put_file(cache, key, whole)
        with whole.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def put_file(cache: Cache, key: str, path: Path) -> None:
    """Put a file of this machine into the cache; its bytes stay on the disk until they are sent."""
    with path.open("rb") as file:
        if isinstance(cache.store, LocalStore):
            write_whole(cache.store.path(key), file)
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            cache.store.put(key, content)  # pyright: ignore[reportArgumentType]


def _open(source: Any) -> pq.ParquetFile:
    """A file of which little is in memory."""
    return pq.ParquetFile(source, buffer_size=BUFFER, pre_buffer=False)


def _column(file: pq.ParquetFile, name: str) -> Iterator[pa.Array]:
    """A column, a few rows at a time."""
    for batch in file.iter_batches(ROWS, columns=[name], use_threads=False):
        yield batch.column(name)  # others may begin with this name
