"""Shards: one table in several Parquet files, by a glob or a folder."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxreg.errors import InputError
from jaxreg.extraction.extract_source import default_name
from jaxreg.sources import Examples, SourceOptions, open_source, source_file
from jaxreg.sources.parquet import KEPT_OPEN
from tables import png, refusal

KIND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def shard(folder: Path, name: str, **columns) -> Path:
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def shards(folder: Path, count: int = 3, rows: int = 2) -> list[Path]:
    """Files as Hugging Face writes them; y counts the rows over all of them."""
    files = []
    for part in range(count):
        y = list(range(part * rows, (part + 1) * rows))
        cells = [{"bytes": png(value), "path": f"{value}.png"} for value in y]
        name = f"train-{part:05d}-of-{count:05d}.parquet"
        files.append(shard(folder, name, image=pa.array(cells, KIND), y=y))
    return files


def said(examples: Examples) -> list[str]:
    return [note for note in examples.notes if "is not there" not in note]


@pytest.mark.parametrize("pattern", ["", "train-*.parquet", "*.parquet", "train-0000?-of-*"])
def test_a_folder_and_a_glob_are_one_table(tmp_path, pattern):
    files = shards(tmp_path)
    (tmp_path / "README.md").write_text("the data")
    location = str(tmp_path / pattern)
    examples = open_source(location)
    assert examples.ids == tuple(f"{value}.png" for value in range(6))
    assert list(examples.images) == [png(value) for value in range(6)]
    assert list(examples.images[3:5]) == [png(3), png(4)]
    assert examples.columns.to_pydict() == {"y": list(range(6))}
    expected = {"kind": "parquet", "location": location, "image_column": "image"}
    assert examples.description == expected
    assert [file.path for file in examples.files] == list(map(str, files))
    assert examples.paths == tuple(str(tmp_path / f"{value}.png") for value in range(6))
    [note] = examples.notes
    assert note.startswith("3 files are read as one table: train-00000-of-00003.parquet, ")


@pytest.mark.parametrize(
    ("pattern", "name"), [("train-*.parquet", "train"), ("*.parquet", "photos"), ("", "photos")]
)
def test_the_dataset_has_the_name_of_the_shards(tmp_path, pattern, name):
    (tmp_path / "photos").mkdir()
    shards(tmp_path / "photos")
    assert default_name(open_source(tmp_path / "photos" / pattern)) == name


def test_shards_are_in_natural_order(tmp_path):
    for number in (10, 9, 1):
        shard(tmp_path, f"part-{number}.parquet", image=[f"{number}.png"], y=[number])
    for source in (tmp_path, tmp_path / "part-*.parquet"):
        assert open_source(source).columns["y"].to_pylist() == [1, 9, 10]


def test_paths_are_relative_to_the_shards(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "pics").mkdir()
    for name in ("a", "b"):
        shard(data, f"{name}.parquet", image=[f"../pics/{name}.png"], y=[1.0])
        (tmp_path / "pics" / f"{name}.png").write_bytes(png(1))
    monkeypatch.chdir(tmp_path)
    for source in ("data", "data/*.parquet"):
        examples = open_source(source)
        assert list(examples.images) == [Path("data/../pics/a.png"), Path("data/../pics/b.png")]
        assert len(examples.notes) == 1
    root = SourceOptions(image_root="pics")
    assert open_source("data", root).images[0] == Path("pics/../pics/a.png")


def test_a_path_alone_is_beside_its_shard(tmp_path):
    cells = [{"bytes": None, "path": "sub/y.png"}, {"bytes": b"two", "path": None}, None]
    for name in ("1.parquet", "2.parquet"):
        shard(tmp_path, name, image=pa.array(cells, KIND), y=[1, 2, 3])
    examples = open_source(tmp_path)
    assert list(examples.images) == [tmp_path / "sub/y.png", b"two"] * 2
    assert examples.ids == ("sub/y.png", "row-000001", "sub/y.png#2", "row-000004")
    assert [name for name, _ in examples.unusable] == ["row-000002", "row-000005"]


def test_shards_of_binary_columns_from_threads_in_any_order(tmp_path):
    count = 3 * KEPT_OPEN  # more than are open at a time
    for part in range(count):
        cells = [f"{part}-{row}".encode() for row in range(5)]
        shard(tmp_path, f"{part}.parquet", image=cells, y=range(5))
    examples = open_source(tmp_path)
    wanted = [f"{part}-{row}".encode() for part in range(count) for row in range(5)]
    rows = np.random.Generator(np.random.PCG64(0)).permutation(len(wanted)).tolist()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda row: examples.images[row], rows))
    assert found == [wanted[row] for row in rows]
    if os.path.isdir("/proc/self/fd"):
        opened = [os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]
        assert sum(name.startswith(str(tmp_path)) for name in opened) <= KEPT_OPEN


def test_empty_shards_are_fine_whatever_their_types_are(tmp_path):
    shards(tmp_path, 2)
    nothing = pa.nulls(0, pa.null())
    shard(tmp_path, "train-00000-empty.parquet", image=nothing, y=nothing)
    shard(tmp_path, "zero.parquet", other=nothing)
    assert open_source(tmp_path).columns["y"].to_pylist() == [0, 1, 2, 3]
    for file in tmp_path.glob("train-0*-of-*"):
        file.unlink()
    assert "has columns and no rows" in refusal(tmp_path)


def test_one_file_in_a_folder_is_a_table_too(tmp_path):
    [file] = shards(tmp_path, 1)
    examples = open_source(tmp_path)
    assert examples.ids == open_source(file).ids
    assert examples.notes == ()


def test_columns_in_another_order_are_the_same(tmp_path):
    shard(tmp_path, "1.parquet", image=["a.png"], y=[1], z=[0.5])
    shard(tmp_path, "2.parquet", z=[1.5], y=[2], image=["b.png"])
    columns = open_source(tmp_path).columns.to_pydict()
    assert columns == {"image": ["a.png", "b.png"], "y": [1, 2], "z": [0.5, 1.5]}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"image": ["b.png"], "y": [0.5]}, ("'y'", "double", "int64")),
        ({"image": ["b.png"]}, ("'y'", "is absent in", "int64")),
        ({"image": ["b.png"], "y": [1], "z": [1]}, ("'z'", "is int64", "absent in")),
        ({"image": [b"bytes"], "y": [1]}, ("'image'", "binary", "string")),
    ],
)
def test_a_shard_of_another_table_is_named_with_both_types(tmp_path, columns, words):
    shard(tmp_path, "1.parquet", image=["a.png"], y=[1])
    file = shard(tmp_path, "2.parquet", **columns)
    text = refusal(tmp_path)
    assert text.startswith(f"{file} and {tmp_path / '1.parquet'} have different columns: ")
    for word in words:
        assert word in text


def test_ids_are_unique_over_all_shards(tmp_path):
    shard(tmp_path, "1.parquet", image=["a.png", "b.png"], take=["x", "y"], id=[1, 2], y=[1, 2])
    shard(tmp_path, "2.parquet", image=["c.png", "a.png"], take=["z", "y"], id=[1, 3], y=[3, 4])
    assert open_source(tmp_path).ids == ("a.png", "b.png", "c.png", "a.png#2")
    text = refusal(tmp_path, id_column="take")
    assert "holds 'y' in row 1 of 1.parquet and row 1 of 2.parquet (from 0)" in text


def test_names_say_that_shards_are_missing(tmp_path):
    files = shards(tmp_path, 4)
    files[2].unlink()
    note = "3 of the 4 files train-…-of-00004.parquet are read"
    assert open_source(tmp_path).notes[1:] == (note,)
    assert open_source(files[0]).notes == (note.replace("3 of", "1 of"),)


def test_a_damaged_shard_is_named(tmp_path):
    file = shards(tmp_path)[1]
    sound = file.read_bytes()
    for damaged in (b"", sound[:50], sound[:-20] + bytes(20)):
        file.write_bytes(damaged)
        assert str(file) in refusal(tmp_path / "train-*")
    file.unlink()
    os.mkfifo(file)
    assert str(file) in refusal(tmp_path / "train-*")


def test_a_shard_that_changes_while_it_is_read_gives_no_other_image(tmp_path):
    files = shards(tmp_path, KEPT_OPEN + 2)
    images = open_source(tmp_path).images
    assert [images[row] for row in range(len(images))] == [png(row) for row in range(len(images))]
    y, other = pa.array([0, 1]), [{"bytes": png(row), "path": f"{row}.png"} for row in (1, 0)]
    files[0].unlink()
    shard(tmp_path, files[0].name, image=pa.array(other, KIND), y=y)  # of the same size
    with pytest.raises(InputError, match=f"{files[0].name} has changed while it was read"):
        images[0]


def test_each_shard_is_checked_for_changes(tmp_path, monkeypatch):
    files = shards(tmp_path)
    states = open_source(tmp_path).files
    assert all(state.sha256 for state in states)
    os.utime(files[0], (0, 0))
    assert not any(state.has_changed for state in states)
    pq.write_table(pq.read_table(files[2]).slice(1), files[2])
    assert [state.has_changed for state in states] == [False, False, True]
    monkeypatch.setattr(source_file, "HASHED", files[0].stat().st_size)  # less than all three
    assert [state.sha256 for state in open_source(tmp_path).files] == [None] * 3


def test_what_is_no_table_of_shards(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shard(tmp_path / name, "x.parquet", image=["a.png"], y=[1])
    text = refusal(tmp_path / "*" / "x.parquet")
    assert "is in 2 folders" in text
    assert refusal(tmp_path).endswith(f"name the file itself: {tmp_path / 'one' / 'x.parquet'}")
    (tmp_path / "one" / "labels.csv").write_text("image,y\na.png,1\n")
    text = refusal(tmp_path / "one")
    assert text.endswith(f"name the file itself: {tmp_path / 'one' / 'labels.csv'}")
    text = refusal(tmp_path / "one" / "*")
    assert f"it matches {tmp_path / 'one' / 'labels.csv'}, {tmp_path / 'one' / 'x.parquet'}" in text
    assert f"name the file itself: {tmp_path / 'one' / 'labels.csv'}, or one file with" in text
    assert "no table matches" in refusal(tmp_path / "three*.parquet")


def test_shards_beside_images_are_a_note_with_the_glob(tmp_path):
    shards(tmp_path)
    (tmp_path / "a.png").write_bytes(png(1))
    examples = open_source(tmp_path)
    assert examples.ids == ("a.png",)
    assert examples.notes[-1].endswith(f"jaxreg extract '{tmp_path / '*.parquet'}'")
    assert len(open_source(tmp_path / "*.parquet")) == 6
