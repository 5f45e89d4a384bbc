"""Parquet files: scalar columns are read at once, images a few at a time."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.common.files import open_regular
from jaxreg.common.remote_file import AnyFile, RemoteError, RemoteFile
from jaxreg.errors import InputError
from jaxreg.sources.naming import refuse_repeated
from jaxreg.sources.remote_read import open_random, state_of

BLOCK_ROWS = 64  # rows read at once
BUFFER = 2**20  # bytes read at once, for each column
REMOTE_BUFFER = 2**23  # the same at a URL, where each reading waits for an answer
KEPT_OPEN = 4  # files; a system allows some hundred
KEPT_BLOCKS = 8  # in memory; reading threads are never so many blocks apart


_PATHS = (pa.types.is_null, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def is_encoded(kind: pa.DataType) -> bool:
    """Whether a column holds encoded images: binary, or Hugging Face's struct {bytes, path}."""
    t = pa.types
    if t.is_struct(kind):
        names = {field.name for field in kind}
        if not {"bytes", "path"} <= names:
            return False
        content, path = kind.field("bytes").type, kind.field("path").type
        # null: all images are files, or none is
        encoded = t.is_null(content) or (is_encoded(content) and not t.is_struct(content))
        return encoded and any(is_kind(path) for is_kind in _PATHS)
    kinds = (t.is_binary, t.is_large_binary, t.is_binary_view, t.is_fixed_size_binary)
    return any(is_kind(kind) for is_kind in kinds)


def open_parquet(path: AnyFile) -> pq.ParquetFile:
    """The open file; only its footer has been read.

    The file is not mapped: a mapped file that shrinks ends the process.

    Raises:
        InputError: it is not a Parquet file.
        OSError: it is no regular file; RemoteError of one at a URL.
    """
    if isinstance(path, Path):
        open_regular(path).close()  # a FIFO would hang
    try:
        # without a buffer, or with pre-buffering, a whole row group would come into memory
        return pq.ParquetFile(
            path if isinstance(path, Path) else open_random(path),
            buffer_size=BUFFER if isinstance(path, Path) else REMOTE_BUFFER,
            pre_buffer=False,
            page_checksum_verification=True,
        )
    except RemoteError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a Parquet file, or is damaged: {error}") from None


def damaged(path: AnyFile, error: Exception | str) -> InputError:
    """The error for a file with a sound footer and damaged rows."""
    if isinstance(error, RemoteError):
        return InputError(f"cannot read {path}: {error.strerror}")
    return InputError(f"{path} is damaged: {error}", remedy="copy or write it again")


class EncodedColumn:
    """The images of one column, read when needed; safe to use from threads.

    Reading forwards reads every row once; a step back reads the row group from its start again.
    """

    def __init__(self, path: AnyFile, column: str) -> None:
        self._path, self._file = path, open_parquet(path)
        kind = self._file.schema_arrow.field(column).type
        self._name, self._nested = column, pa.types.is_struct(kind)
        self._leaf = f"{column}.bytes" if self._nested else column
        groups = range(self._file.num_row_groups)
        sizes = [self._file.metadata.row_group(group).num_rows for group in groups]
        self._starts = np.cumsum([0, *sizes])
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[int, int], pa.Array] = OrderedDict()
        self._cursor: tuple[int, int, Iterator[pa.Array]] = (-1, 0, iter(()))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def image(self, row: int) -> bytes:
        """The bytes in a row; none where they are null."""
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        block, place = divmod(int(row - self._starts[group]), BLOCK_ROWS)
        with self._lock:
            return self._block(group, block)[place].as_py() or b""

    def null(self) -> np.ndarray:
        """(n,) whether a row has no bytes; reads rows only if some may be null."""
        if self._never_null():
            return np.zeros(len(self), bool)
        groups = range(self._file.num_row_groups)
        blocks = (block for group in groups for block in self._read(group))
        return np.concatenate([block.is_null().to_numpy(False) for block in blocks])

    def _never_null(self) -> bool:
        metadata = self._file.metadata
        schema = self._file.schema
        leaf = [schema.column(n).path for n in range(metadata.num_columns)].index(self._leaf)
        groups = map(metadata.row_group, range(metadata.num_row_groups))
        counts = [group.column(leaf).statistics for group in groups]
        return all(count and count.has_null_count and not count.null_count for count in counts)

    def names(self) -> list[str | None] | None:
        """(n,) paths as written, None where there is none; None for a plain binary column."""
        if not self._nested:
            return None
        cells = self._file.read(columns=[f"{self._name}.path"])[self._name].to_pylist()
        return [cell and cell["path"] for cell in cells]

    def _read(self, group: int) -> Iterator[pa.Array]:
        return _blocks(self._file, self._path, group, self._name, self._leaf)

    def _block(self, group: int, block: int) -> pa.Array:
        key = (group, block)
        if key not in self._blocks:
            at_group, at_block, blocks = self._cursor
            if at_group != group or at_block > block:
                at_block, blocks = 0, self._read(group)
            self._cursor = (-1, 0, iter(()))  # should reading fail, the next try begins anew
            for number in range(at_block, block + 1):
                self._blocks[group, number] = next(blocks)
                if len(self._blocks) > KEPT_BLOCKS:
                    self._blocks.popitem(last=False)
            self._cursor = (group, block + 1, blocks)
        return self._blocks[key]


