"""Reading images ahead of the network: bytes, digest and, where features are missing, pixels."""

import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from jaxreg.backbone.int8 import some
from jaxreg.cache.recipe import Column
from jaxreg.extract_config import Shard
from jaxreg.sources import pixels
from jaxreg.sources.examples import Image

AHEAD_BYTES = 2**27  # decoded pixels that wait for the network


@dataclass(frozen=True)
class ReadImage:
    """One example after reading."""

    digest: str | None
    lacking: tuple[Column, ...]  # the columns that this reading must fill
    rgb: np.ndarray | None  # only where a column lacks it
    thumbnail: bytes | None  # only where it is missing
    reason: str | None  # why it cannot be used
    seconds: float


class Reader:
    """Reads and hashes every image, and decodes each distinct one that lacks features.

    Images of other shares are read and hashed only, because their digest decides the share.
    """

    def __init__(
        self, present: dict[Column, set[str]], thumbnails: set[str], smallest: int, shard: Shard
    ) -> None:
        self.present, self.thumbnails, self.smallest = present, thumbnails, smallest
        self.shard = shard
        self.claimed: set[str] = set()
        self.lock = threading.Lock()

    def __call__(self, images: Sequence[Image], row: int) -> ReadImage:
        begin = time.perf_counter()
        digest = rgb = small = reason = None
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
                decoded = pixels.decode(content)
                pixels.refuse_small(decoded, self.smallest)
                rgb = decoded if lacking else None
                small = pixels.thumbnail(decoded) if needs_thumbnail else None
        except pixels.UnusableImage as error:
            reason = str(error)
        return ReadImage(digest, lacking, rgb, small, reason, time.perf_counter() - begin)


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

    def __iter__(self) -> Iterator[np.ndarray]:
        rows = some(range(len(self.images)), self.count)
        for row, view in zip(rows, itertools.cycle(self.views), strict=False):
            try:
                rgb = pixels.decode(pixels.read(self.images[row]))
                pixels.refuse_small(rgb, self.smallest)
            except pixels.UnusableImage:
                continue
            yield pixels.viewed(rgb, view)


def read_ahead(reader: Reader, images: Sequence[Image], ahead: int) -> Iterator[ReadImage]:
    """Every example in order, while threads read at most `ahead` examples further.

    The threads read fewer large images ahead, so that pixels stay within about AHEAD_BYTES.
    """
    workers = min(8, (os.cpu_count() or 1) + 1)
    with ThreadPoolExecutor(workers, "reader") as threads:
        waiting: deque[Future[ReadImage]] = deque()
        limit = workers + 1  # until the size of the first image is known
        try:
            for row in range(len(images)):
                waiting.append(threads.submit(reader, images, row))
                while len(waiting) >= limit:
                    item = waiting.popleft().result()
                    size = item.rgb.nbytes if item.rgb is not None else 1
                    limit = max(workers + 1, min(ahead, AHEAD_BYTES // size))
                    yield item
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
