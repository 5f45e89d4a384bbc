"""Digests of a table in pieces; expected values are those of one `json.dumps` of everything."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pytest

from jaxreg.cache import dataset_digest
from jaxreg.cache.dataset_digest import content_digest_with, table_column, values_digest
from jaxreg.common.json_files import content_digest

ROWS = 50


def made() -> pa.Table:
    """Columns of all kinds, in pieces of which one is empty."""
    table = pa.table(
        {
            "id": [f'é"{row}' for row in range(ROWS)],
            "y": [None if row % 7 == 0 else row / 3 for row in range(ROWS - 1)] + [float("nan")],
            "b": [row % 2 == 0 for row in range(ROWS)],
            "f": np.arange(ROWS, dtype=np.float32) / 3,
            "at": pa.array(range(ROWS), pa.timestamp("ns", "UTC")),
            "day": pa.array(range(ROWS), pa.date32()),
            "took": pa.array(range(ROWS), pa.duration("us")),
        }
    )
    return pa.concat_tables([table.slice(0, 13), table.slice(13, 0), table.slice(13)])


@pytest.mark.parametrize("rows", [0, 1, ROWS])
def test_pieces_have_the_digest_of_the_whole(monkeypatch, rows):
    monkeypatch.setattr(dataset_digest, "PIECE", 7)
    table = made().slice(0, rows)
    expected = hashlib.sha256()
    for name in sorted(table.column_names):
        column = table[name]
        values = column.cast(pa.string()) if pa.types.is_temporal(column.type) else column
        expected.update(json.dumps([name, values.to_pylist()]).encode())
    assert values_digest(table.column_names, table_column(table)) == expected.hexdigest()


def test_an_object_with_a_list_in_pieces(monkeypatch):
    monkeypatch.setattr(dataset_digest, "PIECE", 7)
    content = {"b": {"z": 1, "a": [1, {"q": None}]}, "zz": "é", "sha256": "not hashed"}
    ids = made()["id"]
    found = content_digest_with(content, "paths", ids.chunks)
    assert found == content_digest({**content, "paths": ids.to_pylist()})
