"""What SOURCE may be, and the sources without a file of their own format or without numbers."""

import io
import os
import subprocess
import sys
import textwrap
import zipfile
from io import BufferedReader
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxreg.backbone.weights import identify_weights
from jaxreg.errors import InputError, UnavailableError
from jaxreg.sources import SourceOptions, open_source
from jaxreg.sources.dispatch import NO_OPTIONS
from jaxreg.sources.naming import unique
from typed import pixels_of


def picture(path: Path, colour: tuple[int, int, int] = (10, 20, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), colour).save(path)
    return path


def refusal(spec: str | os.PathLike, options: SourceOptions = NO_OPTIONS) -> str:
    """The text with which the source is refused."""
    with pytest.raises(InputError) as caught:
        open_source(spec, options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("raod:200", "road:200"), ("raod", "road"), ("Road:7", "road:7"), ("MNIST", "mnist")],
)
def test_a_mistyped_kind_gets_the_nearest(typed, meant):
    text = refusal(typed)
    assert f"no such source: {typed!r}" in text
    assert "expected: SOURCE: road[:N], mnist, a .csv, .tsv, .xlsx or .parquet table" in text
    assert text.endswith(f"try: use {meant}")


def test_a_mistyped_file_gets_its_neighbour(tmp_path):
    (tmp_path / "labels.csv").write_text("image,y\na.png,1\n")
    assert refusal(tmp_path / "lables.csv").endswith(f"try: use {tmp_path / 'labels.csv'}")
    assert "try:" not in refusal(tmp_path / "zzz.csv")
    assert "try:" not in refusal(tmp_path / "no folder" / "labels.csv")
    assert "no such source: ''" in refusal("")


@pytest.mark.parametrize("name", ["x" * 300, "y/" * 3000 + "z", "a\0b", "~nobody-here/x", "/x" * 3])
@pytest.mark.parametrize("file", ["{}", "{}.csv", "{}/labels.csv", "*{}"])
def test_a_name_that_no_file_can_have_is_one_message(name, file):
    name = file.format(name)
    assert name.replace("\0", "\\x00") in refusal(name)
    with pytest.raises(InputError, match="no weights file"):
        identify_weights(name)


@pytest.mark.parametrize("spec", ["road:", "road:abc", "road:0", "road:-3", "road:1.5", "road:1e3"])
def test_road_wants_a_number(spec):
    text = refusal(spec)
    assert f"{spec!r} is no number of frames" in text
    assert "road:N with N from 1 to 9,999,999" in text


def test_road_is_drawn():
    examples = open_source("road:3")
    assert len(examples) == 3
    assert examples.targets == ("steering",)
    assert len(open_source("road")) == 2000
    assert "--id-column was given, but it means nothing for road" in refusal(
        "road", SourceOptions(id_column="x")
    )


@pytest.mark.parametrize("name", ["notes.txt", "data.zip", "labels.docx"])
def test_other_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK")
    text = refusal(tmp_path / name)
    assert f"{name} is of a kind that jaxreg does not read" in text
    assert "a DonkeyCar tub" in text
    assert ("unpack it first" in text) == name.endswith(".zip")


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    file = tmp_path / "labels.csv"
    file.write_text("image,y\na.png,1\n")

    def refuse(path: Path, limit: int) -> BufferedReader:
        raise PermissionError(13, "Permission denied", str(path))

    # root may read anything, so chmod is not enough
    monkeypatch.setattr("jaxreg.sources.csvfile.open_file", refuse)
    assert refusal(file).startswith(f"cannot read {file}: Permission denied")


def test_repeats_are_numbered_and_literal_names_kept():
    assert unique(["a", "b", "a", "a#2", "a"]) == ["a", "b", "a#3", "a#2", "a#4"]


# images without numbers


