"""DonkeyCar tubs and Udacity driving logs as sources."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxreg.errors import InputError
from jaxreg.sources import SourceOptions, open_source


def refusal(spec: Path, **options) -> str:
    with pytest.raises(InputError) as caught:
        open_source(spec, SourceOptions(**options))
    return str(caught.value)


# DonkeyCar


INPUTS = ["cam/image_array", "user/angle", "user/mode", "lidar"]
TYPES = ["image_array", "float", "str", "nparray"]


def record(index: int, **values) -> dict:
    usual = {"cam/image_array": f"{index}.jpg", "user/angle": index / 10, "user/mode": "user"}
    return {"_index": index, "_timestamp_ms": 1000 + index, **usual, **values}


def make_tub(folder: Path, *catalogs: list, inputs=INPUTS, types=TYPES, deleted=()) -> Path:
    names = [f"catalog_{number}.catalog" for number in range(len(catalogs))]
    manifest = [
        inputs,
        types,
        {},
        {"created_at": 1.0},
        {"paths": names, "current_index": 9, "max_len": 1000, "deleted_indexes": list(deleted)},
    ]
    (folder / "images").mkdir(parents=True)
    (folder / "manifest.json").write_text("\n".join(map(json.dumps, manifest)) + "\n")
    for name, lines in zip(names, catalogs, strict=True):
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (folder / name).write_text("\n".join(texts) + "\n")
        (folder / f"._{name}").write_bytes(b"\x00\x05\x16\x07")  # as macOS leaves behind
    return folder


def test_a_real_tub(tub):
    examples = open_source(tub)
    assert len(examples) == 1000
    assert examples.ids[:2] == ("0", "1")
    assert examples.order is not None
    np.testing.assert_array_equal(examples.order, np.arange(1000))
    first = json.loads((tub / "catalog_0.catalog").read_text().splitlines()[0])
    assert {name: examples.columns[name][0].as_py() for name in first} == first
    assert [name for name in examples.columns.column_names if name not in first] == []
    assert all(isinstance(path, Path) and path.is_file() for path in examples.images)
    assert examples.group is None
    assert examples.targets == ()
    assert examples.sequential
    assert examples.unusable == ()
    assert set(examples.bookkeeping) == {"_index", "_timestamp_ms"}
    assert examples.description["kind"] == "tub"


def test_tub_of_two_sessions(tmp_path):
    tub = make_tub(
        tmp_path / "tub",
        [record(0, _session_id="a"), record(1, _session_id="a", lidar=[1, 2])],
        [record(5, _session_id="b"), record(6, _session_id="b", **{"user/angle": 1})],
        deleted=[1],
    )
    examples = open_source(tub)
    assert examples.ids == ("0", "5", "6")
    assert examples.order is not None
    assert examples.order.tolist() == [0, 5, 6]
    assert examples.group == ("a", "b", "b")
    assert examples.columns["user/angle"].to_pylist() == [0.0, 0.5, 1.0]
    assert list(examples.images) == [tub / "images" / name for name in ("0.jpg", "5.jpg", "6.jpg")]
    assert examples.description["deleted"] == 1
    assert examples.unusable == ()
    assert set(examples.bookkeeping) == {"_index", "_timestamp_ms", "_session_id"}


def test_tub_with_broken_records(tmp_path):
    tub = make_tub(
        tmp_path / "tub",
        [record(0, lidar=[1]), '{"_index": 1, "cam', record(2), "[1]", record(2), ""],
        [record(7, **{"cam/image_array": None}), record(8, **{"user/angle": "none"})],
    )
    examples = open_source(tub)
    assert examples.ids == ("0", "2", "2#2", "8")
    assert examples.unusable == (
        ("catalog_0.catalog:2", "the line is not JSON"),
        ("catalog_0.catalog:4", "the record has no _index"),
        ("7", "no value in 'cam/image_array'"),
    )
    assert examples.columns["user/angle"].to_pylist() == ["0.0", "0.2", "0.2", "none"]
    assert examples.description["dropped_columns"] == ["lidar"]


def test_tub_of_two_cameras(tmp_path):
    tub = make_tub(
        tmp_path / "tub",
        [record(0, **{"cam/b": "b.jpg"})],
        inputs=["cam/image_array", "cam/b"],
        types=["image_array", "image_array"],
    )
    text = refusal(tub)
    assert f"the tub {tub} has 2 inputs of images: cam/image_array, cam/b" in text
    assert "--image-column with one of" in text
    examples = open_source(tub, SourceOptions(image_column="cam/b"))
    assert list(examples.images) == [tub / "images" / "b.jpg"]
    assert refusal(tub, image_column="cam/c").endswith("try: --image-column cam/b")


def test_tubs_that_cannot_be_used(tmp_path):
    tub = make_tub(tmp_path / "tub", [record(0)], [record(1)], deleted=[0, 1])
    assert f"the tub {tub} has no usable record, 2 deleted ones" in refusal(tub)
    assert "--order-column was given" in refusal(tub, order_column="_index")
    (tub / "catalog_1.catalog").unlink()
    assert f"{tub / 'catalog_1.catalog'} is missing" in refusal(tub)
    (tub / "manifest.json").write_text('{"name": "a web page"}')
    text = refusal(tub)
    assert f"{tub / 'manifest.json'} is damaged or cut off, or is not the manifest" in text
    assert text.endswith("try: copy the whole tub again")


# Udacity

HEADER = "center,left,right,steering,throttle,brake,speed\n"


def log_row(moment: int, steering: float, folder: str = "IMG/") -> str:
    names = ", ".join(f"{folder}{camera}_{moment}.jpg" for camera in ("center", "left", "right"))
    return f"{names}, {steering}, 0.5, 0, 20.5\n"


@pytest.fixture
def log(tmp_path) -> Path:
    """Two moments of a drive; the log itself is written by each test."""
    (tmp_path / "IMG").mkdir()
    for moment in (1, 2):
        for camera in ("center", "left", "right"):
            Image.new("RGB", (4, 3)).save(tmp_path / "IMG" / f"{camera}_{moment}.jpg")
    return tmp_path / "driving_log.csv"


@pytest.mark.parametrize("header", [HEADER, "", HEADER.replace(",", ", ")])
@pytest.mark.parametrize(
    "folder", ["IMG/", "/home/driver/sim/IMG/", "C:\\Users\\A Driver\\sim\\IMG\\"]
)
def test_driving_log(log, header, folder):
    log.write_text(header + log_row(1, 0.1, folder) + log_row(2, -0.9, folder))
    examples = open_source(log)
    assert examples.ids == (
        "center_1.jpg", "left_1.jpg", "right_1.jpg", "center_2.jpg", "left_2.jpg", "right_2.jpg",
    )  # fmt: skip
    assert list(examples.images) == [log.parent / "IMG" / name for name in examples.ids]
    assert all(isinstance(path, Path) and path.is_file() for path in examples.images)
    # by hand: left +0.2, right -0.2, not clipped at -1
    np.testing.assert_allclose(
        examples.columns["steering"].to_numpy(), [0.1, 0.3, -0.1, -0.9, -0.7, -1.1], rtol=1e-12
    )
    assert examples.columns["camera"].to_pylist() == ["center", "left", "right"] * 2
    assert examples.columns["speed"].to_pylist() == [20.5] * 6
    assert examples.order is not None
    assert examples.order.tolist() == [0, 0, 0, 1, 1, 1]
    assert examples.group is None
    assert examples.targets == ("steering",)
    assert examples.sequential
    assert examples.description["steering_correction"] == 0.2


def test_steering_correction_and_other_names_of_the_log(log):
    other = log.with_name("second lap.csv")
    other.write_text(HEADER + log_row(1, 0.5))
    examples = open_source(other, SourceOptions(steering_correction=0.0))
    assert examples.columns["steering"].to_pylist() == [0.5, 0.5, 0.5]
    assert examples.description["steering_correction"] == 0.0


def test_a_folder_with_a_driving_log_is_one(log):
    log.write_text(log_row(1, 0.0))
    assert open_source(log.parent).ids == ("center_1.jpg", "left_1.jpg", "right_1.jpg")


def test_the_written_path_goes_before_the_folder_beside(log, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.new("RGB", (4, 3)).save(elsewhere / "center_1.jpg")
    log.write_text(log_row(1, 0.0, f"{elsewhere}/"))
    images = open_source(log).images
    assert images[:2] == [elsewhere / "center_1.jpg", tmp_path / "IMG" / "left_1.jpg"]


def test_driving_log_with_gaps(log):
    log.write_text(
        HEADER + "IMG/center_1.jpg,,IMG/right_1.jpg,0.1,0,0,1\nIMG/center_2.jpg,IMG/l.jpg,,,0,0,1\n"
    )
    examples = open_source(log)
    assert examples.ids == ("center_1.jpg", "right_1.jpg", "center_2.jpg", "l.jpg")
    assert examples.unusable == (
        ("row-000000.left", "no value in column 'left'"),
        ("row-000001.right", "no value in column 'right'"),
    )
    steering = examples.columns["steering"].to_numpy()
    np.testing.assert_allclose(steering, [0.1, -0.1, np.nan, np.nan], rtol=1e-12)


def test_driving_log_of_one_camera(log):
    log.write_text(HEADER + "IMG/center_1.jpg,,,0.1,0,0,1\nIMG/center_2.jpg,,,0.2,0,0,1\n")
    examples = open_source(log)
    assert examples.columns["camera"].to_pylist() == ["center", "center"]
    assert examples.unusable == ()
    assert examples.description["cameras"] == ["center"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (HEADER, {}, "one row per moment\n  try: name the folder of another recording"),
        (HEADER + ",,,0,0,0,0\n", {}, "names no image"),
        (HEADER + "a.jpg,b.jpg,c.jpg,left,0,0,0\n", {}, "is 'left' in row 0 (from 0)"),
        (HEADER + log_row(1, 0), {"steering_correction": float("inf")}, "correction is inf"),
        (HEADER + log_row(1, 0), {"image_column": "center"}, "--image-column was given"),
    ],
)
def test_driving_logs_that_cannot_be_used(log, text, options, message):
    log.write_text(text)
    assert message in refusal(log, **options)


def test_the_images_of_a_recording_alone_name_the_recording(tmp_path: Path) -> None:
    tub, drive = tmp_path / "tub", tmp_path / "drive"
    make_tub(tub, [record(0)])
    (drive / "IMG").mkdir(parents=True)
    (drive / "driving_log.csv").write_text("IMG/c.jpg,IMG/c.jpg,IMG/c.jpg,0.1,0.2,0,30\n")
    for folder in (tub / "images", drive / "IMG"):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / "c.jpg")
        [note] = open_source(folder).notes
        above = folder.parent.resolve()
        assert note == f"{above} is a recording; to use its numbers: jaxreg extract {above}"


def test_text_among_the_numbers_of_a_tub_is_named(tmp_path):
    records = [record(n, **{"user/angle": "left" if n == 3 else n / 10}) for n in range(6)]
    examples = open_source(make_tub(tmp_path / "tub", records))
    said = "column 'user/angle' is text: 'left' in record 3 is no number; 5 cells are numbers"
    assert said in examples.notes
