"""The digests of a dataset's table, a piece of a column at a time: no column is ever text in whole.

They are SHA-256 of JSON, as `json.dumps` writes it.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

PIECE = 2**14  # values that are text at a time

Column = Callable[[str], Iterable[pa.Array | pa.ChunkedArray]]
"""The values of a column, in pieces."""


def table_column(table: pa.Table) -> Column:
    """The columns of a table in memory."""
    return lambda name: table[name].chunks


def values_digest(names: Collection[str], column: Column) -> str:
    """64 hex digits that change with any value of these columns; their order is free."""
    hashed = hashlib.sha256()
    for name in sorted(names):
        hashed.update(f"[{json.dumps(name)}, ".encode())
        for text in _json(column(name)):
            hashed.update(text)
        hashed.update(b"]")
    return hashed.hexdigest()


def content_digest_with(
    content: Mapping[str, Any], name: str, values: Iterable[pa.Array | pa.ChunkedArray]
) -> str:
    """As `json_files.content_digest`, of an object that also has the list `values` under `name`."""
    plain = {key: value for key, value in content.items() if key != "sha256"} | {name: None}
    hashed = hashlib.sha256()
    before = b"{"
    for key in sorted(plain):
        hashed.update(before + f"{json.dumps(key)}: ".encode())
        before = b", "
        texts = _json(values) if key == name else [_sorted(plain[key])]
        for text in texts:
            hashed.update(text)
    hashed.update(b"}")
    return hashed.hexdigest()


def _sorted(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _json(pieces: Iterable[pa.Array | pa.ChunkedArray]) -> Iterator[bytes]:
    """The JSON of a list of all values."""
    yield b"["
    before = b""
    for piece in pieces:
        for start in range(0, len(piece), PIECE):
            values = piece.slice(start, PIECE)
            if pa.types.is_temporal(values.type):  # Python has no nanoseconds
                values = values.cast(pa.string())
            yield before + json.dumps(values.to_pylist(), default=str)[1:-1].encode()
            before = b", "
    yield b"]"
