"""Examples → parts: compute what is missing, write as it goes."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from jaxreg.backbone.engine import Engine
from jaxreg.cache.object_store import Store
from jaxreg.cache.parts import write_part
from jaxreg.cache.recipe import Column
from jaxreg.common.steps import Step, step
from jaxreg.extraction.engine_queue import Batch, EngineQueue, Features, Shown
from jaxreg.extraction.outcome import Found, Outcome, Progress, Seconds
from jaxreg.extraction.read_ahead import read_ahead
from jaxreg.extraction.reader import KnownImages, Reader, ReadImage
from jaxreg.extraction.task import Claims, Task, look_through
from jaxreg.sources import pixels

PART_IMAGES = 1024  # a part is closed at so many images,
FIRST_PART_SECONDS = 5.0  # or so long after its first one: at most this much work is lost;
LAST_PART_SECONDS = 60.0  # the wait doubles from part to part up to this
BATCH_BYTES = 2**27  # decoded pixels: a batch of large photographs is cut by this


class _PartWriter:
    """Gathers rows of one folder and writes them as parts, early ones sooner than later ones."""

    def __init__(self, write: Callable[[list[str], list], str], seconds: Seconds) -> None:
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

    def flush(self, *, force: bool = False) -> bool:
        """Write the rows if it is time to; returns whether it was."""
        late = time.monotonic() > self.deadline
        if not self.digests or not (force or late or len(self.digests) >= PART_IMAGES):
            return False
        begin = time.perf_counter()
        for start in range(0, len(self.digests), PART_IMAGES):
            part = slice(start, start + PART_IMAGES)
            self.write(self.digests[part], self.values[part])
        self.seconds.write += time.perf_counter() - begin
        self.digests, self.values = [], []
        self.wait = min(2 * self.wait, LAST_PART_SECONDS)
        return True


class _Extraction:
    """The state of one extraction: examples come in one by one, parts go out."""

    counting: Step

    def __init__(self, task: Task, load_engine: Callable[[], Engine]) -> None:
        pictures = task.cache.thumbnails(task.limits)
        self.task = task
        known = task.known or look_through(task)
        self.reader = Reader(known, task.smallest, task.shard, task.limits)
        self.progress = Progress(images=len(task.images))
        seconds = self.progress.seconds
        self.found = Found(seconds=seconds)
        self.writers = {c: _PartWriter(_feature_writer(task, c), seconds) for c in task.columns}
        self.pictures = _PartWriter(partial(_write_thumbnails, task.cache.store, pictures), seconds)
        self.queue = EngineQueue(load_engine, self._keep)
        self.pending: list[Shown] = []  # all views of an image, or none
        self.asking: list[ReadImage] = []  # images that others may compute
        self.sent = 0  # distinct images
        self.told = 0  # of the computed ones: it was said that they are in the cache

    def take(self, item: ReadImage) -> None:
        """Record the next example, and keep its pixels if features are missing."""
        found = self.found
        row = len(found.digests)
        self.progress.seen += 1
        self.progress.seconds.read += item.seconds
        if item.depth is not None:
            found.depth += item.depth
        found.digests.append(item.digest)
        if item.reason is not None:
            found.failed.append((row, item.reason))
            if item.digest is not None:
                found.reasons[item.digest] = item.reason
        if item.thumbnail is not None or item.rgb is not None:
            self.asking.append(item)
            large = sum(0 if one.rgb is None else one.rgb.nbytes for one in self.asking)
            if (
                not self.task.claims
                or len(self.asking) >= self.task.batch_size
                or (large >= BATCH_BYTES)
            ):
                self.ask()

    def ask(self) -> None:
        """Keep the thumbnails and the pixels of the images that are ours."""
        asking, self.asking = self.asking, []
        known = [(item.digest, item) for item in asking if item.digest is not None]
        ours = {digest for digest, _ in known}
        if self.task.claims and ours:
            ours = self.task.claims.ask([digest for digest, _ in known])
        for digest, item in known:
            if digest not in ours:
                continue
            if item.thumbnail is not None:
                self.pictures.add(digest, item.thumbnail)
            if item.rgb is not None:
                self._show(digest, item.rgb, item.lacking)

    def take_known(self, item: KnownImages) -> None:
        """Record the next examples, which lack nothing."""
        self.progress.seen += len(item.digests)
        self.progress.seconds.read += item.seconds
        self.found.digests += item.digests

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
        return self.progress.seen - self.sent + len(self.found.computed)

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
        self.found.computed += dict.fromkeys(shown.digest for shown in batch)
        self.progress.computed = len(self.found.computed)
        self.counting.reach(self.done)

    def _time(self) -> None:
        self.progress.seconds.start = self.queue.start_seconds
        self.progress.seconds.compute = self.queue.busy_seconds

    def flush(self, *, force: bool = False) -> None:
        """Write the parts that are due, or all of them."""
        written = [writer.flush(force=force) for writer in (*self.writers.values(), self.pictures)]
        if self.task.claims and any(written):
            self._tell(self.task.claims)

    def _tell(self, claims: Claims) -> None:
        """Say which images have all that they lacked in the cache now."""
        waiting = set(self.pictures.digests).union(*(w.digests for w in self.writers.values()))
        fresh = self.found.computed[self.told :]
        ready = next((i for i, digest in enumerate(fresh) if digest in waiting), len(fresh))
        if ready:
            claims.written(fresh[:ready])
        self.told += ready


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
    found = extract_rows(task, load_engine, should_stop=should_stop, on_progress=on_progress)
    return found.outcome(task.shard, task.limits)


def extract_rows(
    task: Task,
    load_engine: Callable[[], Engine],
    *,
    should_stop: Callable[[], bool],
    on_progress: Callable[[Progress], None],
) -> Found:
    """As `extract`, of images that may have copies among those of other calls."""
    begin = time.perf_counter()
    work = _Extraction(task, load_engine)
    progress = work.progress
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
                if should_stop():
                    work.found.stopped = True
                    break
            else:
                work.ask()
                work.compute()
            work.finish()
    finally:
        work.queue.close()
        with step("writing the features"):
            work.flush(force=True)
        progress.seconds.total = time.perf_counter() - begin
    on_progress(progress)
    return work.found


def _feature_writer(task: Task, column: Column) -> Callable[[list[str], list], str]:
    there = None if task.known else task.cache.dtype(task.feature_set, column)
    dtype = there or task.dtype

    def write(digests: list[str], rows: list) -> str:
        features = np.stack(rows).astype(dtype)
        return task.cache.add(task.feature_set, column, digests, features)

    return write


def _write_thumbnails(store: Store, folder: str, digests: list[str], jpegs: list[bytes]) -> str:
    table = pa.table({"digest": digests, "jpeg": pa.array(jpegs, pa.binary())})
    return write_part(store, folder, table)
