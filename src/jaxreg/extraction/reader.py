"""Reading images ahead of the network: bytes, digest and, where features are missing, pixels."""

import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxreg.backbone.int8 import some
from jaxreg.cache.recipe import Column
from jaxreg.extract_config import Shard
from jaxreg.sources import pixels
from jaxreg.sources.depth import Depth, Range
from jaxreg.sources.examples import Image

AHEAD_PIXELS = 2**26  # decoded pixels that wait for the network, over all images
LARGE_PIXELS = 2**24  # an image of more is decoded alone
RUN = 64  # images that one call of a thread reads and hashes while none lacks anything


@dataclass(frozen=True)
class ReadImage:
    """One example after reading."""

    digest: str | None
    lacking: tuple[Column, ...]  # the columns that this reading must fill
    rgb: np.ndarray | None  # only where a column lacks it
    thumbnail: bytes | None  # only where it is missing
    reason: str | None  # why it cannot be used
    depth: Depth | None  # of an image that was decoded now
    seconds: float


@dataclass(frozen=True)
class KnownImages:
    """Examples in a row, after reading, of which the cache has all that is asked for."""

    digests: list[str]
    seconds: float


class Reader:
    """Reads and hashes every image, and decodes each distinct one that lacks features.

    Images of other shares are read and hashed only, because their digest decides the share.
    """

    def __init__(
        self,
        present: dict[Column, set[str]],
        thumbnails: set[str],
        smallest: int,
        shard: Shard,
        limits: Range | None = None,
    ) -> None:
        self.present, self.thumbnails, self.smallest = present, thumbnails, smallest
        self.shard, self.limits = shard, limits
        self.complete = thumbnails.intersection(*present.values())
        self.room = _Room()
        self.claimed: set[str] = set()
        self.lock = threading.Lock()

    def __call__(self, images: Sequence[Image], row: int) -> ReadImage:
        begin = time.perf_counter()
        digest = rgb = small = reason = depth = None
        lacking: tuple[Column, ...] = ()
        try:
            content = pixels.read(images[row])
            digest = pixels.digest(content)
            with self.lock:
                mine = self.shard.has(digest) and digest not in self.claimed
                self.claimed.add(digest)
            needs_thumbnail = digest not in self.thumbnails
            lacking = tuple(c for c, digests in self.present.items() if digest not in digests)
            if mine and (needs_thumbnail or lacking):
                decoded, depth = pixels.decode_deep(
                    content, self.limits, lambda count: self.room.take(row, count)
                )
                pixels.refuse_small(decoded, self.smallest)
                rgb = decoded if lacking else None
                small = pixels.thumbnail(decoded) if needs_thumbnail else None
        except pixels.UnusableImage as error:
            reason = str(error)
        return ReadImage(digest, lacking, rgb, small, reason, depth, time.perf_counter() - begin)

    def known(self, images: Sequence[Image], rows: range) -> KnownImages:
        """The first of these images, up to one that lacks something or cannot be read."""
        begin = time.perf_counter()
        digests = []
        with suppress(pixels.UnusableImage):  # read once more, the image gives its reason
            for row in rows:
                digest = pixels.digest(pixels.read(images[row]))
                if digest not in self.complete and self.shard.has(digest):
                    break
                digests.append(digest)
        return KnownImages(digests, time.perf_counter() - begin)


