"""CSV and Parquet tables as sources."""

import datetime
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jaxreg.errors import InputError
from jaxreg.sources import Examples, SourceOptions, open_source
from jaxreg.sources.parquet import BLOCK_ROWS, KEPT_BLOCKS


def csv(folder: Path, text: str | bytes) -> Path:
    file = folder / "labels.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def parquet(folder: Path, columns: dict | pa.Table, **options) -> Path:
    file = folder / "labels.parquet"
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, file, **options)
    return file


def refusal(file: Path, **options: str) -> str:
    with pytest.raises(InputError) as caught:
        open_source(file, SourceOptions(**options))
    return str(caught.value)


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((2, 2), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


# what becomes of a CSV


def test_csv(tmp_path):
    file = csv(
        tmp_path,
        "image,angle,grade,label,seen\n"
        "a.png,0.5,3,left,true\n"
        '"sub/b, c.JPG",,4,,false\n'
        f"{tmp_path}/d.png,nan,5,right,true\n",
    )
    examples = open_source(file)
    assert examples.ids == ("a.png", "sub/b, c.JPG", f"{tmp_path}/d.png")
    expected = [tmp_path / "a.png", tmp_path / "sub/b, c.JPG", tmp_path / "d.png"]
    assert list(examples.images) == expected
    assert examples.paths == tuple(map(str, expected))
    assert examples.columns.to_pydict() == {
        "image": list(examples.ids),
        "angle": [0.5, None, None],
        "grade": [3, 4, 5],
        "label": ["left", "", "right"],
        "seen": [True, False, True],
    }
    assert (examples.order, examples.group, examples.targets) == (None, None, ())
    assert not examples.sequential
    assert examples.bookkeeping == ()
    assert examples.description == {
        "kind": "csv",
        "location": str(file),
        "image_column": "image",
    }


def test_a_relative_table_is_beside_its_images(tmp_path, monkeypatch):
    csv(tmp_path, "image,y\na.png,1\n")
    monkeypatch.chdir(tmp_path)
    assert list(open_source("labels.csv").images) == [Path("a.png")]
    monkeypatch.chdir(tmp_path.parent)
    assert list(open_source(f"{tmp_path.name}/labels.csv").images) == [Path(tmp_path.name, "a.png")]


def test_blanks_around_names_and_a_byte_order_mark_do_not_count(tmp_path):
    file = csv(tmp_path, b"\xef\xbb\xbf\r\nimage , y\r\n a.png , 1\r\n")
    examples = open_source(file)
    assert examples.ids == ("a.png",)
    assert list(examples.images) == [tmp_path / "a.png"]
    assert examples.columns["y"].to_pylist() == [1]


def test_a_number_with_some_text_stays_text(tmp_path):
    # more than one of Arrow's blocks of 1 MB
    rows = "".join(f"{'x' * 100}{i}.png,{i}\n" for i in range(12_000))
    file = csv(tmp_path, f"image,y\n{rows}z.png,oops\n")
    examples = open_source(file)
    assert pa.types.is_string(examples.columns["y"].type)
    assert examples.columns["y"].to_pylist()[-2:] == ["11999", "oops"]


def test_an_empty_column_is_of_numbers_but_no_target(tmp_path):
    examples = open_source(csv(tmp_path, "image,y,comment\na.png,1,\nb.png,2,\n"))
    assert examples.columns["comment"].type == pa.float64()
    assert examples.bookkeeping == ("comment",)


def test_index_and_time_columns_are_bookkeeping(tmp_path):
    file = csv(
        tmp_path,
        ",image,y,day,time,frame_id,track_index,sensor_timestamp,wait_ms,time_to_collision\n"
        "0,a.png,1,2024-05-06,7,8,9,10,11,12\n",
    )
    examples = open_source(file)
    assert examples.columns.column_names[0] == "unnamed_0"
    assert examples.columns["day"].to_pylist() == [datetime.date(2024, 5, 6)]
    not_bookkeeping = set(examples.columns.column_names) - set(examples.bookkeeping)
    assert not_bookkeeping == {"image", "y", "time_to_collision"}


# ids


def test_a_column_named_id_is_the_id_as_written(tmp_path):
    examples = open_source(csv(tmp_path, "id,image,y\n007,a.png,1\n7,a.png,2\n"))
    assert examples.ids == ("007", "7")
    assert examples.columns.column_names == ["image", "y"]


def test_a_column_named_id_that_repeats_is_none(tmp_path):
    examples = open_source(csv(tmp_path, "id,image,y\n1,a.png,1\n1,a.png,2\n2,a.png,3\n"))
    assert examples.ids == ("a.png", "a.png#2", "a.png#3")
    assert examples.columns.column_names == ["source.id", "image", "y"]
    assert examples.bookkeeping == ("source.id",)


def test_id_column(tmp_path):
    file = csv(tmp_path, "name,image,id\nx,a.png,1\ny,b.png,2\n")
    examples = open_source(file, SourceOptions(id_column="name"))
    assert examples.ids == ("x", "y")
    assert examples.columns.column_names == ["name", "image", "source.id"]
    assert examples.bookkeeping == ("name", "source.id")
    assert examples.description["id_column"] == "name"
    same = open_source(file, SourceOptions(id_column="image"))
    assert same.ids == ("a.png", "b.png")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("x", "y", "x"), "--id-column name of {} holds 'x' in rows 0 and 2 (from 0)"),
        (("x", "", "z"), "--id-column name of {} has no value in row 1 (from 0)"),
    ],
)
def test_an_id_column_must_be_whole_and_unique(tmp_path, names, text):
    file = csv(tmp_path, "name,image\n" + "".join(f"{n},a.png\n" for n in names))
    assert text.format(file) in refusal(file, id_column="name")


