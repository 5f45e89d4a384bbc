"""Files of vectors that were computed elsewhere: .npy, .npz and Parquet."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.common import arrow_compute as pc
from jaxreg.common.files import named_path
from jaxreg.common.remote_file import AnyFile, RemoteFile, is_url, shown
from jaxreg.errors import InputError, reading
from jaxreg.sources.naming import listed, neighbour
from jaxreg.sources.npz import read_archive
from jaxreg.sources.parquet import damaged, open_parquet
from jaxreg.sources.remote_read import open_file
from jaxreg.sources.remote_sources import reached, refuse_other_address

SUFFIXES = (".npy", ".npz", ".parquet")
VECTORS, IDS = "vectors", "ids"  # the arrays of an .npz
ID_COLUMNS = ("id", "ids")  # of Parquet, if the table's own id column is not there
MOST_WIDTH = 2**20  # numbers of a vector
BLOCK = 8192  # rows that are read, converted and hashed together


@dataclass(frozen=True)
class Vectors:
    """The vectors of a file, row by row; a row of `values` is read when it is needed."""

    path: AnyFile
    values: np.ndarray  # (rows, width) of any numbers, mapped or in memory
    ids: Sequence[str] | None  # of the rows, all different; None: they are those of the table
    absent: np.ndarray | None = None  # (rows,) whether a row has no vector; None: all have one

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        """Numbers of one vector."""
        return self.values.shape[1]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Some rows as float32 (rows, width); a number that is too large becomes infinite."""
        with np.errstate(over="ignore"):
            return np.asarray(self.values[rows], dtype=np.float32)


def open_vectors(given: str, id_column: str | None = None) -> Vectors:
    """The vectors of a file. Nothing is unpickled.

    Args:
        given: a .npy with (rows, width) numbers, which is mapped and not read; a .npz with
            `vectors` and perhaps `ids`; a Parquet file with one column of lists and perhaps one
            of ids.
        id_column: the name of the column of ids in Parquet; without it `id` or `ids`.

    Raises:
        InputError: no such file, or one that holds something else; ids that repeat.
    """
    refuse_other_address(given)
    path = RemoteFile(given) if is_url(given) else named_path(given, "--embeddings").expanduser()
    if isinstance(path, Path) and not path.exists():
        raise InputError(f"no file {given}", remedy=neighbour("--embeddings", path))
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise InputError(f"--embeddings {shown(given)}", expected="a .npy, .npz or .parquet file")
    expected = "vectors, in a file that is complete"
    with reading(shown(given), expected=expected), reached(shown(given)):
        if kind == ".parquet":
            return _from_parquet(path, id_column)
        values, ids = _from_npy(path) if kind == ".npy" else _from_npz(path)
        _check(path, values)
        return Vectors(path, values, None if ids is None else _as_ids(path, ids, len(values)))


def _from_npy(path: AnyFile) -> tuple[np.ndarray, None]:
    with open_file(path) as file:
        if file.read(6) != b"\x93NUMPY":
            raise InputError(f"{path} is not a .npy file", expected="a file that np.save wrote")
        file.seek(0)
        content = file.read() if isinstance(path, RemoteFile) else b""
    try:
        if isinstance(path, Path):
            return np.load(path, mmap_mode="r", allow_pickle=False), None
        return np.load(io.BytesIO(content), allow_pickle=False), None
    except ValueError as error:
        raise _unreadable(path, error) from None


def _from_npz(path: AnyFile) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        found, names = read_archive(path, (VECTORS, IDS))
        others = [name for name in names if name != IDS]
        name = VECTORS if VECTORS in names or len(others) != 1 else others[0]
        if name not in found:
            found |= read_archive(path, (name,))[0]
    except ValueError as error:
        raise _unreadable(path, error) from None
    if name not in found:
        raise InputError(
            f"{path} has no array {VECTORS!r}",
            expected=f"{VECTORS} (rows, width), and perhaps {IDS} (rows,); it has {listed(names)}",
        )
    return found[name], found.get(IDS)


def _unreadable(path: AnyFile, error: ValueError) -> InputError:
    if "pickle" in str(error) or "Python objects" in str(error):
        return InputError(
            f"{path} holds Python objects, which jaxreg never unpickles",
            expected="an array of numbers, and ids as text",
            remedy="save the vectors as np.asarray(vectors, np.float32), and ids as "
            "np.asarray(ids, str)",
        )
    return InputError(
        f"{path} cannot be read: {error}",
        expected="a complete file of np.save or np.savez",
        remedy="write it again",
    )