class _Room:
    """A bound on decoded pixels. The image that is needed next always has room."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: dict[int, int] = {}  # pixels by the number of the example
        self._next = 0
        self._closed = False

    def take(self, row: int, count: int) -> None:
        """Wait until `count` pixels fit, or until example `row` is needed next."""
        with self._changed:
            self._changed.wait_for(lambda: self._fits(row, count))
            self._taken[row] = count

    def _fits(self, row: int, count: int) -> bool:
        if row <= self._next or self._closed:
            return True
        return count <= LARGE_PIXELS and count + sum(self._taken.values()) <= AHEAD_PIXELS

    def release(self, row: int) -> None:
        """Example `row` is consumed; the one behind it is needed next."""
        with self._changed:
            self._taken.pop(row, None)
            self._next = row + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing waits from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@dataclass(frozen=True)
class Sample:
    """At most `count` of the images, spread evenly; each pass decodes them again.

    A sample leaves out images that cannot be used or have a side of fewer than `smallest` pixels.
    With several views it shows each image in one of them, in turn.
    """

    images: Sequence[Image]
    count: int
    smallest: int = 1
    views: Sequence[str] = ("identity",)
    limits: Range | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        rows = some(range(len(self.images)), self.count)
        for row, view in zip(rows, itertools.cycle(self.views), strict=False):
            try:
                rgb = pixels.decode(pixels.read(self.images[row]), self.limits)
                pixels.refuse_small(rgb, self.smallest)
            except pixels.UnusableImage:
                continue
            yield pixels.viewed(rgb, view)


class _ReadAhead:
    """Images in the order of their rows, while threads read further.

    A run of images that lack nothing is one task, because a task costs more than to read and hash a
    small image. Runs take turns with tasks of one image each. Only the latter wait for room, and
    each of them is given to the threads after those of all earlier rows. So the one whose image is
    needed next has a thread, and the others cannot wait for ever.
    """

    def __init__(
        self, reader: Reader, images: Sequence[Image], ahead: int, threads: ThreadPoolExecutor
    ) -> None:
        self.reader, self.images, self.threads = reader, images, threads
        self.ahead = ahead
        self.waiting: deque[tuple[range, Future[Any]]] = deque()
        self.submitted = self.taken = 0  # rows
        self.runs = 0  # under way
        self.complete = ahead if reader.complete else 0  # images in a row that lacked nothing

    def __iter__(self) -> Iterator[ReadImage | KnownImages]:
        while self.taken < len(self.images):
            self._submit_more()
            rows, future = self.waiting.popleft()
            item = future.result()
            if isinstance(item, KnownImages):
                self.runs -= 1
                self._one_by_one(rows[len(item.digests) :])
                if item.digests:
                    yield item
                self._take(len(item.digests))
            else:
                lacked = item.digest not in self.reader.complete
                self.complete = 0 if lacked else self.complete + 1
                yield item
                self._take(1)

    def _submit_more(self) -> None:
        in_runs = self.complete >= self.ahead
        ahead = max(self.ahead, 8 * RUN) if in_runs else self.ahead
        while self.submitted < min(self.taken + ahead, len(self.images)):
            if not in_runs and self.runs:
                return  # their images that lack something come first
            rows = range(self.submitted, min(self.submitted + RUN, len(self.images)))
            if in_runs:
                self.runs += 1
                self.waiting.append(
                    (rows, self.threads.submit(self.reader.known, self.images, rows))
                )
                self.submitted = rows.stop
            else:
                self.waiting.append(self._one(self.submitted))
                self.submitted += 1

    def _one(self, row: int) -> tuple[range, Future[Any]]:
        return range(row, row + 1), self.threads.submit(self.reader, self.images, row)

    def _one_by_one(self, rows: range) -> None:
        """Put these rows, which a run has left, before all others."""
        if rows:
            self.complete = 0
            self.waiting.extendleft(reversed([self._one(row) for row in rows]))

    def _take(self, count: int) -> None:
        self.taken += count
        if count:
            self.reader.room.release(self.taken - 1)

    def close(self) -> None:
        """Nothing waits from now on, and what has not begun never does."""
        self.reader.room.close()
        for _, future in self.waiting:
            future.cancel()


def read_ahead(
    reader: Reader, images: Sequence[Image], ahead: int
) -> Iterator[ReadImage | KnownImages]:
    """Every example in order, while threads read at most `ahead` examples further.

    Images that lack nothing come several at a time, and threads may be further ahead with them.
    Decoded pixels stay within AHEAD_PIXELS and the image that is needed next. An image of more
    than LARGE_PIXELS is decoded only when it is that one.
    """
    workers = min(8, (os.cpu_count() or 1) + 1)
    with ThreadPoolExecutor(workers, "reader") as threads:
        reading = _ReadAhead(reader, images, ahead, threads)
        try:
            yield from reading
        finally:
            reading.close()