# order and group


def test_whole_numbers_are_the_order_as_they_are(tmp_path):
    file = csv(tmp_path, "image,frame,drive\na.png,10,1\nb.png,9,1\nc.png,-3,2\n")
    examples = open_source(file, SourceOptions(order_column="frame", group_column="drive"))
    assert examples.order is not None
    assert examples.order.dtype == np.int64
    assert examples.order.tolist() == [10, 9, -3]
    assert examples.group == ("1", "1", "2")
    assert examples.sequential
    assert examples.bookkeeping == ("frame", "drive")


@pytest.mark.parametrize(
    "values",
    [
        ["1.5", "-2.5", "1.5", "7"],
        [
            "2024-01-02 10:00:00",
            "2023-01-01 00:00:00",
            "2024-01-02 10:00:00",
            "2025-01-01 00:00:00",
        ],
        ["10:00:02", "10:00:01", "10:00:02", "11:00:00"],
        ["2024-01-02", "2023-01-01", "2024-01-02", "2025-01-01"],
        ["frame_b", "frame_a", "frame_b", "frame_c"],
    ],
)
def test_other_values_are_ranked(tmp_path, values):
    file = csv(tmp_path, "image,when\n" + "".join(f"a.png,{value}\n" for value in values))
    examples = open_source(file, SourceOptions(order_column="when"))
    assert examples.order is not None
    assert examples.order.tolist() == [1, 0, 1, 2]  # by hand


def test_the_id_may_also_be_the_order(tmp_path):
    file = csv(tmp_path, "image,id\na.png,9\nb.png,10\n")
    examples = open_source(file, SourceOptions(order_column="id"))
    assert examples.ids == ("9", "10")
    assert examples.order is not None
    assert examples.order.tolist() == [9, 10]


def test_reserved_names(tmp_path):
    header = "image,digest,order,group,path\n"
    file = csv(tmp_path, header + "a.png,x,5,g,p\nb.png,x,6,h,q\n")
    plain = open_source(file).columns.column_names
    assert plain == ["image", "source.digest", "source.order", "source.group", "source.path"]
    examples = open_source(file, SourceOptions(order_column="order", group_column="group"))
    assert examples.columns.column_names == ["image", "source.digest", "source.path"]
    assert examples.group == ("g", "h")
    served = csv(tmp_path, "path,y\na.png,1\n")
    assert open_source(served).columns.column_names == ["y"]


# rows that cannot be used


