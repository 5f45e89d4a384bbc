"""Tables: which column is the image, the id, the order, a number; what cannot be used."""

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jaxreg.errors import InputError
from jaxreg.sources import SourceOptions, open_source
from tables import csv, refusal

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


def test_a_column_of_fractions_holds_no_images(tmp_path):
    file = csv(tmp_path, "image,y\na.png,1.5\n")
    assert "--image-column y of" in refusal(file, image_column="y")
    assert "holds double\n  expected: paths" in refusal(file, image_column="y")
    assert "holds no value" in refusal(csv(tmp_path, "image,y\n,1\n"), image_column="image")


# files that are no such table


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "{} is empty"),
        (b"\xef\xbb\xbf\n\n", "{} is empty"),
        (b"image,y\n", "{} has columns and no rows"),
        (b"image,y\na.png,1\ncaf\xe9.png,2\n", "{} is not UTF-8 text: byte 0xe9 on line 3"),
        (b"image,y,y\na.png,1,2\n", "{} has two columns named 'y'"),
        (b"a.png,1\nb.png,2\n", "{} has no header line: it begins with 'a.png,1'"),
        (b"image,y\na.png,1\nb.png,2,3\n", "Expected 2 columns, got 3: b.png,2,3"),
        (b"image,y\na.png\n", "{}: CSV parse error"),
    ],
)
def test_csv_that_cannot_be_used(tmp_path, content, text):
    file = csv(tmp_path, content)
    assert text.format(file) in refusal(file)
    if len(content.splitlines()) < 2 or not content.strip(b"\n\xef\xbb\xbf"):
        assert refusal(file).endswith(", or name another table")


def test_tables_have_no_use_for_a_steering_correction(tmp_path):
    file = csv(tmp_path, "image,y\na.png,1\n")
    with pytest.raises(InputError, match="--steering-correction was given, but it means nothing"):
        open_source(file, SourceOptions(steering_correction=0.1))
