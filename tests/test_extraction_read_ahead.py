"""Threads that read ahead: the bound on decoded pixels, order, and runs of small images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from jaxreg.extract_config import WHOLE, Shard
from jaxreg.extraction.read_ahead import FEW, read_ahead
from jaxreg.extraction.reader import Known, Reader, ReadImage
from jaxreg.sources import pixels
from test_extraction import AVG, drawn


@pytest.mark.parametrize(("large", "most"), [(96, 2), (95, 1)])
def test_decoded_pixels_that_wait_are_bounded(monkeypatch, large: int, most: int) -> None:
    monkeypatch.setattr("jaxreg.extraction.pixel_room.AHEAD_PIXELS", 200)  # two images of 96 pixels
    monkeypatch.setattr("jaxreg.extraction.pixel_room.LARGE_PIXELS", large)
    images = drawn(12)
    reader = Reader(Known({AVG: set()}, set()), 1, WHOLE)
    held, take = [], reader.room.take

    def watched(row: int, count: int) -> None:
        take(row, count)
        held.append(len(reader.room._taken))

    monkeypatch.setattr(reader.room, "take", watched)
    read_all(reader, images, 6)
    assert max(held) <= most + 1  # the image that is needed next always has room


class Watched(Reader):
    """A reader that notes how many pixels it held, and how many images each run gave."""

    def __init__(self, shard: Shard = WHOLE) -> None:
        super().__init__(Known({AVG: set()}, set()), 1, shard)
        self.held: list[int] = []
        self.runs: list[tuple[int, int]] = []  # images asked for, and given
        add = self.room._add

        def watched(row: int, count: int) -> None:
            add(row, count)
            self.held.append(sum(self.room._taken.values()))

        self.room._add = watched

    def few(self, images: Sequence[Any], rows: range) -> list[ReadImage]:
        found = super().few(images, rows)
        self.runs.append((len(rows), len(found)))
        return found


def photos(count: int, large: int) -> list[np.ndarray]:
    """Images of 96 pixels, each fifth equal to one before, and each hundredth of `large`."""
    rng = np.random.default_rng(0)
    found: list[np.ndarray] = []
    for row in range(count):
        width = large // 8 if row % 100 == 98 else 12
        image = rng.integers(0, 256, (8, width, 3), dtype=np.uint8)
        found.append(found[row - 3] if row % 5 == 4 else image)
    return found


def read_all(reader: Reader, images: Sequence[Any], ahead: int) -> list[ReadImage]:
    """Every example, each in its place and each distinct one with its own pixels, once."""
    read = [item for item in read_ahead(reader, images, ahead) if isinstance(item, ReadImage)]
    digests = [pixels.digest(image) for image in images]
    assert [item.digest for item in read] == digests
    shown = [(item.digest, pixels.digest(item.rgb)) for item in read if item.rgb is not None]
    mine = {digest for digest in digests if reader.shard.has(digest)}
    assert sorted(shown) == sorted((digest, digest) for digest in mine)
    return read


@pytest.mark.parametrize("ahead", [6, 64, 192])
@pytest.mark.parametrize("room", [200, 1000, 2**26])
def test_small_images_are_read_in_runs_within_the_bound(monkeypatch, ahead: int, room: int) -> None:
    monkeypatch.setattr("jaxreg.extraction.pixel_room.AHEAD_PIXELS", room)
    monkeypatch.setattr("jaxreg.extraction.pixel_room.LARGE_PIXELS", 400)
    reader = Watched()
    read_all(reader, photos(900, large=480), ahead)
    assert max(reader.held) <= room + 480  # the image that is needed next always has room
    assert reader.room._sum == sum(reader.room._taken.values()) == 0
    assert reader.opened == {}
    most = min(FEW, ahead // 8)
    assert max((count for count, _ in reader.runs), default=0) == (most if most > 1 else 0)
    if room == 200 and reader.runs:  # a run of eight images ends before the third
        assert min(given for _, given in reader.runs) < most


def test_runs_leave_other_shares_and_tell_failures() -> None:
    images: list[Any] = photos(500, large=96)
    reader = Watched(Shard(0, 2))
    assert all(item.reason is None for item in read_all(reader, images, 64))
    broken = {300: b"no image", 301: b"", 450: "no kind of image"}
    shown = [broken.get(row, image) for row, image in enumerate(images)]
    read = list(read_ahead(Watched(), shown, 64))
    failed = [row for row, item in enumerate(read) if getattr(item, "reason", None)]
    assert failed == list(broken)


def test_a_run_ends_behind_a_large_file(monkeypatch) -> None:
    monkeypatch.setattr("jaxreg.extraction.reader.MOST_BYTES", 300)  # 8 rows of 12 pixels have 288
    reader = Watched()
    read_all(reader, photos(900, large=480), 64)
    assert any(given < count for count, given in reader.runs)


def test_large_images_are_read_one_by_one(monkeypatch) -> None:
    monkeypatch.setattr("jaxreg.extraction.read_ahead.SMALL_PIXELS", 95)
    reader = Watched()
    read_all(reader, photos(300, large=96), 32)
    assert reader.runs == []
