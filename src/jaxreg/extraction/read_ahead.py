"""Images in the order of their rows, while threads read further."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from jaxreg.common.threads import cores
from jaxreg.extraction.fetch_ahead import FetchAhead
from jaxreg.extraction.reader import KnownImages, Reader, ReadImage
from jaxreg.sources.examples import Image

RUN = 64  # images that one call of a thread reads and hashes while none lacks anything
FEW = 8  # small images that one call of a thread decodes
PATIENCE = 0.5  # seconds to wait for an image before nothing is given instead
SMALL_PIXELS = 2**17  # an image of more is not small

_Read = Callable[[Sequence[Image], range], list[ReadImage] | KnownImages]


class _Task(NamedTuple):
    """Rows that one call of a thread reads: all of them, or the first ones."""

    rows: range
    future: Future[list[ReadImage] | KnownImages]
    in_run: bool  # it does not wait for room


class _ReadAhead:
    """Images in the order of their rows, while threads read further.

    A task costs more than to read and hash a small image. So one task reads a run of images: many
    while they lack nothing, and a few while they are small. A run never waits for room. It ends
    before the first image that it cannot take, and the rest of its images are then read first, by
    tasks of one image each. Only these wait for room. They take turns with runs, and each of them
    is given to the threads after those of all earlier rows. So the one whose image is needed next
    has a thread, and the others cannot wait for ever.
    """

    def __init__(
        self, reader: Reader, images: Sequence[Image], ahead: int, threads: ThreadPoolExecutor
    ) -> None:
        self.reader, self.images, self.threads = reader, images, threads
        self.ahead = ahead
        self.fetching = FetchAhead(images, reader.files.knows)
        reader.read = self.fetching.read
        self.waiting: deque[_Task] = deque()
        self.submitted = self.taken = 0  # rows
        self.runs = 0  # under way
        self.complete = ahead if reader.complete else 0  # images in a row that lacked nothing
        self.small = 0  # images in a row that are not large, and had room

    def __iter__(self) -> Iterator[ReadImage | KnownImages]:
        while self.taken < len(self.images):
            self._submit_more()
            task = self.waiting.popleft()
            self.runs -= task.in_run
            while not task.future.done() and wait([task.future], PATIENCE).not_done:
                yield KnownImages([], 0.0)  # who takes the images may want to stop
            found = task.future.result()
            if isinstance(found, KnownImages):
                self._one_by_one(task.rows[len(found.digests) :])
                if found.digests:
                    yield found
                self._take(len(found.digests))
                continue
            for item in found:
                self._learn(item)
            if rest := task.rows[len(found) :]:
                self.small = 0
                self._one_by_one(rest)
            for item in found:
                yield item
                self._take(1)

    def _learn(self, item: ReadImage) -> None:
        lacked = item.digest not in self.reader.complete
        self.complete = 0 if lacked else self.complete + 1
        large = item.rgb is not None and item.rgb[..., 0].size > SMALL_PIXELS
        self.small = 0 if large else self.small + 1

    def _submit_more(self) -> None:
        reader, ahead = self.reader, self.ahead
        read: _Read = reader.one
        count = 1
        if self.complete >= ahead:
            read, count, ahead = reader.known, RUN, max(ahead, 8 * RUN)
        elif self.small >= ahead and (few := min(FEW, ahead // 8)) > 1:  # runs for all threads
            read, count = reader.few, few
        in_run = read != reader.one
        self.fetching.reach(self.taken, self.taken + ahead)
        while self.submitted < min(self.taken + ahead, len(self.images)):
            if self.runs and not in_run:
                return  # their images that lack something come first
            rows = range(self.submitted, min(self.submitted + count, len(self.images)))
            self.waiting.append(self._task(read, rows, in_run))
            self.submitted = rows.stop

    def _task(self, read: _Read, rows: range, in_run: bool) -> _Task:
        self.runs += in_run
        return _Task(rows, self.threads.submit(read, self.images, rows), in_run)

    def _one_by_one(self, rows: range) -> None:
        """Put these rows, which a run has left, before all others."""
        if rows:
            self.complete = 0
            ones = [self._task(self.reader.one, range(row, row + 1), False) for row in rows]
            self.waiting.extendleft(reversed(ones))

    def _take(self, count: int) -> None:
        self.taken += count
        if count:
            self.reader.room.release(self.taken - 1)

    def close(self) -> None:
        """Nothing waits from now on, and what has not begun never does."""
        self.fetching.close()
        self.reader.room.close()
        for task in self.waiting:
            task.future.cancel()


def read_ahead(
    reader: Reader, images: Sequence[Image], ahead: int
) -> Iterator[ReadImage | KnownImages]:
    """Every example in order, while threads read about `ahead` examples further.

    Images that lack nothing come several at a time, and threads may be further ahead with them.
    Decoded pixels stay within AHEAD_PIXELS and the image that is needed next. An image of more
    than LARGE_PIXELS is decoded only when it is that one.
    """
    # with more threads than cores, extraction was slower: they take time from the network
    workers = min(8, max(2, cores()))
    with ThreadPoolExecutor(workers, "reader") as threads:
        reading = _ReadAhead(reader, images, ahead, threads)
        try:
            yield from reading
        finally:
            reading.close()