def test_rows_without_what_they_need_are_named(tmp_path):
    file = csv(
        tmp_path, "image,frame,drive\na.png,1,x\n,2,x\nc.png,,x\nd.png,4,\n ,5,x\nf.png,6,x\n"
    )
    examples = open_source(file, SourceOptions(order_column="frame", group_column="drive"))
    assert examples.ids == ("a.png", "f.png")
    assert examples.order is not None
    assert examples.order.tolist() == [1, 6]
    assert examples.columns["frame"].to_pylist() == [1, 6]
    assert examples.unusable == (
        ("row-000001", "no value in column 'image'"),
        ("c.png", "no value in column 'frame'"),
        ("d.png", "no value in column 'drive'"),
        ("row-000004", "no value in column 'image'"),
    )
    empty = csv(tmp_path, "image,drive\na.png,\nb.png,\n")
    text = refusal(empty, group_column="drive")
    assert "has no usable row; a.png: no value in column 'drive'" in text


# finding the image column


def test_the_image_column_is_asked_for_when_unclear(tmp_path):
    file = csv(tmp_path, "left,right,y\na.png,b.png,1\n")
    text = refusal(file)
    assert f"{file} has 2 columns that may hold the images: left, right" in text
    assert "--image-column with one of its columns: left, right, y" in text
    assert text.endswith("try: --image-column left")
    examples = open_source(file, SourceOptions(image_column="right"))
    assert examples.ids == ("b.png",)
    assert examples.description["image_column"] == "right"


def test_the_image_column_may_lack(tmp_path):
    file = csv(tmp_path, "y,imag\n1,a\n2,b\n")
    text = refusal(file)
    assert f"{file} has no column whose values all are names of image files" in text
    assert text.endswith("try: --image-column imag")
    # one that is named need not look like images
    assert open_source(file, SourceOptions(image_column="imag")).ids == ("a", "b")


@pytest.mark.parametrize("role", ["image", "id", "group", "order"])
def test_an_unknown_column_gets_the_nearest(tmp_path, role):
    file = csv(tmp_path, "image,drive,y\na.png,d,1\n")
    text = refusal(file, **{f"{role}_column": "Driv"})
    assert f"{file} has no column 'Driv'" in text
    assert "expected: one of: image, drive, y" in text
    assert text.endswith(f"try: --{role}-column drive")


def test_a_column_of_numbers_holds_no_images(tmp_path):
    file = csv(tmp_path, "image,y\na.png,1\n")
    assert "--image-column y of" in refusal(file, image_column="y")
    assert "holds int64\n  expected: paths" in refusal(file, image_column="y")
    assert "holds no value" in refusal(csv(tmp_path, "image,y\n,1\n"), image_column="image")


# files that are no such table


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "{} is empty"),
        (b"\xef\xbb\xbf\n\n", "{} is empty"),
        (b"image,y\n", "{} has columns and no rows"),
        (b"image,y\na.png,1\ncaf\xe9.png,2\n", "{} is not UTF-8 text: byte 0xe9 on line 3"),
        ("image,y\na.png,1\n".encode("utf-16"), "{} is not UTF-8 text: byte 0xff on line 1"),
        (b"image;y\na.png;0,5\n", "{} seems to be separated by ';'"),
        (b"image\ty\na.png\t1\n", "{} seems to be separated by '\\t'"),
        (b"image,y,y\na.png,1,2\n", "{} has two columns named 'y'"),
        (b"a.png,1\nb.png,2\n", "{} has no header line: it begins with 'a.png,1'"),
        (b"image,y\na.png,1\nb.png,2,3\n", "Expected 2 columns, got 3: b.png,2,3"),
        (b"image,y\na.png\n", "{}: CSV parse error"),
    ],
)
def test_csv_that_cannot_be_used(tmp_path, content, text):
    file = csv(tmp_path, content)
    assert text.format(file) in refusal(file)


def test_tables_have_no_use_for_a_steering_correction(tmp_path):
    file = csv(tmp_path, "image,y\na.png,1\n")
    with pytest.raises(InputError, match="--steering-correction was given, but it means nothing"):
        open_source(file, SourceOptions(steering_correction=0.1))


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