def _blocks(
    file: pq.ParquetFile, path: AnyFile, group: int, name: str, leaf: str
) -> Iterator[pa.Array]:
    """The blocks of a row group, one after another.

    It knows nothing of the column that keeps it: the two would be a circle, and the file of a
    column that nobody needs would stay open.
    """
    left = file.metadata.row_group(group).num_rows
    try:
        for batch in file.iter_batches(
            BLOCK_ROWS, row_groups=[group], columns=[leaf], use_threads=False
        ):
            if len(batch) != min(BLOCK_ROWS, left):  # a row would get another row's image
                raise damaged(
                    path, f"{len(batch)} rows were read, and {min(BLOCK_ROWS, left)} were expected"
                )
            left -= len(batch)
            column = batch.column(name)  # another one may have the name of the leaf
            yield column if leaf == name else column.flatten()[0]
        if left:  # the file has shrunk
            raise damaged(path, f"{left} rows are missing")
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error


@dataclass(frozen=True)
class Shard:
    """One file; its rows are read when they are needed."""

    path: AnyFile
    state: tuple[int, int | str] | None  # its size and the time of its last change
    schema: pa.Schema
    groups: tuple[int, ...]  # the rows of each row group

    @classmethod
    def open(cls, path: AnyFile) -> "Shard":
        """Raises InputError for a file that is damaged."""
        state = _state(path)
        with open_parquet(path) as file:
            refuse_repeated(path, file.schema_arrow.names)
            groups = map(file.metadata.row_group, range(file.num_row_groups))
            return cls(path, state, file.schema_arrow, tuple(group.num_rows for group in groups))

    @property
    def rows(self) -> int:
        return sum(self.groups)

    @property
    def encoded(self) -> list[str]:
        """The names of its columns of encoded images."""
        return [field.name for field in self.schema if is_encoded(field.type)]

    def scalars(self) -> pa.Table:
        """All columns but those of encoded images. Raises as `images`, or for damaged rows."""
        others = [name for name in self.schema.names if name not in self.encoded]
        try:
            with open_parquet(self.path) as file:
                scalars = file.read(columns=others).select(others)
        except (pa.ArrowException, OSError) as error:
            raise damaged(self.path, error) from error
        self.check_state()
        if scalars.num_rows != self.rows:
            raise damaged(self.path, f"{scalars.num_rows} of {self.rows} rows were read")
        return scalars

    def check_state(self) -> None:
        """Raise InputError if the file has changed since it was opened."""
        if _state(self.path) != self.state:  # a row would get another row's image
            raise InputError(f"{self.path} has changed while it was read", remedy="extract again")

    def images(self, column: str) -> EncodedColumn:
        """A column of images. Raises InputError if the file has changed since it was read."""
        images = EncodedColumn(self.path, column)
        self.check_state()
        return images


def _state(path: AnyFile) -> tuple[int, int | str] | None:
    if isinstance(path, RemoteFile):
        return state_of(path)
    status = path.stat()
    return status.st_size, status.st_mtime_ns


class ShardedColumn:
    """A column of images over all shards, as `EncodedColumn`; few files are open at a time."""

    def __init__(self, shards: Sequence[Shard], column: str) -> None:
        self._shards, self._column = shards, column
        self._starts = np.cumsum([0, *(shard.rows for shard in shards)])
        self._lock = threading.Lock()
        self._open: OrderedDict[int, EncodedColumn] = OrderedDict()

    def __reduce__(self) -> tuple[type, tuple[Sequence[Shard], str]]:
        """A pickle has no open files: another process opens its own."""
        return ShardedColumn, (self._shards, self._column)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def names(self) -> list[str | None] | None:
        """(n,) paths as written, as `EncodedColumn.names`."""
        every = [self._images(number).names() for number in range(len(self._shards))]
        return None if every[0] is None else [name for names in every for name in names or []]

    def null(self) -> np.ndarray:
        """(n,) whether a row has no bytes, as `EncodedColumn.null`."""
        numbers = range(len(self._shards))
        return np.concatenate([self._images(number).null() for number in numbers])

    def image(self, row: int) -> bytes:
        """The image of a row of the whole table, as `EncodedColumn.image`."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._images(number).image(row - int(self._starts[number]))

    def _images(self, number: int) -> EncodedColumn:
        with self._lock:
            if number not in self._open:
                self._open[number] = self._shards[number].images(self._column)
                if len(self._open) > KEPT_OPEN:
                    self._open.popitem(last=False)
            self._open.move_to_end(number)
            return self._open[number]


class EncodedImages(Sequence[bytes | AnyFile]):
    """The images of some rows of a column."""

    def __init__(
        self, column: ShardedColumn, files: Mapping[int, AnyFile], rows: Sequence[int]
    ) -> None:
        self._column, self._files, self._rows = column, files, rows

    def __len__(self) -> int:
        return len(self._rows)

    def remote_image(self, index: int) -> RemoteFile | None:
        """The image, if it is at a URL."""
        image = self._files.get(self._rows[index])
        return image if isinstance(image, RemoteFile) else None

    @overload
    def __getitem__(self, index: int) -> bytes | AnyFile: ...
    @overload
    def __getitem__(self, index: slice) -> "EncodedImages": ...
    def __getitem__(self, index: int | slice) -> "bytes | AnyFile | EncodedImages":
        if isinstance(index, slice):
            return EncodedImages(self._column, self._files, self._rows[index])
        row = self._rows[index]
        return self._files[row] if row in self._files else self._column.image(row)
