"""Paths in a table that are no files: the one file that each can mean, or a note."""

from pathlib import Path

import pyarrow as pa
import pytest

from jaxreg.sources import SourceOptions, open_source
from tables import csv, parquet, png, refusal


def pictures(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(1))


def names_of(examples, folder):
    return [image.resolve().relative_to(folder).as_posix() for image in examples.images]


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("a.png", "pics/a.png"),
        ("a.png", "pics/big/a.png"),
        ("pics\\a.png", "pics/a.png"),
        ("a.PNG", "a.png"),
        ("A.png", "a.Png"),
        ("a", "pics/a.png"),
        ("0007", "pics/0007.jpg"),
        ("/elsewhere/drive/pics/a.png", "pics/a.png"),
        ("C:\\drive\\pics\\a.png", "pics/a.png"),
        ("https://host.invalid/x/a%20b.png?size=2", "pics/a b.png"),
    ],
)
def test_the_only_file_that_a_path_can_mean_is_used(tmp_path, written, file):
    pictures(tmp_path, file)
    table = csv(tmp_path, f"image,y\n{written},1\n")
    examples = open_source(table, SourceOptions(image_column="image"))
    assert names_of(examples, tmp_path) == [file]
    assert "jaxreg uses" in examples.notes[0]


def test_two_files_or_none_are_a_note_and_change_nothing(tmp_path):
    table = csv(tmp_path, "image,y\na.png,1\n")
    assert "looked in" in open_source(table).notes[0]
    pictures(tmp_path, "one/a.png", "two/a.png")
    examples = open_source(table)
    assert "may mean any of" in examples.notes[0]
    assert list(examples.images) == [tmp_path / "a.png"]
    options = SourceOptions(image_root=str(tmp_path / "two"))
    assert list(open_source(table, options).images) == [tmp_path / "two" / "a.png"]
    for name in ("three", "x" * 300, "a\0b", "~nobody-of-this-name/x"):
        assert "is no folder" in refusal(table, image_root=str(tmp_path / name))


def test_rows_that_miss_among_rows_that_hit_are_found(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "pics/c.png", "pics/d.PNG")
    table = csv(tmp_path, "image,y\na.png,1\nb.png,2\nc.png,3\nx\\pics\\d.png,4\nc.png,5\n")
    examples = open_source(table)
    found = ["a.png", "b.png", "pics/c.png", "pics/d.PNG", "pics/c.png"]
    assert names_of(examples, tmp_path) == found
    assert examples.ids[2] == "c.png"  # the id stays as written
    assert "and found files for 3 rows in this way" in examples.notes[0]


def test_names_that_stand_in_several_folders_are_found_in_each(tmp_path):
    files = [f"part_{number % 3}/images/{number}.png" for number in range(9)]
    pictures(tmp_path, *files)
    table = csv(tmp_path, "image,y\n" + "".join(f"{number}.png,1\n" for number in range(9)))
    assert names_of(open_source(table), tmp_path) == files


def test_the_ending_and_the_last_parts_decide_between_files(tmp_path):
    pictures(tmp_path, "pics/a.png", "masks/a.jpg", "one/x/b.png", "two/x/b.png", "y/b.png")
    table = csv(tmp_path, "image,y\na.png,1\n/elsewhere/one/x/b.png,2\n")
    assert names_of(open_source(table), tmp_path) == ["pics/a.png", "one/x/b.png"]


@pytest.mark.parametrize("other", ["pics/1.png", "gone/1.png"])
def test_a_file_that_another_row_means_is_never_taken(tmp_path, other):
    """Of two folders with the same names, one was not copied."""
    pictures(tmp_path, "pics/1.png", "pics/2.png")
    table = csv(tmp_path, f"image,y\n{other},1\nlost/1.png,2\nlost/2.png,3\n")
    examples = open_source(table)
    assert examples.images[1] == tmp_path / "lost/1.png"
    assert names_of(examples, tmp_path)[2] == "pics/2.png"
    assert "but another row means this file too" in examples.notes[0]


def test_one_path_in_two_spellings_is_one_file(tmp_path):
    pictures(tmp_path, "pics/a.png")
    table = csv(tmp_path, "image,y\npics/a.png,1\npics\\a.png,2\n./pics/a.png,3\n")
    assert names_of(open_source(table), tmp_path) == ["pics/a.png"] * 3


def test_a_file_that_is_gone_stays_missing_and_the_nearest_name_is_said(tmp_path):
    pictures(tmp_path, *(f"frame_{number}.png" for number in range(4)))
    table = csv(tmp_path, "image,y\nframe_0.png,1\nframe_33.png,2\n")
    examples = open_source(table)
    assert list(examples.images)[1] == tmp_path / "frame_33.png"
    assert "no file for 1 of the 2 paths" in examples.notes[0]
    assert "the most similar name is frame_3.png" in examples.notes[0]


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "y/" * 3000 + "a.png", "nul\0l.png"])
def test_names_that_no_file_can_have_cost_their_row_alone(tmp_path, name):
    pictures(tmp_path, "a.png", "IMG/b.png")
    file = parquet(tmp_path, {"image": ["a.png", name], "y": [1, 2]})
    examples = open_source(file)
    assert (examples.images[0], len(examples)) == (tmp_path / "a.png", 2)
    assert "no file for 1 of the 2 paths" in examples.notes[0]
    log = tmp_path / "driving_log.csv"
    log.write_text(f"center,left,right,steering\nIMG/b.png,,,0.1\n{name},,,0.2\n")
    assert len(open_source(log)) == 2


