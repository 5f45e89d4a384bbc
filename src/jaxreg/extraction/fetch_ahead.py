"""Images at URLs, fetched further ahead and by more threads than files are read."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from jaxreg.common.remote_file import RemoteFile
from jaxreg.sources import pixels
from jaxreg.sources.examples import Image, remote_image

REQUESTS = 32  # at a time: they wait for answers, and take little time of a core
MOST_AHEAD = 512  # images that are fetched, or wait for it
MOST_HELD = 2**28  # bytes of images that are fetched and not read yet; then fetching pauses


class FetchAhead:
    """The bytes of images at URLs, asked for before a thread wants to read them.

    Local images are none of its business: it makes no thread for them. The bytes that it holds are
    at most MOST_HELD and those of the requests under way.
    """

    def __init__(self, images: Sequence[Image], known: Callable[[RemoteFile], bool]) -> None:
        """Make no request yet; none will be made for images that are `known`."""
        self.images, self.known = images, known
        self.next = 0  # row
        self.held = 0  # bytes
        self.ahead: dict[RemoteFile, tuple[int, Future[bytes | np.ndarray]]] = {}
        self.threads: ThreadPoolExecutor | None = None
        self.stop = threading.Event()
        self.lock = threading.Lock()

    def reach(self, taken: int, wanted: int) -> None:
        """Ask for images up to a row, as far as there is room.

        Args:
            taken: rows before this one are not needed any more.
            wanted: rows before this one will be read soon.
        """
        with self.lock:
            passed = [image for image, (row, _) in self.ahead.items() if row < taken]
            left = [self.ahead.pop(image)[1] for image in passed]
        for future in left:  # read in another way, or not needed
            future.cancel()
            self._let_go(future)
        self.next = max(self.next, taken)
        while self.next < min(wanted, len(self.images)):
            if len(self.ahead) >= MOST_AHEAD or self.held > MOST_HELD:
                return
            image, row = remote_image(self.images, self.next), self.next
            self.next += 1
            if image is not None and image not in self.ahead and not self.known(image):
                self._ask(image, row)

    def _ask(self, image: RemoteFile, row: int) -> None:
        if self.threads is None:
            self.threads = ThreadPoolExecutor(REQUESTS, "fetch")
        future = self.threads.submit(pixels.read, image, self.stop)
        with self.lock:
            self.ahead[image] = row, future
        future.add_done_callback(self._hold)

    def read(self, image: Image) -> bytes | np.ndarray:
        """As `pixels.read`; of an image that was asked for, the answer."""
        if not isinstance(image, RemoteFile):
            return pixels.read(image)
        with self.lock:
            _, future = self.ahead.pop(image, (0, None))
        if future is None:
            return pixels.read(image, self.stop)
        try:
            return future.result()
        finally:
            self._let_go(future)

    def _hold(self, future: "Future[bytes | np.ndarray]") -> None:
        with self.lock:
            self.held += _size(future)

    def _let_go(self, future: "Future[bytes | np.ndarray]") -> None:
        """Take the bytes from the account, once they are in it."""
        future.add_done_callback(self._forget)

    def _forget(self, future: "Future[bytes | np.ndarray]") -> None:
        with self.lock:
            self.held -= _size(future)

    def close(self) -> None:
        """Give up all requests."""
        self.stop.set()
        if self.threads is not None:
            self.threads.shutdown(wait=False, cancel_futures=True)


def _size(future: "Future[bytes | np.ndarray]") -> int:
    if future.cancelled() or future.exception() is not None:
        return 0
    return len(future.result())
