"""Images opened and hashed; the file of many rows is read once."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np

from jaxreg.sources import pixels
from jaxreg.sources.examples import Image

MOST_FILES = 2**18  # of the last ones the digest is kept, in some 250 bytes each


class Opened(NamedTuple):
    """The bytes of an example, or why there are none."""

    content: bytes | np.ndarray | None  # None too where a file was read before and is not needed
    digest: str | None
    reason: str | None
    seconds: float

    @property
    def size(self) -> int:
        """Bytes."""
        if isinstance(self.content, np.ndarray):
            return self.content.nbytes
        return len(self.content or b"")


class ReadFiles:
    """What the files that were read last gave: their digest, or why they cannot be read.

    It is safe to use from threads. Two threads that need a file at the same moment both read it.
    """

    def __init__(self) -> None:
        self._found: OrderedDict[Hashable, Opened] = OrderedDict()
        self._lock = threading.Lock()

    def knows(self, image: Hashable) -> bool:
        """Whether a file was read before."""
        return image in self._found

    def open(
        self,
        image: Image,
        needless: Callable[[str], bool],
        read: Callable[[Image], bytes | np.ndarray] = pixels.read,
    ) -> Opened:
        """Read and hash an image.

        Args:
            image: to open; what has no path is always read.
            needless: whether the content of a digest is of no use. Then a file that was read
                before is not read again.
            read: gives the content; as `pixels.read`.
        """
        begin = time.perf_counter()
        place = None if isinstance(image, bytes | np.ndarray) else image
        before = self._found.get(place) if isinstance(place, Hashable) else None
        if before is not None and (before.digest is None or needless(before.digest)):
            return before
        content = digest = reason = None
        try:
            content = read(image)
            digest = pixels.digest(content)
        except pixels.UnusableImage as error:
            reason = str(error)
        if isinstance(place, Hashable) and place is not None and before is None:
            self._keep(place, Opened(None, digest, reason, 0.0))
        return Opened(content, digest, reason, time.perf_counter() - begin)

    def _keep(self, place: Hashable, found: Opened) -> None:
        with self._lock:
            self._found[place] = found
            if len(self._found) > MOST_FILES:
                self._found.popitem(last=False)
