"""Full disks, read-only caches, files that change, two at once: each with the real thing."""

import io
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache_files import part_paths
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.sources import pixels
from test_extraction_shards import PROGRAM, end, places, start

__all__ = ["places"]  # a fixture

TESTS = os.path.dirname(__file__)


def can_mount(folder: Path) -> bool:
    """Whether this user may make a small file system of his own."""
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


DRIVER = textwrap.dedent(
    """
    import json, subprocess, sys
    from pathlib import Path
    program, tests = sys.argv[1:3]

    def mount(options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", "cache"], check=True)

    def extract():
        words = [sys.executable, "-c", program, tests, "0"]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return json.loads(told)

    def files(pattern):
        return sorted(str(path) for path in Path("cache").rglob(pattern))

    Path("cache").mkdir()
    """
)

FULL = """
mount("size=200k")
told = [extract(), files("*.tmp"), len(files("part-*"))]
mount("remount,size=20m")
print(json.dumps([*told, extract()]))
"""

READ_ONLY = """
mount("size=20m")
extract()
part = Path(files("features/*/*/part-*")[0])
content = part.read_bytes()
mount("remount,ro")
again = extract()
mount("remount,rw")
part.write_bytes(content[:-1])
mount("remount,ro")
damaged = extract()
mount("remount,rw")
print(json.dumps([again, damaged, extract()]))
"""

EMPTY_READ_ONLY = """
mount("size=20m,ro")
print(json.dumps(extract()))
"""


def in_own_file_system(place: Path, what: str):
    if not can_mount(place):
        pytest.skip("needs unshare and the right to mount a tmpfs in a namespace of its own")
    words = ["unshare", "-rm", sys.executable, "-c", DRIVER + what, PROGRAM, TESTS]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_full_disk_is_one_message_and_the_next_run_goes_on(places: Path) -> None:
    error, left, parts, again = in_own_file_system(places / "shared", FULL)
    assert error[0] == 2
    assert "cannot write cache/" in error[1]
    assert "No space left on device\n  try: free some space" in error[1]
    assert left == []  # nothing half written takes up room
    assert parts > 2
    images, computed, failed, change = again
    assert (images, failed, change) == (202, 6, "202 rows")
    assert computed < 200  # what was written before is kept


def test_a_read_only_cache_is_one_message(places: Path) -> None:
    again, damaged, mended = in_own_file_system(places / "shared", READ_ONLY)
    assert again[0] == 2
    assert "cannot write cache/datasets/photos" in again[1]
    assert "Read-only file system" in again[1]
    assert damaged[0] == 2
    assert "is damaged, and cannot be set aside: Read-only file system" in damaged[1]
    assert mended[0] == 202
    assert 0 < mended[1] < 200  # the damaged part's own images alone


def test_a_cache_that_cannot_be_made_is_one_message(places: Path) -> None:
    code, text = in_own_file_system(places / "shared", EMPTY_READ_ONLY)
    assert code == 2
    assert "cannot write cache/features/" in text


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """Every name is one file, which another process keeps rewriting in place, torn or not.

    A BMP's bytes are its pixels, so that even a torn one is an image. The features of a digest and
    its thumbnail are then of the same bytes, which are those that the digest is of.
    """
    for name in ("photos", "work"):
        (tmp_path / name).mkdir()
    contents = []
    for level in (20, 220):
        buffer = io.BytesIO()
        Image.fromarray(np.full((400, 400, 3), level, np.uint8)).save(buffer, "BMP")
        contents.append(buffer.getvalue())
    first = tmp_path / "photos" / "000.bmp"
    first.write_bytes(contents[0])
    for number in range(1, 150):
        os.link(first, tmp_path / "photos" / f"{number:03d}.bmp")
    rewrite = textwrap.dedent(
        """
        import sys
        contents = [bytes.fromhex(line) for line in sys.stdin]
        with open(sys.argv[1], "r+b", buffering=0) as file:
            while True:
                for content in contents:
                    file.seek(0)
                    for at in range(0, len(content), 4096):
                        file.write(content[at : at + 4096])
        """
    )
    words = [sys.executable, "-c", rewrite, str(first)]
    writer = subprocess.Popen(words, stdin=subprocess.PIPE, text=True)
    assert writer.stdin is not None
    try:
        writer.stdin.write("\n".join(content.hex() for content in contents))
        writer.stdin.close()
        while first.read_bytes() == contents[0]:
            time.sleep(0.01)
        images, computed, failed, _ = end(start(tmp_path / "work", 0.0))
    finally:
        writer.kill()
        writer.wait()
    assert images + failed == 150
    assert computed > 1
    cache = Cache(tmp_path / "work" / "cache")
    dataset = read_dataset(cache, "photos")
    jpegs = cache.read_thumbnails(dataset.digests)
    features = cache.read(dataset.feature_set, [Column()], dataset.digests)
    known = {
        pixels.digest(content): level for content, level in zip(contents, (20, 220), strict=True)
    }
    for digest, feature in zip(dataset.digests, features, strict=True):
        shown = np.asarray(Image.open(io.BytesIO(jpegs[digest])), np.float32)
        assert abs(feature.mean() - shown.mean()) < 3
        if digest in known:
            assert feature.tolist() == [known[digest]] * 3


def test_two_extractions_into_one_cache_at_once(places: Path) -> None:
    end(start(places / "single", 0.0))
    told = [end(child) for child in [start(places / "shared", 0.01) for _ in range(2)]]
    assert [one[:1] + one[2:3] for one in told] == [[202, 6], [202, 6]]
    single, shared = (Cache(places / name / "cache") for name in ("single", "shared"))
    dataset = read_dataset(shared, "photos")
    assert dataset == read_dataset(single, "photos")
    one, other = (
        c.read(dataset.feature_set, dataset.columns, dataset.digests) for c in (single, shared)
    )
    assert np.array_equal(one, other)
    assert not list(Path(shared.root).rglob("*.tmp"))
    assert part_paths(shared, dataset.feature_set, Column())
    _, computed, _, _ = end(start(places / "shared", 0.0))
    assert computed == 0
