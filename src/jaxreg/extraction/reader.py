"""Reading images: bytes, digest and, where features are missing, pixels."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from jaxreg.backbone.int8 import some
from jaxreg.cache.recipe import Column
from jaxreg.extract_config import Shard
from jaxreg.extraction.pixel_room import NoRoom, Room
from jaxreg.extraction.read_files import Opened, ReadFiles
from jaxreg.sources import pixels
from jaxreg.sources.depth import Depth, Range
from jaxreg.sources.encoded import Wait
from jaxreg.sources.examples import Image

MOST_BYTES = 2**20  # a run ends behind a file of more: a thread holds one large file at a time


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


@dataclass(frozen=True)
class Known:
    """What the cache is known to hold, and which images a process has taken on since."""

    present: Mapping[Column, set[str]]  # digests
    thumbnails: set[str]
    claimed: set[str] = field(default_factory=set)
    files: ReadFiles = field(default_factory=ReadFiles)  # read by this process

    @cached_property
    def complete(self) -> set[str]:
        """The digests that lack nothing."""
        return self.thumbnails.intersection(*self.present.values())


class Reader:
    """Reads and hashes every image, and decodes each distinct one that lacks features.

    The file of several rows is read once. Images of other shares are read and hashed only, because
    their digest decides the share.
    """

    def __init__(
        self,
        known: Known,
        smallest: int,
        shard: Shard,
        limits: Range | None = None,
    ) -> None:
        self.present, self.thumbnails, self.smallest = known.present, known.thumbnails, smallest
        self.shard, self.limits = shard, limits
        self.complete, self.claimed = known.complete, known.claimed
        self.files = known.files
        self.room = Room()
        self.lock = threading.Lock()
        self.read: Callable[[Image], bytes | np.ndarray] = pixels.read
        self.opened: dict[int, Opened] = {}  # by row: there was no room for their pixels

    def one(self, images: Sequence[Image], rows: range) -> list[ReadImage]:
        """A single image, when there is room for its pixels."""
        row = rows[0]
        opened = self.opened.pop(row, None) or self._open(images[row])
        return [self._decode(opened, partial(self.room.take, row))]

    def few(self, images: Sequence[Image], rows: range) -> list[ReadImage]:
        """The first of these images, up to one for whose pixels there is no room now."""
        opened: list[Opened] = []
        for row in rows:
            opened.append(self._open(images[row]))
            if opened[-1].size > MOST_BYTES:
                break
        found: list[ReadImage] = []
        with suppress(NoRoom):
            for row, its in zip(rows, opened, strict=False):
                found.append(self._decode(its, partial(self.room.take_now, row)))
        self.opened.update(zip(rows[len(found) :], opened[len(found) :], strict=False))
        return found

    def _open(self, image: Image) -> Opened:
        return self.files.open(image, self._taken, self.read)

    def _taken(self, digest: str) -> bool:
        """Whether nothing is to be done for an image: it lacks nothing, or is another's."""
        return digest in self.claimed or digest in self.complete or not self.shard.has(digest)

    def _decode(self, opened: Opened, wait: Wait) -> ReadImage:
        begin = time.perf_counter() - opened.seconds
        content, digest, reason, _ = opened
        rgb = small = depth = None
        lacking: tuple[Column, ...] = ()
        if content is not None and digest is not None:
            with self.lock:
                mine = self.shard.has(digest) and digest not in self.claimed
                self.claimed.add(digest)
            needs_thumbnail = digest not in self.thumbnails
            lacking = tuple(c for c, digests in self.present.items() if digest not in digests)
            try:
                if mine and (needs_thumbnail or lacking):
                    decoded, depth = pixels.decode_deep(content, self.limits, wait)
                    pixels.refuse_small(decoded, self.smallest)
                    rgb = decoded if lacking else None
                    small = pixels.thumbnail(decoded) if needs_thumbnail else None
            except NoRoom:
                with self.lock:
                    self.claimed.discard(digest)
                raise
            except pixels.UnusableImage as error:
                reason = str(error)
        return ReadImage(digest, lacking, rgb, small, reason, depth, time.perf_counter() - begin)

    def known(self, images: Sequence[Image], rows: range) -> KnownImages:
        """The first of these images, up to one that lacks something or cannot be read."""
        begin = time.perf_counter()
        digests = []
        for row in rows:
            digest = self.files.open(images[row], lambda _: True, self.read).digest
            if digest is None or (digest not in self.complete and self.shard.has(digest)):
                break
            digests.append(digest)
        return KnownImages(digests, time.perf_counter() - begin)


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
