"""The rows with the largest errors, and their pictures."""

import io
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.originals import Originals
from jaxreg.experiment.arrays import Experiment
from jaxreg.report.run_content import HELD_OUT, each_target
from jaxreg.sources.depth import Range
from jaxreg.sources.pixels import THUMBNAIL, UnusableImage, decode_deep, thumbnail
from jaxreg.target_types import difference

WORST = 12  # images shown for each target and side

LARGE = 640  # pixels of the longest side, if no more than WORST images are shown
BYTES = 600_000  # of all JPEGs of originals
MOST_PIXELS = 2**24  # of an original; a larger one takes too long
WAIT = 0.25  # seconds for originals that are not read when all else is drawn
THREADS = min(4, os.cpu_count() or 1)
SLOW = "there was no time to read it"


@dataclass(frozen=True)
class WorstRow:
    """A row with a large error."""

    id: str
    true: float
    predicted: float
    picture: bytes | None  # a JPEG
    lost: str = ""  # why the picture is the thumbnail of the cache and not the original


class WorstRows:
    """The rows with the largest errors. Threads read their originals from now on.

    Args:
        experiment: the data of the run.
        predictions: (rows, targets), in target units.
    """

    def __init__(self, experiment: Experiment, predictions: np.ndarray) -> None:
        self.experiment, self.predictions = experiment, predictions
        error = np.abs(difference(experiment.types, predictions, experiment.y))
        self.found: list[tuple[str, int, list[int]]] = []
        for number, start in each_target(experiment):
            for side in HELD_OUT:
                rows = experiment.rows(side)
                rows = rows[~np.isnan(experiment.y[rows, number])]
                size = np.nan_to_num(error[rows, number], nan=np.inf)
                largest = rows[np.argsort(-size, kind="stable")[:WORST]].tolist()
                if largest:
                    self.found.append((f"{start}{side} rows", number, largest))
        dataset, limits = experiment.dataset, experiment.features.range
        self.digests = [digest or "" for digest in dataset.pictures]  # of pictures, if there are
        lists = [rows for _, _, rows in self.found]
        shown = {self.digests[row] for rows in lists for row in rows}
        self.small = experiment.cache.read_thumbnails(shown, limits)
        ranks = {row: rank for rows in lists for rank, row in enumerate(rows)}
        wanted = [row for row in ranks if self.digests[row]]
        wanted = [row for row in wanted if _is_reduced(self.small.get(self.digests[row]))]
        wanted.sort(key=lambda row: ranks[row])  # the largest errors of every list come first
        self.wanted = set(wanted)
        self.reading = _Reading(dataset, wanted, limits, sum(map(len, lists)))

    def lists(self) -> list[tuple[str, str, list[WorstRow]]]:
        """By target and side: a caption, the target, and the rows."""
        originals = self.reading.finish()
        return [
            (caption, self.experiment.targets[n], [self._row(row, n, originals) for row in rows])
            for caption, n, rows in self.found
        ]

    def _row(self, row: int, target: int, originals: dict[int, bytes | str]) -> WorstRow:
        original = originals.get(row, SLOW if row in self.wanted else "")
        picture, lost = self.small.get(self.digests[row]), ""
        if isinstance(original, bytes):
            picture = original
        else:
            lost = original
        true, predicted = self.experiment.y[row, target], self.predictions[row, target]
        name = self.experiment.dataset.ids[row]
        return WorstRow(name, float(true), float(predicted), picture, lost)


class _Reading:
    """Reads originals as JPEGs.

    Its threads are daemons, so a training does not wait for a source that does not answer.
    """

    def __init__(
        self, dataset: Dataset, rows: Sequence[int], limits: Range | None, shown: int
    ) -> None:
        self.originals, self.limits, self.left = Originals(dataset, quick=True), limits, iter(rows)
        self.most = BYTES // max(1, shown)
        self.side = max(THUMBNAIL, int(LARGE * min(1.0, WORST / max(1, shown)) ** 0.5))
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
