"""Shares of an extraction: any number of processes fill one cache, as one of them would."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.parts import is_part, read_part
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.extract_config import Shard

PROGRAM = textwrap.dedent(
    """
    import json, sys, time
    sys.path.insert(0, sys.argv[1])
    from test_extraction import MeanEngine
    import jaxreg
    from jaxreg.errors import JaxregError
    from jaxreg.extraction import network_choice, pipeline

    class Slow(MeanEngine):
        def features(self, images):
            time.sleep(float(sys.argv[2]))
            return super().features(images)

    pipeline.FIRST_PART_SECONDS = pipeline.LAST_PART_SECONDS = 0.0
    network_choice.load_engine = lambda *asked, **more: Slow()
    shard = sys.argv[3] if len(sys.argv) > 3 else None
    try:
        done = jaxreg.extract_features(
            "../photos", name="photos", weights="random", batch_size=4, shard=shard, max_failed=0.1
        )
        print(json.dumps([done.images, done.computed, done.failed, done.change]))
    except JaxregError as error:
        print(json.dumps([error.exit_code, str(error)]))
    """
)


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A folder of 200 photos, some of them alike or broken, and two places to work in."""
    rng = np.random.default_rng(3)
    for name in ("photos", "single", "shared"):
        (tmp_path / name).mkdir()
    for number in range(200):
        path = tmp_path / "photos" / f"{number:03d}.png"
        Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)).save(path)
    whole = (tmp_path / "photos" / "000.png").read_bytes()
    for name in ("copy", "other-copy"):
        (tmp_path / "photos" / f"{name}.png").write_bytes(whole)
    for cut in range(30, 36):  # six that cannot be decoded, of both shares
        (tmp_path / "photos" / f"cut-{cut}.png").write_bytes(whole[:-cut])
    return tmp_path


def start(place: Path, seconds: float, *shard: str) -> subprocess.Popen:
    words = [sys.executable, "-c", PROGRAM, os.path.dirname(__file__), str(seconds), *shard]
    return subprocess.Popen(words, cwd=place, stdout=subprocess.PIPE, text=True)


def end(child: subprocess.Popen):
    told, _ = child.communicate()
    return json.loads(told)


def digests_in_parts(cache: Cache) -> list[str]:
    parts = [entry.key for entry in cache.store.list("features") if is_part(entry.key)]
    tables = [read_part(cache.store, part) for part in parts]
    return [digest for table in tables for digest in table["digest"].to_pylist()]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_two_shards_killed_and_restarted_equal_a_single_run(places: Path) -> None:
    images, computed, failed, change = end(start(places / "single", 0.0))
    assert (images, computed, failed, change) == (202, 200, 6, "202 rows")
    single, shared = (Cache(places / name / "cache") for name in ("single", "shared"))

    children = [start(places / "shared", 0.05, f"{i}/2") for i in range(2)]
    while len(digests_in_parts(shared)) < 40:
        assert all(child.poll() is None for child in children)
        time.sleep(0.01)
    for child in children:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    there = digests_in_parts(shared)
    assert 40 <= len(there) < 200
    assert not list(Path(shared.root).glob("datasets/*"))  # nothing claims what is not there

    told = [end(child) for child in [start(places / "shared", 0.0, f"{i}/2") for i in range(2)]]
    assert sum(computed for _, computed, _, _ in told) == 200 - len(there)
    assert sum(images for images, _, _, _ in told) == 202
    assert sum(failed for _, _, failed, _ in told) == 6
    assert "202 rows" in [change[:8] for _, _, _, change in told]

    everything = digests_in_parts(shared)
    assert len(everything) == len(set(everything)) == 200  # none was computed twice
    for file in ("photos.parquet", "photos.failed.csv"):
        assert (Path(shared.root) / "datasets" / file).read_bytes() == (
            Path(single.root) / "datasets" / file
        ).read_bytes()
    dataset = read_dataset(single, "photos")
    one, other = (
        c.read(dataset.feature_set, dataset.columns, dataset.digests) for c in (single, shared)
    )
    assert np.array_equal(one, other)
    thumbnails = [c.read_thumbnails(dataset.digests) for c in (single, shared)]
    assert thumbnails[0] == thumbnails[1]


def test_a_share_that_ends_first_writes_no_dataset(places: Path) -> None:
    first = end(start(places / "shared", 0.0, "1/3"))
    assert first[3] == "not written: the share that ends last writes it"
    assert not (places / "shared" / "cache" / "datasets").exists()
    # the command without shares goes on from there too
    images, computed, failed, change = end(start(places / "shared", 0.0))
    assert (images, computed, failed, change) == (202, 200 - first[1], 6, "202 rows")


@pytest.mark.parametrize("text", ["2/2", "1", "a/2", "-1/2", "0/0", "1/2/3"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(InputError, match=rf"--shard is {text}\n  expected: I/N: share I of N"):
        Shard.parse(text)


def test_shares_are_disjoint_and_all_there_is() -> None:
    digests = [f"{number * 7919:064x}"[::-1] for number in range(1000)]
    for count in (1, 2, 3, 7):
        shares = [Shard(index, count) for index in range(count)]
        assert all(sum(share.has(digest) for share in shares) == 1 for digest in digests)
