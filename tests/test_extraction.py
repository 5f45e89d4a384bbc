"""The pipeline from examples to parts, with an engine that counts what it is asked for."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from PIL import Image

import jaxreg
from cache_files import part_paths
from jaxreg.cache.parts import list_parts, read_part
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.extraction import pipeline
from jaxreg.extraction.pipeline import Outcome, Task, extract
from jaxreg.extraction.reader import Sample
from jaxreg.sources import pixels
from typed import given

FEATURE_SET = "test-features"
AVG, MAX = Column(), Column(pool="max")


class MeanEngine:
    """Features = mean and greatest colour: a stand-in whose results are known."""

    name = "mean"
    parallel = 1

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def compile(self, image: np.ndarray, batch: int) -> None:
        pass

    def features(self, images) -> dict[str, np.ndarray]:
        self.seen += list(images)
        return {
            AVG.name: np.stack([rgb.mean(axis=(0, 1)) for rgb in images]).astype(np.float32),
            MAX.name: np.stack([rgb.max(axis=(0, 1)) for rgb in images]).astype(np.float32),
        }


def drawn(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (8, 12, 3), dtype=np.uint8) for _ in range(count)]


def run(images, cache: Cache, columns=(AVG,), **options):
    engine = MeanEngine()
    outcome = extract(Task(images, cache, FEATURE_SET, columns, **options), lambda: engine)
    return outcome, engine


def digests_of(outcome: Outcome) -> list[str]:
    """Of images that are all usable."""
    return [given(digest) for digest in outcome.digests]


def test_features_belong_to_their_images(tmp_path) -> None:
    images, cache = drawn(150), Cache(tmp_path)
    outcome, _ = run(images, cache, batch_size=16)
    assert (outcome.computed, outcome.reused, outcome.failed) == (150, 0, [])
    assert outcome.digests == [pixels.digest(image) for image in images]
    expected = np.stack([image.mean(axis=(0, 1)) for image in images])  # by hand, in NumPy
    found = cache.read(FEATURE_SET, [AVG], digests_of(outcome))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_second_run_never_loads_the_engine(tmp_path) -> None:
    images, cache = drawn(10), Cache(tmp_path)
    run(images, cache)

    def must_not_load():
        raise AssertionError("the engine was loaded")

    outcome = extract(Task(images, cache, FEATURE_SET, [AVG]), must_not_load)
    assert (outcome.computed, outcome.reused) == (0, 10)


def test_only_what_is_missing_is_computed(tmp_path) -> None:
    images, cache = drawn(20), Cache(tmp_path)
    run(images[:15], cache)
    outcome, engine = run(images, cache)
    assert (outcome.computed, outcome.reused, len(engine.seen)) == (5, 15, 5)
    changed = [image.copy() for image in images]
    changed[7][3, 3, 0] ^= 1
    outcome, engine = run(changed, cache)
    assert (outcome.computed, len(engine.seen)) == (1, 1)


def test_one_more_column_leaves_the_others_alone(tmp_path) -> None:
    images, cache = drawn(5), Cache(tmp_path)
    run(images, cache)
    before = part_paths(cache, FEATURE_SET, AVG)
    outcome, _ = run(images, cache, columns=(AVG, MAX))
    assert outcome.computed == 5
    assert part_paths(cache, FEATURE_SET, AVG) == before
    assert len(part_paths(cache, FEATURE_SET, MAX)) == 1


class LeftEngine(MeanEngine):
    """Feature = the colour of the left edge, which a flip changes. It knows nothing of views."""

    def features(self, images) -> dict[str, np.ndarray]:
        self.seen += list(images)
        return {AVG.name: np.stack([rgb[:, 0].mean(axis=0) for rgb in images]).astype(np.float32)}


def test_each_view_is_a_column_computed_where_it_is_missing(tmp_path) -> None:
    images, cache, mirror = drawn(20), Cache(tmp_path), Column(view="mirror")

    def run_views(images, *columns: Column):
        engine = LeftEngine()
        return extract(
            Task(images, cache, FEATURE_SET, columns, batch_size=6), lambda: engine
        ), engine

    run_views(images[:8], AVG)
    outcome, engine = run_views(images, AVG, mirror)
    # 12 images in both views, 8 in the one that was missing; batches hold no more than was asked
    assert (outcome.computed, outcome.reused, len(engine.seen)) == (20, 0, 32)
    for column, edge in ((AVG, 0), (mirror, -1)):
        expected = np.stack([image[:, edge].mean(axis=0) for image in images])  # by hand
        found = cache.read(FEATURE_SET, [column], digests_of(outcome))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    outcome, engine = run_views(images, AVG, mirror)
    assert (outcome.computed, outcome.reused, engine.seen) == (0, 20, [])


def test_views_of_an_image_are_computed_in_one_batch(tmp_path) -> None:
    sizes = []

    class Watching(LeftEngine):
        def features(self, images):
            sizes.append(len(images))
            return super().features(images)

    columns = [AVG, Column(view="mirror")]
    extract(Task(drawn(8), Cache(tmp_path), FEATURE_SET, columns, batch_size=5), Watching)
    assert sizes == [4, 4, 4, 4]


def test_int8_is_calibrated_on_the_views_asked_for() -> None:
    images = drawn(6)
    sample = list(Sample(images, 4, views=("identity", "mirror")))
    expected = [images[0], images[2][:, ::-1], images[3], images[5][:, ::-1]]
    assert len(sample) == 4
    assert all(map(np.array_equal, sample, expected))


def test_an_image_that_stands_twice_is_computed_once(tmp_path) -> None:
    images = drawn(3)
    outcome, engine = run([*images, *images], Cache(tmp_path))
    assert (len(engine.seen), outcome.computed, outcome.reused) == (3, 3, 0)


def test_broken_images_are_named_and_never_become_numbers(tmp_path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(drawn(1)[0]).save(buffer, "PNG")
    good, broken = buffer.getvalue(), buffer.getvalue()[:-30]
    outcome, engine = run([broken, good, tmp_path / "none.png", broken], Cache(tmp_path / "cache"))
    assert [row for row, _ in outcome.failed] == [0, 2, 3]
    reasons = dict(outcome.failed)
    assert reasons[2] == "no such file"
    assert reasons[0] == reasons[3]
    assert "broken PNG" in reasons[0]
    assert (outcome.digests[0], outcome.digests[2], outcome.digests[3]) == (None, None, None)
    assert len(engine.seen) == 1


def test_an_image_too_small_for_the_network_fails_by_itself(tmp_path) -> None:
    images = [*drawn(2), np.zeros((8, 5, 3), np.uint8)]
    outcome, _ = run(images, Cache(tmp_path), smallest=6)
    assert outcome.failed == [(2, "8x5 pixels; at least 6 each way are needed")]
    assert outcome.computed == 2


def test_a_damaged_part_is_set_aside_and_computed_again(tmp_path) -> None:
    images, cache = drawn(4), Cache(tmp_path)
    outcome, _ = run(images, cache)
    part = part_paths(cache, FEATURE_SET, AVG)[0]
    part.write_bytes(b"\0" + part.read_bytes()[1:])
    reported = []
    outcome, engine = run(images, cache, on_damage=reported.append)
    assert (outcome.computed, len(engine.seen)) == (4, 4)
    assert reported == [f"{part}.bad"]
    assert cache.read(FEATURE_SET, [AVG], digests_of(outcome)).shape == (4, 3)


def test_what_was_computed_before_an_error_is_kept(tmp_path) -> None:
    images, cache = drawn(12), Cache(tmp_path)

    class Failing(MeanEngine):
        def features(self, images):
            if self.seen:
                raise InputError("the network is on fire")
            return super().features(images)

    engine = Failing()
    with pytest.raises(InputError, match="on fire"):
        extract(Task(images, cache, FEATURE_SET, [AVG], batch_size=8), lambda: engine)
    outcome, _ = run(images, cache)
    assert (outcome.computed, outcome.reused) == (4, 8)


def test_a_stop_keeps_what_was_computed(tmp_path) -> None:
    images, cache = drawn(40), Cache(tmp_path)
    engine = MeanEngine()
    outcome = extract(
        Task(images, cache, FEATURE_SET, [AVG], batch_size=8),
        lambda: engine,
        should_stop=lambda: bool(engine.seen),
    )
    assert outcome.stopped
    assert outcome.computed == len(engine.seen) < 40  # what was under way is kept too
    assert run(images, cache)[0].reused == outcome.computed


def test_batches_side_by_side_stay_with_their_images(tmp_path) -> None:
    """The first of each pair takes longer, so that results come back in another order."""

    class Uneven(MeanEngine):
        parallel = 2

        def features(self, images):
            time.sleep(0.02 if np.array_equal(images[0], first) else 0.0)
            return super().features(images)

    images, cache = drawn(50), Cache(tmp_path)
    first = images[0]
    outcome = extract(Task(images, cache, FEATURE_SET, [AVG], batch_size=8), Uneven)
    expected = np.stack([image.mean(axis=(0, 1)) for image in images])
    np.testing.assert_allclose(
        cache.read(FEATURE_SET, [AVG], digests_of(outcome)), expected, rtol=1e-6
    )
    assert 0 < outcome.seconds.compute <= outcome.seconds.total


def test_a_column_keeps_its_own_dtype(tmp_path) -> None:
    images, cache = drawn(6), Cache(tmp_path)
    run(images[:3], cache, dtype="float16")
    outcome, _ = run(images, cache, columns=(AVG, MAX), dtype="float32")
    assert cache.read(FEATURE_SET, [AVG], digests_of(outcome)).dtype == np.float16
    assert cache.read(FEATURE_SET, [MAX], digests_of(outcome)).dtype == np.float32


def test_a_batch_larger_than_a_part_is_cut(tmp_path) -> None:
    images = [np.full((1, 1 + i // 256, 3), i % 256, np.uint8) for i in range(1500)]
    run(images, cache := Cache(tmp_path), batch_size=1500)
    sizes = _sizes(cache)
    assert sorted(sizes) == [476, 1024]


def test_parts_come_later_and_later(monkeypatch) -> None:
    clock, sizes = [0.0], []
    monkeypatch.setattr("jaxreg.extraction.pipeline.time.monotonic", lambda: clock[0])

    def write(digests: list[str], _: list) -> str:
        sizes.append(len(digests))
        return ""

    writer = pipeline._PartWriter(write, pipeline.Seconds())
    for number in range(200):  # an image a second
        clock[0] += 1.0
        writer.add(str(number), None)
        writer.flush()
    writer.flush(force=True)
    # closed at the first image more than 5, 10, 20, 40, 60 seconds after a part's first
    assert sizes == [7, 12, 22, 42, 62, 55]


def test_thumbnails_are_kept_once(tmp_path) -> None:
    images, cache = drawn(3), Cache(tmp_path)
    outcome, _ = run(images, cache)
    run(images, cache, columns=(MAX,))
    assert len(list_parts(cache.store, cache.thumbnails())) == 1
    jpegs = cache.read_thumbnails(digests_of(outcome))
    assert set(jpegs) == set(digests_of(outcome))
    assert Image.open(io.BytesIO(jpegs[digests_of(outcome)[0]])).size == (12, 8)


def test_a_large_run_is_cut_into_parts_of_1024(tmp_path) -> None:
    images = [np.full((1, 1, 3), i // 2, np.uint8) * 1 for i in range(0, 512, 2)]
    images += [np.full((1, 2, 3), i, np.uint8) for i in range(256)]
    images += [np.full((h, 3, 3), i, np.uint8) for h in (1, 2, 3) for i in range(256)]
    cache = Cache(tmp_path)
    outcome, _ = run(images, cache)
    assert outcome.computed == 1280
    sizes = _sizes(cache)
    assert sorted(sizes) == [256, 1024]


def _sizes(cache: Cache) -> list[int]:
    keys = list_parts(cache.store, cache.folder(FEATURE_SET, AVG))
    return [read_part(cache.store, key).num_rows for key in keys]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_sigkill_at_random_moments_loses_at_most_the_open_part(tmp_path) -> None:
    program = textwrap.dedent(
        """
        import sys, time
        sys.path.insert(0, sys.argv[2])
        from test_extraction import MeanEngine, FEATURE_SET, AVG, drawn
        from jaxreg.extract_config import WHOLE
