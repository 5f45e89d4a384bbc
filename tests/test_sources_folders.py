"""Folders of recordings, tubs of version 1, reserved words, and labels that have changed."""

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from jaxreg.errors import InputError
from jaxreg.sources import SourceOptions, open_source
from jaxreg.sources.source_file import SourceFile
from planted_runs import edit_dataset, run_quick
from test_sources_recordings import HEADER, log_row, make_tub, record


def refusal(spec: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_source(spec)
    return str(caught.value)


def make_tub_v1(folder: Path, indexes: list[int], *, meta: bool = True) -> Path:
    """As donkeycar 3.1's parts/datastore.py writes it."""
    folder.mkdir(parents=True)
    for index in indexes:
        name = f"{index}_cam-image_array_.jpg"
        Image.new("RGB", (4, 3)).save(folder / name)
        content = {"cam/image_array": name, "user/angle": index / 10, "milliseconds": 50 * index}
        (folder / f"record_{index}.json").write_text(json.dumps(content))
    if meta:
        inputs = {"inputs": ["cam/image_array", "user/angle"], "types": ["image_array", "float"]}
        (folder / "meta.json").write_text(json.dumps(inputs))
    return folder


@pytest.mark.parametrize("meta", [True, False])
def test_a_tub_of_version_1(tmp_path: Path, meta: bool) -> None:
    tub = make_tub_v1(tmp_path / "tub", [1, 2, 10, 3], meta=meta)
    (tub / "record_4.json").write_text('{"cam/image_array": "4_cam')
    (tub / "exclude.json").write_text("[2]")
    examples = open_source(tub)
    assert examples.ids == ("1", "3", "10")  # by number, not by text
    assert examples.order is not None
    assert examples.order.tolist() == [1, 3, 10]
    assert examples.columns["user/angle"].to_pylist() == [0.1, 0.3, 1.0]
    assert examples.images[2] == tub / "10_cam-image_array_.jpg"
    assert examples.sequential
    assert "milliseconds" in examples.bookkeeping
    assert [name for name, _ in examples.unusable] == ["record_4.json"]
    assert examples.description["deleted"] == 1
    (tub / "exclude.json").write_text("{")
    assert "exclude.json is not a list of indexes" in refusal(tub)


def test_a_tub_that_was_not_copied_whole_is_refused_by_what_is_missing(tmp_path: Path) -> None:
    tub = make_tub(tmp_path / "tub", [record(0)])
    text = (tub / "manifest.json").read_text()
    (tub / "manifest.json").write_text(text[:-15])
    assert "manifest.json is damaged or cut off" in refusal(tub)
    (tub / "manifest.json").unlink()
    assert "no manifest.json" in refusal(tub)
    (tub / "manifest.json").write_text(text)
    (tub / "catalog_0.catalog").unlink()
    assert "catalog_0.catalog is missing, but the manifest names it" in refusal(tub)


def test_a_web_page_with_a_manifest_is_a_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "a web page", "icons": []}')
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    assert open_source(tmp_path).ids == ("a.png",)


def test_records_that_no_table_can_hold_are_failures_of_their_own(tmp_path: Path) -> None:
    deep = "[" * 100_000
    tub = make_tub(
        tmp_path / "tub",
        [record(0), record(2**70), record(-1), '{"_index": 3, "x": "\\ud800"}', deep],
    )
    examples = open_source(tub)
    assert examples.ids == ("0",)
    assert [why for _, why in examples.unusable] == [
        "its _index is too large",
        "its _index is below 0",
        "it holds text that is not Unicode",
        "the line is not JSON",
    ]


def test_a_folder_of_tubs_is_one_source_with_a_group_for_each(tmp_path: Path) -> None:
    make_tub(tmp_path / "data/tub_10", [record(0), record(1)])
    make_tub(tmp_path / "data/tub_2", [record(0, _session_id="a", extra=1.5)])
    make_tub_v1(tmp_path / "data/old/tub", [7])
    make_tub(tmp_path / "data/tub_3", [])
    make_tub(tmp_path / "data/.trash/tub", [record(0)])
    (tmp_path / "data/a.png").write_bytes(b"")
    examples = open_source(tmp_path / "data")
    assert examples.ids == ("old/tub/7", "tub_2/0", "tub_10/0", "tub_10/1")
    assert examples.group == ("old/tub", "tub_2/a", "tub_10", "tub_10")
    assert examples.columns["user/angle"].to_pylist() == [0.7, 0.0, 0.0, 0.1]
    assert examples.columns["extra"].to_pylist() == [None, 1.5, None, None]
    assert examples.order is not None
    assert examples.order.tolist() == [7, 0, 0, 1]
    assert examples.sequential
    assert examples.notes[0].endswith(f"{tmp_path / 'data'}: old/tub, tub_2, tub_3, tub_10")
    assert "tub_3 is left out: the tub" in examples.notes[1]
    assert examples.notes[-1] == "1 images outside of the recordings are not read"


