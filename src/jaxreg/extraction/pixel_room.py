"""A bound on decoded pixels that wait for the network."""

import threading

from jaxreg.sources.encoded import UnusableImage

AHEAD_PIXELS = 2**26  # over all images
LARGE_PIXELS = 2**24  # an image of more is decoded alone


class NoRoom(UnusableImage):
    """There is no room now. It is of this kind because decoders hand on no other unchanged."""


class Room:
    """A bound on decoded pixels. The image that is needed next always has room."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: dict[int, int] = {}  # pixels by the number of the example
        self._sum = 0  # of these
        self._next = 0
        self._closed = False

    def take(self, row: int, count: int) -> None:
        """Wait until `count` pixels fit, or until example `row` is needed next."""
        with self._changed:
            self._changed.wait_for(lambda: self._fits(row, count))
            self._add(row, count)

    def take_now(self, row: int, count: int) -> None:
        """Take `count` pixels without waiting.

        Raises:
            NoRoom: they do not fit now.
        """
        with self._changed:
            if not self._fits(row, count):
                raise NoRoom("no room for its pixels now")
            self._add(row, count)

    def _fits(self, row: int, count: int) -> bool:
        if row <= self._next or self._closed:
            return True
        return count <= LARGE_PIXELS and count + self._sum <= AHEAD_PIXELS

    def _add(self, row: int, count: int) -> None:
        self._sum += count - self._taken.get(row, 0)  # a broken image may be decoded twice
        self._taken[row] = count

    def release(self, row: int) -> None:
        """Example `row` is consumed; the one behind it is needed next."""
        with self._changed:
            self._sum -= self._taken.pop(row, 0)
            self._next = row + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing waits from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
