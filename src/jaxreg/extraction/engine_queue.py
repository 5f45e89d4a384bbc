"""An engine that computes batches in its own threads while others read and write."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from jaxreg.backbone.engine import Engine
from jaxreg.cache.recipe import Column
from jaxreg.common.steps import step


class Shown(NamedTuple):
    """One view of an image, as the network sees it."""

    digest: str
    columns: list[Column]  # of this view, to be filled
    rgb: np.ndarray  # uint8 (height, width, 3)


Batch = Sequence[Shown]
Features = dict[str, np.ndarray]


class EngineQueue:
    """The batches under way on an engine; the first batch loads it.

    `send` and `finish` call `done` with each batch and its features, in the order of sending.
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
        """Put a batch on its way; if too many are, wait for earlier ones and hand them over."""
        if self.engine is None or self.threads is None:
            begin = time.perf_counter()
            self.engine = self.load_engine()
            with step("compiling the network"):
                self.engine.compile(batch[0].rgb, len(batch))
            self.threads = ThreadPoolExecutor(self.engine.parallel, "compute")
            self.start_seconds = time.perf_counter() - begin
        self.under_way.append((batch, self.threads.submit(_timed, self.engine, batch)))
        while len(self.under_way) > self.engine.parallel:
            self._hand_over()

    def finish(self) -> None:
        """Wait for all batches, and hand them over."""
        while self.under_way:
            self._hand_over()

    def close(self) -> None:
        """End the threads, and drop the batches that have not begun."""
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