def test_directory(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.webp", "sub/.hidden.png", "._a.jpg", ".git/d.png"):
        picture(tmp_path / name.replace("._a.jpg", "._a.png"))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    examples = open_source(tmp_path)
    assert examples.ids == ("a.jpg", "b.PNG", "sub/c.webp")
    assert list(examples.images) == [tmp_path / name for name in examples.ids]
    assert examples.paths == tuple(str(tmp_path / name) for name in examples.ids)
    assert (examples.columns.num_rows, examples.columns.num_columns) == (3, 0)
    assert examples.targets == ()
    assert not examples.sequential
    assert examples.description == {"kind": "directory", "location": str(tmp_path)}


def test_directory_without_images_names_the_table_in_it(tmp_path):
    assert "holds no image file" in refusal(tmp_path)
    (tmp_path / "labels.csv").write_text("image,y\n")
    named = f"try: name the file itself: {tmp_path / 'labels.csv'}"
    assert refusal(tmp_path).endswith(named)
    picture(tmp_path / "a.png")
    assert refusal(tmp_path, SourceOptions(order_column="y")).endswith(named)


def test_glob(tmp_path):
    for name in ("1/x.png", "2/x.png", "2/y.png", "2/notes.png.txt"):
        picture(tmp_path / name) if name.endswith("png") else (tmp_path / name).write_text("")
    examples = open_source(str(tmp_path / "*" / "x.*"))
    assert examples.ids == ("1/x.png", "2/x.png")
    assert open_source(str(tmp_path / "2" / "*")).ids == ("x.png", "y.png")
    assert open_source(str(tmp_path / "**" / "*.png")).ids == ("1/x.png", "2/x.png", "2/y.png")
    assert "no image file matches" in refusal(str(tmp_path / "*.gif"))


def test_a_folder_with_wildcards_in_its_name_is_a_folder(tmp_path):
    picture(tmp_path / "take [1]" / "a.png")
    assert open_source(tmp_path / "take [1]").ids == ("a.png",)


def test_one_image(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    examples = open_source("a.png")
    assert examples.ids == ("a.png",)
    assert list(examples.images) == [Path("a.png")]
    text = refusal("a.png", SourceOptions(group_column="drive"))
    assert "--group-column was given, but it means nothing for images without a table" in text


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_a_file_name_that_is_no_utf8_gets_an_id_that_is(tmp_path):
    picture(tmp_path / "a.png").rename(tmp_path / os.fsdecode(b"\xe9.png"))
    examples = open_source(tmp_path)
    assert examples.ids == ("\\xe9.png",)
    path = examples.images[0]
    assert isinstance(path, Path)
    assert path.is_file()


# npz

IMAGES = np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3)


def archive(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, allow_pickle=True, **arrays)
    return path


def test_npz_with_one_target(tmp_path):
    file = archive(tmp_path / "d.npz", images=IMAGES, targets=np.array([1.5, 2.5, np.nan]))
    examples = open_source(file)
    assert examples.ids == ("row-000000", "row-000001", "row-000002")
    assert examples.targets == ("target",)
    np.testing.assert_array_equal(examples.columns["target"].to_numpy(), [1.5, 2.5, np.nan])
    np.testing.assert_array_equal(np.stack([pixels_of(image) for image in examples.images]), IMAGES)
    assert examples.description == {"kind": "npz", "location": str(file)}


def test_npz_with_several_targets_ids_and_more(tmp_path):
    file = archive(
        tmp_path / "d.npz",
        images=IMAGES[..., 0].astype(np.uint16),
        targets=np.array([[1, 2], [3, 4], [5, 6]]),
        ids=np.array(["x", "y", "z"]),
        weights=np.ones(3),
    )
    examples = open_source(file)
    assert examples.ids == ("x", "y", "z")
    assert examples.columns.to_pydict() == {"target_0": [1, 3, 5], "target_1": [2, 4, 6]}
    assert examples.targets == ("target_0", "target_1")
    assert pixels_of(examples.images[0]).dtype == np.uint16
    assert examples.description["dropped_columns"] == ["weights"]


def test_npz_of_images_alone_is_for_prediction(tmp_path):
    examples = open_source(archive(tmp_path / "d.npz", images=IMAGES))
    assert (len(examples), examples.targets) == (3, ())


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"imgs": IMAGES, "targets": np.ones(3)}, "no array 'images'; it has: imgs, targets"),
        ({"images": IMAGES, "target": np.ones(3)}, "try: save 'target' as 'targets'"),
        ({"images": IMAGES, "targets": np.ones(2)}, "targets in {} have shape (2,) for 3 images"),
        ({"images": IMAGES, "targets": np.ones((3, 1, 1))}, "expected: (3,) or (3, T)"),
        ({"images": IMAGES, "targets": np.array(["a"] * 3)}, "targets in {} are <U1"),
        (
            {"images": IMAGES / np.float32(255)},
            "images in {} are float32\n  expected: uint8 (0..255)",
        ),
        ({"images": np.ones((3, 8), np.float32)}, "images in {} have shape (3, 8)"),
        ({"images": IMAGES.transpose(0, 3, 1, 2)}, "images in {} have shape (3, 3, 4, 5)"),
        ({"images": IMAGES[:0]}, "images in {} have shape (0, 4, 5, 3)"),
        ({"images": IMAGES, "ids": np.array(["a", "b", "a"])}, "ids in {} hold 'a' more than once"),
        ({"images": IMAGES, "ids": np.arange(2)}, "ids in {} have shape (2,) and type int64"),
        ({"images": np.array([None, {}, 3])}, "arrays of Python objects are never unpickled"),
    ],
)
def test_npz_that_cannot_be_used(tmp_path, arrays, text):
    file = archive(tmp_path / "d.npz", **arrays)
    assert text.format(file) in refusal(file)


