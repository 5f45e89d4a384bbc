"""Parquet tables with paths or bytes of images."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxreg.errors import InputError
from jaxreg.sources import Examples, SourceOptions, open_source
from jaxreg.sources.parquet import BLOCK_ROWS, KEPT_BLOCKS
from tables import parquet, png, refusal

# Parquet


def test_parquet_of_paths(tmp_path):
    file = parquet(
        tmp_path,
        {
            "image": pa.array(["a.png", "b.png"]).dictionary_encode(),
            "price": pa.array([1, 2], pa.decimal128(5, 2)),
            "half": pa.array([1, 2], pa.float16()),
            "when": pa.array([1, 2], pa.timestamp("ms")),
            "box": [[1, 2], [3]],
            "more": [{"a": 1}, {"a": 2}],
        },
    )
    examples = open_source(file)
    assert list(examples.images) == [tmp_path / "a.png", tmp_path / "b.png"]
    assert [str(kind) for kind in examples.columns.schema.types] == [
        "string", "double", "float", "timestamp[ms]",
    ]  # fmt: skip
    assert examples.columns["price"].to_pylist() == [1, 2]
    assert examples.description["dropped_columns"] == ["box", "more"]
    assert examples.bookkeeping == ("when",)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_parquet_of_bytes(tmp_path, kind):
    images = [png(value) for value in range(200)]
    file = parquet(
        tmp_path, {"picture": pa.array(images, kind), "y": range(200)}, row_group_size=150
    )
    examples = open_source(file)
    assert examples.ids[:2] == ("row-000000", "row-000001")
    assert list(examples.images) == images
    assert list(examples.images[3:5]) == images[3:5]
    assert examples.paths is None
    assert examples.columns.column_names == ["y"]
    assert examples.description["image_column"] == "picture"
    assert "dropped_columns" not in examples.description


def test_parquet_bytes_from_several_threads_in_any_order(tmp_path):
    count = 3 * BLOCK_ROWS * KEPT_BLOCKS  # more than is kept
    images = [str(row).encode() for row in range(count)]
    file = parquet(tmp_path, {"image": images}, row_group_size=2 * BLOCK_ROWS * KEPT_BLOCKS)
    source: Examples = open_source(file)
    rows = np.random.Generator(np.random.PCG64(0)).permutation(count).tolist()[:100]
    rows += list(range(count))
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda row: source.images[row], rows)) == [images[r] for r in rows]


def test_hugging_face_images(tmp_path):
    cells = [
        {"bytes": b"one", "path": "x.png"},
        {"bytes": None, "path": "sub/y.png"},
        {"bytes": b"three", "path": None},
        None,
        {"bytes": None, "path": None},
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    file = parquet(tmp_path, {"image": pa.array(cells, kind), "y": range(5)})
    examples = open_source(file)
    assert examples.ids == ("x.png", "sub/y.png", "row-000002")
    assert list(examples.images) == [b"one", tmp_path / "sub/y.png", b"three"]
    assert examples.columns["y"].to_pylist() == [0, 1, 2]
    assert examples.unusable == (
        ("row-000003", "no value in column 'image'"),
        ("row-000004", "no value in column 'image'"),
    )


@pytest.mark.parametrize("write_statistics", [True, False])
def test_rows_without_bytes_are_named(tmp_path, write_statistics):
    file = parquet(
        tmp_path, {"id": ["a", "b"], "image": [b"x", None]}, write_statistics=write_statistics
    )
    examples = open_source(file)
    assert examples.ids == ("a",)
    assert list(examples.images) == [b"x"]
    assert examples.unusable == (("b", "no value in column 'image'"),)


def test_two_columns_of_bytes(tmp_path):
    file = parquet(tmp_path, {"image": [b"x"], "mask": [b"y"], "y": [1]})
    assert "2 columns that may hold the images: image, mask" in refusal(file)
    examples = open_source(file, SourceOptions(image_column="mask"))
    assert list(examples.images) == [b"y"]
    assert examples.description["dropped_columns"] == ["image"]


def test_parquet_that_is_none(tmp_path):
    file = parquet(tmp_path, {"image": ["a.png"]})
    whole = file.read_bytes()
    for content in (b"", b"image,y\n", whole[: len(whole) // 2]):
        file.write_bytes(content)
        assert f"{file} is not a Parquet file, or is damaged" in refusal(file)
    parquet(tmp_path, pa.table({"image": pa.array([], pa.string())}))
    assert f"{file} has columns and no rows" in refusal(file)


def test_damage_below_the_footer_is_named_when_it_is_met(tmp_path):
    random = np.random.Generator(np.random.PCG64(0))
    images = [random.bytes(1000) for _ in range(200)]
    file = parquet(
        tmp_path,
        {"image": images},
        use_dictionary=False,
        write_page_checksum=True,
        data_page_size=4000,  # several pages, of which the last is damaged
        write_batch_size=4,
    )
    column = pq.ParquetFile(file).metadata.row_group(0).column(0)
    end = column.data_page_offset + column.total_compressed_size
    content = bytearray(file.read_bytes())
    content[end - 1] ^= 1
    file.write_bytes(content)
    examples = open_source(file)
    assert examples.images[0] == images[0]
    for _ in range(2):
        with pytest.raises(InputError, match=r"labels\.parquet is damaged"):
            examples.images[199]
    assert examples.images[1] == images[1]


def test_a_file_that_shrinks_while_it_is_read_is_damaged(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.bytes(20_000) for _ in range(300)]
    file = parquet(tmp_path, {"image": images, "y": list(range(300))}, row_group_size=100)
    examples = open_source(file)
    os.truncate(file, 4096)
    with pytest.raises(InputError, match="is damaged"):
        examples.images[299]


def test_a_fifo_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "x.parquet")
    assert "not a regular file" in refusal(tmp_path / "x.parquet")