from jaxreg.extraction import pipeline
        from jaxreg.cache.store import Cache
        from pathlib import Path
        pipeline.FIRST_PART_SECONDS = pipeline.LAST_PART_SECONDS = 0.0
        class Slow(MeanEngine):
            def features(self, images):
                time.sleep(0.01)
                return super().features(images)
        print("ready", flush=True)
        task = pipeline.Task(drawn(400), Cache(Path(sys.argv[1])), FEATURE_SET, [AVG], batch_size=4)
        pipeline.extract(task, Slow)
        """
    )
    cache = Cache(tmp_path)
    rng = np.random.default_rng(int.from_bytes(os.urandom(4), "little"))
    before = 0
    for _ in range(6):
        command = [sys.executable, "-c", program, str(tmp_path), os.path.dirname(__file__)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.4))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        damaged: list = []
        present = cache.present(cache.folder(FEATURE_SET, AVG), damaged.append)
        assert not damaged
        assert len(present) >= before
        before = len(present)
    images = drawn(400)
    outcome, engine = run(images, cache)
    assert outcome.reused == before
    assert len(engine.seen) == 400 - before
    expected = np.stack([image.mean(axis=(0, 1)) for image in images])
    np.testing.assert_allclose(
        cache.read(FEATURE_SET, [AVG], digests_of(outcome)), expected, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"views": ("miror",)},
            r"no view 'miror'\n  expected: identity or mirror\n  try: --views mirror",
        ),
        ({"views": ("mirror",)}, r"--views is mirror\n  expected: identity among them: validation"),
        ({"views": ("identity", "identity")}, "each view once"),
        ({"shard": "4/4"}, r"--shard is 4/4\n  expected: I/N: share I of N, counted from 0"),
        (
            {"precision": "int8", "shard": "1/2", "weights": "random"},
            r"no network is calibrated yet\n  expected: one .*\n  try: start --shard 0/2 first",
        ),
    ],
)
def test_settings_that_cannot_be(tmp_path, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        jaxreg.extract_features("road:1", cache=tmp_path, **settings)