def test_npz_that_is_none(tmp_path):
    file = tmp_path / "d.npz"
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("a.png", b"x")
    assert "no array 'images'; it has: a.png" in refusal(file)
    whole = archive(tmp_path / "whole.npz", images=IMAGES).read_bytes()
    single = io.BytesIO()
    np.save(single, IMAGES)
    for content in (b"", b"image,y\n", whole[: len(whole) // 2], single.getvalue()):
        file.write_bytes(content)
        assert f"{file} is not an npz that can be read" in refusal(file)
    file.write_bytes(b"image,y\n")
    assert "it does not begin as an archive does" in refusal(file)
    assert "allow_pickle" not in refusal(file)


def test_npz_has_no_use_for_columns(tmp_path):
    file = archive(tmp_path / "d.npz", images=IMAGES)
    assert "--image-column was given" in refusal(file, SourceOptions(image_column="images"))


# mnist


@pytest.fixture
def keras_home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    return tmp_path


def fake_mnist(home: Path, train: int = 60_000, test: int = 10_000, side: int = 28) -> None:
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        arrays[f"y_{part}"] = (np.arange(count) % 10).astype(np.uint8)
        arrays[f"x_{part}"] = np.zeros((count, side, side), np.uint8)
        arrays[f"x_{part}"][0] = count % 251
    np.savez(home / "datasets" / "mnist.npz", **arrays)


def test_mnist_squares_without_importing_keras(keras_home, monkeypatch):
    fake_mnist(keras_home)
    monkeypatch.setitem(sys.modules, "keras", None)  # importing it would raise
    examples = open_source("mnist")
    assert len(examples) == 70_000
    assert (examples.ids[59_999], examples.ids[60_000]) == ("train-59999", "test-00000")
    first = pixels_of(examples.images[60_000])
    assert first.shape == (28, 28)
    assert (first == 10_000 % 251).all()
    assert examples.targets == ("square",)
    assert examples.columns.slice(60_007, 1).to_pylist() == [{"digit": 7, "square": 49}]


@pytest.mark.parametrize("content", ["partial", "cropped", "truncated", "other"])
def test_mnist_that_is_not_whole_is_refused(keras_home, content):
    file = keras_home / "datasets" / "mnist.npz"
    if content == "other":
        np.savez(file, images=IMAGES)
    elif content == "cropped":
        fake_mnist(keras_home, side=2)
    else:
        fake_mnist(keras_home, train=200)
    if content == "truncated":
        file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(UnavailableError) as caught:
        open_source("mnist")
    found = {
        "partial": f"{file} holds 200 train images of shape (28, 28)\n  expected: 60000",
        "cropped": f"{file} holds 60000 train images of shape (2, 2)",
        "truncated": f"{file} is not Keras' MNIST, or is damaged",
        "other": f"{file} is not Keras' MNIST, or is damaged",
    }
    assert found[content] in str(caught.value)
    assert "move it away, so that Keras downloads it again" in str(caught.value)
    assert caught.value.exit_code == 3
    assert file.exists()


def test_mnist_that_cannot_be_downloaded(keras_home):
    """Through the real Keras, in a process of its own; its download fails as it does offline."""
    program = """
        import sys, urllib.error
        import keras.src.utils.file_utils as files
        def fail(*_):
            raise urllib.error.URLError("offline")
        files.urlretrieve = fail
        from jaxreg.errors import UnavailableError
        from jaxreg.sources import open_source
        try:
            open_source("mnist")
        except UnavailableError as error:
            print(error, file=sys.stderr)
            sys.exit(error.exit_code)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert done.returncode == 3, done.stderr
    file = keras_home / "datasets" / "mnist.npz"
    assert f"MNIST is not in {file}, where Keras looks, and cannot be downloaded" in done.stderr
    assert "offline" in done.stderr
    assert f"put Keras' mnist.npz there by hand as {file}" in done.stderr
    assert done.stdout == ""  # Keras' own words must not stand beside a command's JSON


def test_mnist_has_no_use_for_options():
    assert "means nothing for mnist" in refusal("mnist", SourceOptions(steering_correction=0.1))
