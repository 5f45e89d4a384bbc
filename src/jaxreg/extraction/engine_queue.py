"""Batches through an engine in threads of its own: reading and writing go on meanwhile."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from jaxreg.backbone.engine import Engine


class Shown(NamedTuple):
    """One view of an image, as the network sees it."""

    digest: str
    view: str
    rgb: np.ndarray  # uint8 (height, width, 3)


Batch = Sequence[Shown]
Features = dict[str, np.ndarray]


class Computing:
    """The batches under way on an engine that is loaded with the first of them.

    `done` gets each batch with its features, in the order in which they were sent, from whichever
    thread calls `send` or `finish`.
    """

    def __init__(
        self, load_engine: Callable[[], Engine], done: Callable[[Batch, Features], None]
    ) -> None:
        self.load_engine, self.done = load_engine, done
        self.engine: Engine | None = None
        self.threads: ThreadPoolExecutor | None = None
        self.under_way: deque[tuple[Batch, Future[tuple[Features, float, float]]]] = deque()
        self.start_seconds = 0.0  # loading and compiling
        self.busy_seconds = 0.0  # in which at least one batch was being computed
        self.busy_until = 0.0

    def send(self, batch: Batch) -> None:
        """Put a batch on its way; waits, and hands over earlier ones, if too many are."""
        if self.engine is None or self.threads is None:
            begin = time.perf_counter()
            self.engine = self.load_engine()
            self.engine.compile(batch[0].rgb, len(batch))
            self.threads = ThreadPoolExecutor(self.engine.parallel, "compute")
            self.start_seconds = time.perf_counter() - begin
        self.under_way.append((batch, self.threads.submit(_timed, self.engine, batch)))
        while len(self.under_way) > self.engine.parallel:
            self._hand_over()

    def finish(self) -> None:
        """Wait for all that is under way, and hand it over."""
        while self.under_way:
            self._hand_over()

    def close(self) -> None:
        """End the threads; batches that have not begun are dropped."""
        if self.threads is not None:
            self.threads.shutdown(cancel_futures=True)

    def _hand_over(self) -> None:
        batch, future = self.under_way.popleft()
        features, begin, end = future.result()
        self.busy_seconds += max(0.0, end - max(begin, self.busy_until))
        self.busy_until = max(end, self.busy_until)
        self.done(batch, features)


def _timed(engine: Engine, batch: Batch) -> tuple[Features, float, float]:
    begin = time.perf_counter()
    features = engine.features([shown.rgb for shown in batch])
    return features, begin, time.perf_counter()
