"""An extraction that has little or nothing to do: images that lack nothing are read in runs."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.extract_config import Shard
from jaxreg.extraction import pixel_room
from jaxreg.extraction.pipeline import Task, extract
from jaxreg.extraction.read_ahead import RUN
from jaxreg.sources import pixels
from jaxreg.sources.images import find_in_folder
from test_extraction import AVG, FEATURE_SET, MeanEngine, drawn, run

COUNT = 5 * RUN + 7

WATCHED = """
import atexit, sys
atexit.register(lambda: print("LOADED", *sys.modules))
from jaxreg import cli, extract
sys.argv = ["jaxreg extract", *sys.argv[1:]]
cli.run_command(extract.main)
"""


def rows_kept(cache: Cache, images: list, digests: Sequence[str | None]) -> None:
    """Each image has the features that NumPy computes from it."""
    assert list(digests) == [hashlib_of(image) for image in images]
    found = cache.read(FEATURE_SET, [AVG], [str(digest) for digest in digests])
    np.testing.assert_allclose(found, [image.mean(axis=(0, 1)) for image in images], rtol=1e-6)


def hashlib_of(image: np.ndarray) -> str:
    header = f"{image.dtype.str}{image.shape}".encode()  # docs/cache.md
    return hashlib.sha256(header + image.tobytes()).hexdigest()


@pytest.mark.parametrize("batch_size", [2, 64])
@pytest.mark.parametrize(
    "lacking",
    [[], [0], [COUNT - 1], [RUN - 1, RUN], range(3, COUNT, 5), range(RUN, COUNT), range(COUNT)],
    ids=["none", "first", "last", "seam", "some", "later", "all"],
)
def test_what_is_missing_among_what_is_there(
    tmp_path: Path, lacking, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_room, "AHEAD_PIXELS", 200)  # two images, so threads have to wait
    images, cache = drawn(COUNT), Cache(tmp_path)
    run([image for row, image in enumerate(images) if row not in lacking], cache)
    outcome, engine = run(images, cache, batch_size=batch_size)
    assert len(engine.seen) == outcome.computed == len(lacking)
    assert (outcome.reused, outcome.failed) == (COUNT - len(lacking), [])
    rows_kept(cache, images, outcome.digests)


def test_a_broken_image_between_those_that_are_there(tmp_path: Path) -> None:
    images, cache = drawn(COUNT), Cache(tmp_path)
    run(images, cache)
    broken = {10: tmp_path / "absent.png", RUN: b"", COUNT - 1: b"no image"}
    shown = [broken.get(row, image) for row, image in enumerate(images)]
    outcome, engine = run(shown, cache)
    assert [row for row, _ in outcome.failed] == [10, RUN, COUNT - 1]
    assert outcome.failed[0][1] == "no such file"
    assert [row for row, digest in enumerate(outcome.digests) if digest is None] == list(broken)
    assert engine.seen == []


def test_progress_and_a_stop_while_nothing_is_computed(tmp_path: Path) -> None:
    images, cache = drawn(COUNT), Cache(tmp_path)
    run(images, cache)
    seen: list[int] = []
    task = Task(images, cache, FEATURE_SET, [AVG], batch_size=16)
    outcome = extract(
        task,
        MeanEngine,
        on_progress=lambda progress: seen.append(progress.seen),
        should_stop=lambda: len(seen) > 2,
    )
    assert outcome.stopped
    assert seen == sorted(seen)
    assert len(outcome.digests) == seen[-1] < COUNT


def test_other_shares_are_known_by_their_digest(tmp_path: Path) -> None:
    images, cache = drawn(COUNT), Cache(tmp_path)
    share = Shard(0, 2)
    first, _ = run(images, cache, shard=share)
    again, engine = run(images, cache, shard=share)
    assert again.digests == first.digests == [hashlib_of(image) for image in images]
    assert (first.computed, again.computed, engine.seen) == (again.reused, 0, [])


def test_links_in_a_circle_and_closed_folders_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    for name in ("b10.png", "b2.png", "deep/a.png", "deep/deeper/c.png", ".hidden/d.png", ".e.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "linked").symlink_to("deep")
    found = find_in_folder(tmp_path)
    assert found.links == ["linked"]
    names = sorted(str(path.relative_to(tmp_path)) for path in found.images)
    assert names == ["b10.png", "b2.png", "circle.png", "deep/a.png", "deep/deeper/c.png"]


def test_an_extraction_with_nothing_to_do_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    """Neither a network nor what other libraries import beside: each takes a tenth of a second."""
    images, cache = tmp_path / "photos", Cache(tmp_path / "cache")
    images.mkdir()
    recipe, column = Recipe(weights="random:0:v1", weights_tag="random0"), Column()
    digests = []
    for number in range(3):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(images / f"{number}.png")
        content = (images / f"{number}.png").read_bytes()
        digests.append(hashlib.sha256(content).hexdigest())
    cache.make_feature_set(recipe, None)
    cache.add(recipe.feature_set, column, digests, np.zeros((3, 2048), np.float32))
    words = [sys.executable, "-c", WATCHED, str(images), "--weights", "random"]
    words += ["--cache", str(cache.root)]
    for computed in ("", "nothing to compute"):  # the first one makes the thumbnails
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert computed in done.stderr
    loaded = set(done.stdout[done.stdout.rindex("LOADED") :].split())
    heavy = {"tensorflow", "keras", "openvino", "jax", "pandas", "pyarrow.compute", "h5py"}
    assert loaded & heavy == {"h5py"}


@pytest.mark.parametrize("most", [2**18, 3])
def test_the_file_of_many_rows_is_read_once(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows give what they would with files of their own; a forgotten file is read again."""
    monkeypatch.setattr("jaxreg.extraction.read_files.MOST_FILES", most)
    files = [*(tmp_path / f"{number}.png" for number in range(4)), tmp_path / "absent.png"]
    for path, image in zip(files[:3], drawn(3), strict=False):
        Image.fromarray(image).save(path)
    files[3].write_bytes(b"no image")
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(5), 60))
    asked: list[Path] = []
    read = pixels._read_file
    monkeypatch.setattr(pixels, "_read_file", lambda path: [asked.append(path), read(path)][1])
    for _ in range(2):
        asked.clear()
        outcome, _ = run([files[number] for number in order], Cache(tmp_path / "cache"))
        hashed = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files[:3]]
        wanted = [hashed[number] if number < 3 else None for number in order]
        assert outcome.digests == wanted
        reasons = dict(outcome.failed)
        assert sorted(reasons) == np.flatnonzero(order >= 3).tolist()
        for number in (3, 4):
            assert len({reasons[row] for row in np.flatnonzero(order == number).tolist()}) == 1
        at_one_moment = 8 * len(files)  # as many threads as may read
        assert len(asked) > 100 if most == 3 else len(asked) <= at_one_moment
