"""The pictures of rows on a page: thumbnails of the cache, and originals of the most important.

Each thumbnail and each original is read once, whatever parts of the page show it.
"""

import io
import os
import threading
import time
from collections.abc import Iterable, Sequence

import numpy as np

from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.originals import Originals
from jaxreg.experiment.arrays import Experiment
from jaxreg.sources.depth import Range
from jaxreg.sources.pixels import THUMBNAIL, UnusableImage, decode_deep, thumbnail

LARGE = 640  # pixels of the longest side, if no more than FULL originals are shown
FULL = 12
BYTES = 600_000  # of all JPEGs of originals
MOST_PIXELS = 2**24  # of an original; a larger one takes too long
WAIT = 0.25  # seconds for originals that are not read when all else is drawn
THREADS = min(4, os.cpu_count() or 1)
SLOW = "there was no time to read it"


class RowPictures:
    """The pictures of rows. Threads read the originals from now on.

    Args:
        experiment: the data of the run.
        large: lists of rows that are shown large, the most important rows of a list first.
        small: rows whose thumbnail is shown.
    """

    def __init__(
        self, experiment: Experiment, large: Sequence[Sequence[int]], small: Iterable[int] = ()
    ) -> None:
        dataset, limits = experiment.dataset, experiment.features.range
        self._digests = [digest or "" for digest in dataset.pictures]
        ranks = {row: rank for rows in large for rank, row in enumerate(rows)}
        shown = {self._digests[row] for row in {*ranks, *small}}
        self._small = experiment.cache.read_thumbnails(shown, limits)
        wanted = [row for row in ranks if self._digests[row] and _is_reduced(self.thumbnail(row))]
        wanted.sort(key=lambda row: ranks[row])  # the most important of every list come first
        self._wanted = set(wanted)
        self._reading = _Reading(dataset, wanted, limits, sum(map(len, large)))
        self._originals: dict[int, bytes | str] | None = None

    def thumbnail(self, row: int) -> bytes | None:
        """The JPEG of a row that the cache has, at most THUMBNAIL pixels wide and high."""
        return self._small.get(self._digests[row])

    def large(self, row: int) -> tuple[bytes | None, str]:
        """A JPEG of a row; why it is the thumbnail and not the original, else "".

        The first call waits until the originals are read, for at most WAIT seconds.
        """
        if self._originals is None:
            self._originals = self._reading.finish()
        original = self._originals.get(row, SLOW if row in self._wanted else "")
        if isinstance(original, bytes):
            return original, ""
        return self.thumbnail(row), original


class _Reading:
    """Reads originals as JPEGs.

    Its threads are daemons, so a training does not wait for a source that does not answer.
    """

    def __init__(
        self, dataset: Dataset, rows: Sequence[int], limits: Range | None, shown: int
    ) -> None:
        self.originals, self.limits, self.left = Originals(dataset, quick=True), limits, iter(rows)
        self.most = BYTES // max(1, shown)
        self.side = max(THUMBNAIL, int(LARGE * min(1.0, FULL / max(1, shown)) ** 0.5))
        self.found: dict[int, bytes | str] = {}
        self.lock, self.over = threading.Lock(), False
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(THREADS)]
        for thread in self.threads:
            thread.start()

    def finish(self) -> dict[int, bytes | str]:
        """For each row its JPEG, or why there is none; rows that take too long are absent."""
        end = time.monotonic() + WAIT
        for thread in self.threads:
            thread.join(max(0.0, end - time.monotonic()))
        self.over = True
        return dict(self.found)

    def _work(self) -> None:
        while not self.over:
            with self.lock:
                row = next(self.left, None)
            if row is None:
                return
            try:
                rgb, _ = decode_deep(self.originals.read(row), self.limits, _refuse_large)
                self.found[row] = self._jpeg(rgb)
            except Exception as error:  # a page without a picture is better than no page
                known = isinstance(error, UnusableImage)
                self.found[row] = str(error) if known else type(error).__name__

    def _jpeg(self, rgb: np.ndarray) -> bytes:
        """A JPEG, with fewer pixels if it would be too large."""
        side = self.side
        while len(jpeg := thumbnail(rgb, side)) > self.most and side > THUMBNAIL:
            side = max(THUMBNAIL, side * 3 // 4)
        return jpeg


def _is_reduced(jpeg: bytes | None) -> bool:
    """Whether the original may have more pixels than its thumbnail."""
    from PIL import Image

    if jpeg is None:
        return True
    try:
        return max(Image.open(io.BytesIO(jpeg), formats=["JPEG"]).size) >= THUMBNAIL
    except Exception:  # a cache may come from somebody else
        return True


def _refuse_large(pixels: int) -> None:
    if pixels > MOST_PIXELS:
        raise UnusableImage(f"it has {pixels:,} pixels; a page takes at most {MOST_PIXELS:,}")