def test_the_parent_of_driving_logs(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "IMG").mkdir(parents=True)
        (tmp_path / name / "driving_log.csv").write_text(HEADER + log_row(1, 0.5))
    examples = open_source(tmp_path, SourceOptions(steering_correction=0.1))
    assert examples.ids[:2] == ("one/center_1.jpg", "one/left_1.jpg")
    assert examples.targets == ("steering",)
    assert examples.columns["steering"].to_pylist() == [0.5, 0.6, 0.4] * 2
    assert set(examples.group or ()) == {"one", "two"}


def test_columns_of_mixed_kinds_become_text(tmp_path: Path) -> None:
    make_tub(tmp_path / "a", [record(0, gear=1)])
    make_tub(tmp_path / "b", [record(0, gear="low")])
    assert open_source(tmp_path).columns["gear"].to_pylist() == ["1", "low"]


def test_a_folder_of_broken_tubs_says_why(tmp_path: Path) -> None:
    make_tub(tmp_path / "a", [])
    make_tub(tmp_path / "b", [])
    assert "has no usable record" in refusal(tmp_path)


def test_a_log_with_a_column_camera_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "driving_log.csv").write_text(
        "center,steering,left,right,camera\nIMG/c.jpg,0.5,,,front\n"
    )
    columns = open_source(tmp_path).columns
    assert columns["camera"].to_pylist() == ["center"]
    assert columns["source.camera"].to_pylist() == ["front"]


def test_a_steering_of_times_is_refused(tmp_path: Path) -> None:
    (tmp_path / "driving_log.csv").write_text(
        "center,left,right,steering\nIMG/c.jpg,,,2020-01-01\n"
    )
    assert "steering in" in refusal(tmp_path)


def test_a_column_that_takes_the_name_of_a_renamed_one(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,id,source.id\na.png,x,1\nb.png,x,2\n")
    columns = open_source(tmp_path / "t.csv").columns
    assert len(set(columns.column_names)) == len(columns.column_names) == 3


@pytest.mark.parametrize("table", ["labels.csv", "metadata.parquet", "LABELS.CSV"])
def test_a_table_beside_the_images_is_named_with_its_command(tmp_path: Path, table: str) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    (tmp_path / table).write_text("image,age\na.png,3\n")
    notes = open_source(tmp_path).notes
    assert any(f"jaxreg extract {tmp_path / table}" in note for note in notes)


@pytest.mark.parametrize("word", ["road", "road:3", "mnist"])
def test_a_reserved_word_names_the_folder_that_it_hides(
    tmp_path: Path, word: str, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxreg.sources.dispatch.open_mnist", lambda _: open_source("road:2"))
    assert open_source(word).notes == ()
    (tmp_path / word).mkdir()
    assert f"./{word}" in open_source(word).notes[0]


def test_labels_that_changed_since_are_a_note_with_the_command(planted: Path) -> None:
    table = planted.parent / "labels.csv"
    table.write_text("image,y\na.png,1\n")
    edit_dataset(planted, files=(SourceFile.of(table),), opened=str(table))

    def notes() -> list[str]:
        summary = run_quick(planted, run="one", head="ridge", overwrite=True).summary
        return [note for note in summary["notes"] if " changed, and" in note]

    assert notes() == []
    os.utime(table, (0, 0))  # copied: another time, the same bytes
    assert notes() == []
    table.write_text("image,y\na.png,2\n")
    [note] = notes()
    assert note.startswith(f"{table} has changed, and this dataset has the numbers from before")
    assert f"jaxreg extract {table} --name planted" in note
    other = table.with_name("more.csv")
    other.write_text("image,y\n")
    edit_dataset(planted, files=(SourceFile.of(table), SourceFile.of(other)), opened=str(table))
    table.write_text("")
    other.write_text("")
    [note] = notes()
    assert note.startswith(f"{table}, {other} have changed, and this dataset")
    table.unlink()
    other.unlink()
    assert notes() == []


def test_every_source_of_numbers_records_its_files(tmp_path: Path) -> None:
    tub = make_tub(tmp_path / "tub", [record(0)], [record(1)])
    old = make_tub_v1(tmp_path / "old", [1, 2])
    (tmp_path / "t.csv").write_text("image,y\na.png,1\n")
    for source, count in ((tub, 3), (old, 1), (tmp_path / "t.csv", 1), (tmp_path, 4)):
        files = open_source(source).files
        assert len(files) == count, source
        assert not any(file.has_changed for file in files)
    stamps = open_source(tmp_path).files
    (old / "record_1.json").write_text("{}")
    (tub / "manifest.json").write_text("[]")
    assert [file.has_changed for file in stamps] == [True, True, False, False]
    shutil.rmtree(tub)
    assert [file.has_changed for file in stamps] == [True, False, False, False]


@pytest.mark.parametrize("name", ["annotations.json", "labels.jsonl", "a.XML", "y.npy"])
def test_a_file_that_may_hold_numbers_and_is_not_read_is_named(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert open_source(tmp_path).notes == ()
    (tmp_path / name).write_text("{}")
    _, note = open_source(tmp_path).notes
    suffix = Path(name).suffix
    assert note.startswith(f"{tmp_path / name} may hold numbers of the images, but jaxreg reads no")
    assert suffix in note
    assert ".csv" in note