def _from_parquet(path: AnyFile, id_column: str | None) -> Vectors:
    with open_parquet(path) as file:
        schema = file.schema_arrow
        lists = [field.name for field in schema if _is_list(field.type)]
        if len(lists) != 1:
            raise InputError(
                f"{path} has {len(lists) or 'no'} columns of lists"
                + (f": {listed(lists)}" if lists else ""),
                expected="one column of vectors, as lists of numbers of one length",
                remedy="write a file with the ids and one of these columns" if lists else "",
            )
        kind = schema.field(lists[0]).type.value_type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            raise _no_numbers(path, str(kind))
        wanted = [id_column] if id_column in schema.names else list(ID_COLUMNS)
        named = next((name for name in wanted if name in schema.names), None)
        try:
            values, absent = _lists(path, file, lists[0])
            ids = None if named is None else file.read([named])[named]
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, error) from None
    return Vectors(path, values, None if ids is None else _column_ids(path, ids), absent)


def _is_list(kind: pa.DataType) -> bool:
    t = pa.types
    return t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind)


def _lists(path: AnyFile, file: pq.ParquetFile, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """The lists of a column as one array (rows, width), and which of them are absent."""
    rows = file.metadata.num_rows
    values, absent = np.zeros((0, 0), np.float32), np.zeros(rows, bool)
    start = 0
    for batch in file.iter_batches(BLOCK, columns=[name]):
        lists = batch.column(0)
        here = slice(start, start + len(lists))
        absent[here] = lists.is_null().to_numpy(zero_copy_only=False)
        full = lists.drop_null()
        lengths = pc.call_function("list_value_length", [full]).to_numpy()
        at = start + np.flatnonzero(~absent[here])
        if not values.size and len(lengths):
            _check_shape(path, (rows, int(lengths[0])), "vectors")
            values = np.zeros((rows, int(lengths[0])), np.float32)
        if len(others := np.flatnonzero(lengths != values.shape[1])):
            raise InputError(
                f"{path} has vectors of {values.shape[1]} numbers, and one of "
                f"{lengths[others[0]]} in row {at[others[0]]} (from 0)",
                expected="vectors of one length",
            )
        flat = full.flatten().cast(pa.float64(), safe=False)
        with np.errstate(over="ignore"):
            numbers = flat.to_numpy(zero_copy_only=False).astype(np.float32)
        values[at] = numbers.reshape(len(at), values.shape[1])
        start += len(lists)
    if rows and absent.all():
        raise InputError(f"{path} has no vector: all {rows} lists are null")
    _check(path, values)
    return values, absent if absent.any() else None


def _check(path: AnyFile, values: np.ndarray) -> None:
    """Raise InputError for an array that is not one vector of numbers for each row."""
    if values.dtype.kind not in "fiu":
        raise _no_numbers(path, str(values.dtype))
    _check_shape(path, values.shape, "an array")


def _check_shape(path: AnyFile, shape: Sequence[int], what: str) -> None:
    if len(shape) != 2 or not shape[0] or not 1 <= shape[1] <= MOST_WIDTH:
        raise InputError(
            f"{path} holds {what} of shape {tuple(shape)}",
            expected=f"(rows, width): a vector of 1 to {MOST_WIDTH:,} numbers for each row",
        )


def _no_numbers(path: AnyFile, kind: str) -> InputError:
    return InputError(
        f"{path} holds vectors of {kind}",
        expected="float32, or other real numbers",
        remedy="save them as float32",
    )


def _as_ids(path: AnyFile, ids: np.ndarray, vectors: int) -> list[str]:
    if ids.ndim != 1 or ids.dtype.kind not in "Uiu":
        raise InputError(
            f"{path} has ids of type {ids.dtype} and shape {ids.shape}",
            expected="one text or whole number for each vector",
            remedy="save ids as np.asarray(ids, str)" if ids.ndim == 1 else "",
        )
    if len(ids) != vectors:
        raise InputError(
            f"{path} has {len(ids)} ids and {vectors} vectors", expected="one id for each vector"
        )
    return _distinct(path, [str(name) for name in ids.tolist()])


def _column_ids(path: AnyFile, column: pa.ChunkedArray) -> list[str]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (
        pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    ):
        raise InputError(f"{path} has ids of type {column.type}", expected="text or whole numbers")
    if column.null_count:
        count = column.null_count
        raise InputError(
            f"{path} has {count} vector{'s' * (count != 1)} without an id",
            expected="one id for each vector",
        )
    return _distinct(path, column.cast(pa.string()).to_pylist())


def _distinct(path: AnyFile, ids: list[str]) -> list[str]:
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = next(name for name in ids if name in seen or seen.add(name))
        raise InputError(f"{path} has the id {twice!r} twice", expected="one vector for each id")
    return ids
