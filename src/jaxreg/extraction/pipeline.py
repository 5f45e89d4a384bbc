"""Examples → parts: compute what is missing, write as it goes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from jaxreg.backbone.engine import Engine
from jaxreg.cache.parts import write_part
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.common.steps import Step, step
from jaxreg.extract_config import WHOLE, Shard
from jaxreg.extraction.engine_queue import Batch, EngineQueue, Features, Shown
from jaxreg.extraction.read_ahead import read_ahead
from jaxreg.extraction.reader import KnownImages, Reader, ReadImage
from jaxreg.sources import pixels
from jaxreg.sources.depth import Depth, Range
from jaxreg.sources.examples import Image

PART_IMAGES = 1024  # a part is closed at so many images,
FIRST_PART_SECONDS = 5.0  # or so long after its first one: at most this much work is lost;
LAST_PART_SECONDS = 60.0  # the wait doubles from part to part up to this
BATCH_BYTES = 2**27  # decoded pixels: a batch of large photographs is cut by this


@dataclass(frozen=True)
class Task:
    """Images, and the columns of a feature set that must hold their features."""

    images: Sequence[Image]
    cache: Cache
    feature_set: str
    columns: Sequence[Column]
    dtype: str = "float32"  # of new columns; one that is there keeps its own
    batch_size: int = 64
    smallest: int = 1  # pixels each way that an image needs
    limits: Range | None = None  # values of deep pixels that become 0 and 255
    shard: Shard = WHOLE  # images of other shares get their digest and nothing more
    on_damage: Callable[[Path], None] = lambda path: None  # gets each part that is set aside


@dataclass
class Seconds:
    """Where the time went; `read` is the sum over the reading threads."""

    start: float = 0.0  # imports, weights and compilation
    read: float = 0.0
    compute: float = 0.0  # with at least one batch on the engine
    write: float = 0.0
    total: float = 0.0


@dataclass
class Progress:
    """How far an extraction has come; handed to `on_progress` after every batch."""

    images: int  # examples in all
    seen: int = 0  # examples read
    computed: int = 0  # distinct digests computed
    seconds: Seconds = field(default_factory=Seconds)


@dataclass
class Outcome:
    """The digest or failure of each example, and the counts of the own share."""

    digests: list[str | None]  # one per example; None: it could not be used
    failed: list[tuple[int, str]]  # example's number, reason
    computed_digests: list[str]  # distinct ones, computed now
    reused: int  # distinct digests that the cache had
    seconds: Seconds
    stopped: bool  # by `should_stop`, before all were read
    notes: list[str]  # sentences for the user on the depth of the images decoded now

    @property
    def computed(self) -> int:
        return len(self.computed_digests)


class _PartWriter:
    """Gathers rows of one folder and writes them as parts, early ones sooner than later ones."""

    def __init__(self, write: Callable[[list[str], list], Path], seconds: Seconds) -> None:
        self.write, self.seconds = write, seconds
        self.digests: list[str] = []
        self.values: list = []
        self.wait = FIRST_PART_SECONDS
        self.deadline = 0.0

    def add(self, digest: str, value: object) -> None:
        if not self.digests:
            self.deadline = time.monotonic() + self.wait
        self.digests.append(digest)
        self.values.append(value)

    def flush(self, *, force: bool = False) -> None:
        late = time.monotonic() > self.deadline
        if not self.digests or not (force or late or len(self.digests) >= PART_IMAGES):
            return
        begin = time.perf_counter()
        for start in range(0, len(self.digests), PART_IMAGES):
            part = slice(start, start + PART_IMAGES)
            self.write(self.digests[part], self.values[part])
        self.seconds.write += time.perf_counter() - begin
        self.digests, self.values = [], []
        self.wait = min(2 * self.wait, LAST_PART_SECONDS)


class _Extraction:
    """The state of one extraction: examples come in one by one, parts go out."""

    counting: Step

    def __init__(self, task: Task, load_engine: Callable[[], Engine]) -> None:
        cache, name = task.cache, task.feature_set
        present = {c: cache.present(cache.folder(name, c), task.on_damage) for c in task.columns}
        pictures = cache.thumbnails(task.limits)
        thumbnails = cache.present(pictures, task.on_damage)
        self.task = task
        self.reader = Reader(present, thumbnails, task.smallest, task.shard, task.limits)
        self.progress = Progress(images=len(task.images))
        seconds = self.progress.seconds
        self.writers = {c: _PartWriter(_feature_writer(task, c), seconds) for c in task.columns}
        self.pictures = _PartWriter(partial(_write_thumbnails, pictures), seconds)
        self.queue = EngineQueue(load_engine, self._keep)
        self.pending: list[Shown] = []  # all views of an image, or none
        self.digests: list[str | None] = []
        self.failed: list[tuple[int, str]] = []
        self.depth = Depth()
        self.sent = 0  # distinct images
        self.computed: list[str] = []
        self.reasons: dict[str, str] = {}  # by digest: a copy of a broken image is broken too

    def take(self, item: ReadImage) -> None:
        """Record the next example, and keep its pixels if features are missing."""
        row = len(self.digests)
        self.progress.seen += 1
        self.progress.seconds.read += item.seconds
        if item.depth is not None:
            self.depth += item.depth
        self.digests.append(item.digest)
        if item.reason is not None:
            self.failed.append((row, item.reason))
            if item.digest is not None:
                self.reasons[item.digest] = item.reason
        if item.digest is None:
            return
        if item.thumbnail is not None:
            self.pictures.add(item.digest, item.thumbnail)
        if item.rgb is not None:
            self._show(item.digest, item.rgb, item.lacking)

    def take_known(self, item: KnownImages) -> None:
        """Record the next examples, which lack nothing."""
        self.progress.seen += len(item.digests)
        self.progress.seconds.read += item.seconds
        self.digests += item.digests

    def _show(self, digest: str, rgb: np.ndarray, lacking: Sequence[Column]) -> None:
        """Put the views of an image that lack features into the next batch."""
        views = {c.view: [other for other in lacking if other.view == c.view] for c in lacking}
        if len(self.pending) + len(views) > self.task.batch_size:
            self.compute()
        self.pending += [
            Shown(digest, columns, pixels.viewed(rgb, view)) for view, columns in views.items()
        ]
        self.sent += 1

    @property
    def done(self) -> int:
        """Examples that were read and wait for nothing."""
        return self.progress.seen - self.sent + len(self.computed)

    @property
    def full(self) -> bool:
        """Whether the pending images make a batch."""
        pixels_pending = sum(shown.rgb.nbytes for shown in self.pending)
        return len(self.pending) >= self.task.batch_size or pixels_pending >= BATCH_BYTES

    def compute(self) -> None:
        """Send the pending images to the engine; the first call loads and compiles it."""
        if self.pending:
            batch, self.pending = self.pending, []
            first, self.counting.name = self.counting.name != "computing", "computing"
            self.queue.send(batch)
            if first:
                self.counting.restart()
            self._time()

    def finish(self) -> None:
        """Wait for the engine."""
        self.queue.finish()
        self._time()

    def _keep(self, batch: Batch, features: Features) -> None:
        for row, shown in enumerate(batch):
            for column in shown.columns:
                self.writers[column].add(shown.digest, features[column.identity.name][row])
        self.computed += dict.fromkeys(shown.digest for shown in batch)
        self.progress.computed = len(self.computed)
        self.counting.reach(self.done)

    def _time(self) -> None:
        self.progress.seconds.start = self.queue.start_seconds
        self.progress.seconds.compute = self.queue.busy_seconds

    def flush(self, *, force: bool = False) -> None:
        """Write the parts that are due, or all of them."""
        for writer in (*self.writers.values(), self.pictures):
            writer.flush(force=force)

    def outcome(self, *, stopped: bool) -> Outcome:
        """The result: a copy of a broken image fails for the same reason."""
        known = {row for row, _ in self.failed}
        copies = [
            (row, self.reasons[digest])
            for row, digest in enumerate(self.digests)
            if digest in self.reasons and row not in known
        ]
        failed = sorted(self.failed + copies)
        broken = {row for row, _ in failed}
        digests = [None if row in broken else digest for row, digest in enumerate(self.digests)]
        share = self.task.shard
        distinct = len({digest for digest in digests if digest is not None and share.has(digest)})
        reused = distinct - len(self.computed)
        notes = self.depth.notes(self.task.limits)
        return Outcome(
            digests, failed, self.computed, reused, self.progress.seconds, stopped, notes
        )


def extract(
    task: Task,
    load_engine: Callable[[], Engine],
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Compute the features that the task's columns lack, and add them to the cache.

    `load_engine` is called only if something must be computed. What has been computed is written
    even when an error ends the loop. Of equal images one is computed.
    """
    begin = time.perf_counter()
    work = _Extraction(task, load_engine)
    progress, stopped = work.progress, False
    try:
        with step("reading", len(task.images), "images") as work.counting:
            for item in read_ahead(work.reader, task.images, 3 * task.batch_size):
                before = progress.seen
                if isinstance(item, KnownImages):
                    work.take_known(item)
                else:
                    work.take(item)
                if work.full:
                    work.compute()
                work.counting.reach(work.done)
                work.flush()
                if progress.seen // task.batch_size > before // task.batch_size:
                    on_progress(progress)
                if stopped := should_stop():
                    break
            else:
                work.compute()
            work.finish()
    finally:
        work.queue.close()
        with step("writing the features"):
            work.flush(force=True)
        progress.seconds.total = time.perf_counter() - begin
    on_progress(progress)
    return work.outcome(stopped=stopped)


def _feature_writer(task: Task, column: Column) -> Callable[[list[str], list], Path]:
    dtype = task.cache.dtype(task.feature_set, column) or task.dtype

    def write(digests: list[str], rows: list) -> Path:
        features = np.stack(rows).astype(dtype)
        return task.cache.add(task.feature_set, column, digests, features)

    return write


def _write_thumbnails(folder: Path, digests: list[str], jpegs: list[bytes]) -> Path:
    table = pa.table({"digest": digests, "jpeg": pa.array(jpegs, pa.binary())})
    return write_part(folder, table)