@pytest.mark.parametrize("column", ["id", "filename", "Id", "patient"])
@pytest.mark.parametrize("ending", ["", ".png"])
def test_a_column_that_names_the_files_holds_the_images(tmp_path, column, ending):
    names = ["0007", "17", "a3"]
    pictures(tmp_path, *(f"images/{name}.png" for name in names))
    rows = "".join(f"{place},{name}{ending},kind\n" for place, name in enumerate(names))
    examples = open_source(csv(tmp_path, f"age,{column},label\n{rows}"))
    assert names_of(examples, tmp_path) == [f"images/{name}.png" for name in names]
    assert examples.description["image_column"] == column
    assert ending or f"the column '{column}' of" in examples.notes[0]


def test_two_columns_of_which_one_finds_files(tmp_path):
    pictures(tmp_path, "left/a.png", "left/b.png")
    text = "left,right,y\nleft/a.png,right/a.jpg,1\nleft/b.png,right/b.jpg,2\n"
    examples = open_source(csv(tmp_path, text))
    assert names_of(examples, tmp_path) == ["left/a.png", "left/b.png"]
    assert "the column 'left' of" in examples.notes[0]
    pictures(tmp_path, "right/a.jpg", "right/b.jpg")
    assert "2 columns that may hold the images" in refusal(csv(tmp_path, text))


def test_whole_numbers_that_repeat_name_no_files(tmp_path):
    pictures(tmp_path, "1.png", "2.png")
    assert "no column whose values all" in refusal(csv(tmp_path, "y,z\n1,0.5\n2,0.5\n1,0.5\n"))
    text = refusal(csv(tmp_path, "y,z\n1,2\n2,1\n"))
    assert "2 columns that may hold the images: y, z" in text
    assert text.endswith("try: --image-column y")


@pytest.mark.parametrize("content", [pa.binary(), pa.null()])
def test_hugging_face_paths_are_found(tmp_path, content):
    pictures(tmp_path, "pics/a.png", "pics/b.png")
    kind = pa.struct([("bytes", content), ("path", pa.string())])
    cells = [{"bytes": None, "path": "/elsewhere/a.png"}, {"bytes": None, "path": "b.png"}]
    examples = open_source(parquet(tmp_path, {"image": pa.array(cells, kind), "y": [1, 2]}))
    assert names_of(examples, tmp_path) == ["pics/a.png", "pics/b.png"]
    assert examples.paths == tuple(map(str, examples.images))
    assert "jaxreg uses" in examples.notes[0]
    (tmp_path / "pics").rename(tmp_path.parent / f"{tmp_path.name}-moved")
    root = str(tmp_path.parent / f"{tmp_path.name}-moved")
    examples = open_source(tmp_path / "labels.parquet", SourceOptions(image_root=root))
    assert all(Path(path).is_file() for path in examples.paths or ("",))


def test_a_driving_log_finds_its_images(tmp_path):
    row = "{0}center_1.jpg,{0}left_1.jpg,{0}right_1.jpg,0.1,0,0,20\n"
    log = tmp_path / "driving_log.csv"
    cameras = [f"{camera}_1.jpg" for camera in ("center", "left", "right")]
    pictures(tmp_path, *(f"frames/{name}" for name in cameras))
    log.write_text(row.format("C:\\sim\\IMG\\"))
    examples = open_source(log)
    assert names_of(examples, tmp_path) == [f"frames/{name}" for name in cameras]
    assert examples.ids == tuple(cameras)
    assert "jaxreg uses" in examples.notes[0]
    (tmp_path / "frames").rename(tmp_path / ".hidden")
    assert "looked in" in open_source(log).notes[0]
    options = SourceOptions(image_root=str(tmp_path / ".hidden"))
    assert names_of(open_source(log, options), tmp_path) == [f".hidden/{name}" for name in cameras]


def test_a_log_of_two_sessions_never_takes_one_image_for_two(tmp_path):
    pictures(tmp_path, "IMG/center_1.jpg")
    log = tmp_path / "driving_log.csv"
    log.write_text("center,left,right,steering\n/a/center_1.jpg,,,0\n/b/center_1.jpg,,,1\n")
    examples = open_source(log)
    assert not any(Path(path).is_file() for path in examples.paths or ())
    assert "but another row means this file too" in examples.notes[0]


@pytest.mark.parametrize("suffix", [".png", "png", ".PNG"])
def test_a_suffix_is_added_where_a_name_lacks_it(tmp_path, suffix):
    pictures(tmp_path, "7.png", "7.jpg", "8.png", "8.jpg")
    table = csv(tmp_path, "image,y\n7,1\n8.png,2\n")
    examples = open_source(table, SourceOptions(image_column="image", image_suffix=suffix))
    assert names_of(examples, tmp_path) == ["7.png", "8.png"]
