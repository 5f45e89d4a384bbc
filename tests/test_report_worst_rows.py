"""The pictures of the worst rows: originals where they can be read, else thumbnails."""

import dataclasses
import io
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from jaxreg.cache import originals
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.parts import write_part
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.experiment.arrays import Experiment, load_experiment
from jaxreg.experiment.resolve import resolve
from jaxreg.extract_config import SourceOptions
from jaxreg.report import row_pictures, worst_rows
from jaxreg.report.row_pictures import RowPictures
from jaxreg.report.worst_rows import WorstRows
from jaxreg.sources.pixels import decode, digest, read, thumbnail
from planted_runs import edit_dataset, with_column

WIDE, HIGH = 400, 240


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine changes no test."""
    monkeypatch.setattr(row_pictures, "WAIT", 60.0)


@cache
def photo(number: int) -> bytes:
    """A JPEG whose top half is red, stored on its side as cameras do."""
    upright = Image.new("RGB", (WIDE, HIGH), (0, 0, number))
    upright.paste((255, 0, 0), (0, 0, WIDE, HIGH // 2))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it 90° clockwise to see it upright
    file = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", exif=exif)
    return file.getvalue()


@pytest.fixture
def photos(planted: Path) -> Path:
    """The planted dataset with a photo for each row; returns the folder of photos."""
    folder = planted.parent / "photos"
    folder.mkdir()
    contents = [photo(number) for number in range(240)]
    paths = [folder / f"{number}.jpg" for number in range(240)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    cache, column, digests = Cache(planted), Column(), [digest(content) for content in contents]
    dataset = read_dataset(cache, "planted")
    features = cache.read(dataset.feature_set, [column], dataset.digests)
    cache.add(dataset.feature_set, column, digests, np.asarray(features))
    small = pa.array([thumbnail(decode(contents[0]))] * 240)
    write_part(cache.store, cache.thumbnails(), pa.table({"digest": digests, "jpeg": small}))
    table = with_column(dataset.table, "digest", pa.array(digests, pa.string()))
    edit_dataset(planted, table=table.append_column("path", pa.array(map(str, paths), pa.string())))
    return folder


def experiment_of(planted: Path, **options) -> Experiment:
    cache = Cache(planted)
    return load_experiment(resolve(cache, read_dataset(cache, "planted"), options))


def worst(experiment: Experiment) -> list[worst_rows.WorstRow]:
    found = WorstRows(experiment, experiment.y * 0)
    lists = found.lists(RowPictures(experiment, found.rows))
    return [row for _, _, rows in lists for row in rows]


def opened(row: worst_rows.WorstRow) -> Image.Image:
    assert row.picture is not None
    return Image.open(io.BytesIO(row.picture))


def test_the_originals_are_shown_upright_and_larger_than_thumbnails(photos: Path) -> None:
    rows = worst(experiment_of(photos.parent / "cache"))
    assert [row.lost for row in rows] == [""] * 12
    for row in rows:
        picture = opened(row)
        assert picture.size == (WIDE, HIGH)
        assert np.asarray(picture)[20, 300, 0] > 240  # red is above
        assert np.asarray(picture)[220, 300, 0] < 15
        blue = int(np.asarray(picture)[220, 300, 2])
        assert abs(blue - int(row.id.removeprefix("row-"))) < 12  # the photo of this row


def test_more_pictures_are_smaller_so_that_the_page_stays_small(photos: Path) -> None:
    rows = worst(experiment_of(photos.parent / "cache", target=("angle", "speed"), test=0.2))
    assert len(rows) == 48
    assert {opened(row).size for row in rows} == {
        (320, 192)
    }  # 640 at most, and a fourth of its pixels


def test_a_picture_of_many_bytes_is_made_smaller_until_it_fits(
    monkeypatch: pytest.MonkeyPatch, photos: Path
) -> None:
    monkeypatch.setattr(row_pictures, "BYTES", 12 * 2_000)
    rows = worst(experiment_of(photos.parent / "cache"))
    for row in rows:
        assert row.picture is not None
        assert len(row.picture) <= 2_000
        assert 160 <= max(opened(row).size) < WIDE


def test_an_original_that_is_gone_or_another_now_gives_the_thumbnail(photos: Path) -> None:
    experiment = experiment_of(photos.parent / "cache")
    first, second, *_ = (row.id.removeprefix("row-") for row in worst(experiment))
    (photos / f"{first}.jpg").unlink()
    (photos / f"{second}.jpg").write_bytes(photo(255))
    gone, changed, *others = worst(experiment)
    assert gone.lost == "no such file"
    assert changed.lost == "images of planted have changed since"
    assert opened(gone).size == opened(changed).size == (160, 96)
    assert {row.lost for row in others} == {""}


def test_a_source_that_does_not_answer_holds_nothing_up(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(row_pictures, "WAIT", 0.01)
    monkeypatch.setattr(originals, "read", lambda path: answers.wait() and b"")
    try:
        rows = worst(experiment_of(photos.parent / "cache"))
        assert {row.lost for row in rows} == {row_pictures.SLOW}
        assert {opened(row).size for row in rows} == {(160, 96)}
    finally:
        answers.set()


def test_an_original_of_too_many_pixels_or_that_breaks_a_decoder_costs_only_itself(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_pictures, "MOST_PIXELS", WIDE * HIGH - 1)
    experiment = experiment_of(photos.parent / "cache")
    assert {row.lost for row in worst(experiment)} == {
        "it has 96,000 pixels; a page takes at most 95,999"
    }
    monkeypatch.setattr(row_pictures, "decode_deep", lambda *_: 1 / 0)
    assert {row.lost for row in worst(experiment)} == {"ZeroDivisionError"}


def test_a_thumbnail_as_large_as_the_image_is_no_loss(planted: Path) -> None:
    """The planted thumbnails have 6 x 4 pixels, and no row has an image."""
    rows = worst(experiment_of(planted))
    assert {row.lost for row in rows} == {""}
    assert {opened(row).size for row in rows} == {(6, 4)}


def test_only_a_drawn_source_is_opened_again(photos: Path, monkeypatch) -> None:
    def refuse(*words, **options):
        raise AssertionError("opened")

    planted = photos.parent / "cache"
    edit_dataset(planted, table=lambda dataset: dataset.table.drop_columns(["path"]))
    monkeypatch.setattr(originals, "open_source", refuse)
    experiment = experiment_of(planted)
    for kind in ("npz", "parquet", "mnist", "memory"):
        source = {"kind": kind, "location": "somewhere"}
        experiment = dataclasses.replace(
            experiment, dataset=dataclasses.replace(experiment.dataset, source=source)
        )
        assert {row.lost for row in worst(experiment)} == {
            "jaxreg reads this kind of source only as a whole"
        }


def test_frames_of_the_road_are_drawn_again() -> None:
    from jaxreg.sources import open_source

    examples = open_source("road:3", SourceOptions())
    images = list(examples.images)
    road: Any = SimpleNamespace(
        name="road",
        opened="road:3",
        options=SourceOptions(),
        source=examples.description,
        table=pa.table({"id": examples.ids, "digest": [digest(read(image)) for image in images]}),
    )
    found = originals.Originals(road, quick=True).read(2)
    assert np.array_equal(decode(found), decode(read(images[2])))


def test_a_report_reads_originals_without_a_network() -> None:
    program = (
        "import sys\n"
        "import jaxreg.report.page\n"
        "from jaxreg.extract_config import SourceOptions\n"
        "from jaxreg.sources import open_source, pixels\n"
        "pixels.decode(pixels.read(open_source('road:1', SourceOptions()).images[0]))\n"
        "print(sorted({'tensorflow', 'keras'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
