"""Reads in their order: how many are in flight, and what becomes of errors."""

import threading
from collections.abc import Iterator

import pytest

from jaxreg.cache.ordered_reads import ordered_reads


class Source:
    """Reads of 10 bytes each, which end only when they are let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.free = threading.Semaphore(0)

    def read(self, key: str) -> bytes:
        self.begun.append(key)
        assert self.free.acquire(timeout=10)
        if key == "b":
            raise FileNotFoundError(key)
        return key.encode()


def begun_soon(source: Source, count: int) -> list[str]:
    """The reads that have begun, when there are `count` of them, and no more come."""
    for _ in range(1000):
        if len(source.begun) >= count:
            break
        threading.Event().wait(0.005)
    threading.Event().wait(0.02)
    return sorted(source.begun)


@pytest.mark.parametrize(
    ("room", "in_flight", "begun"),
    [(1000, 16, "abcdef"), (1000, 3, "abcd"), (25, 16, "abc"), (10, 16, "ab"), (0, 16, "a")],
)
def test_reads_ahead_are_bounded(room: int, in_flight: int, begun: str) -> None:
    source = Source()
    reads = ordered_reads("abcdef", source.read, lambda key: 10, room=room, in_flight=in_flight)
    source.free.release()
    # the read that is asked for, and those ahead of it
    threading.Thread(target=next, args=(reads,), daemon=True).start()
    assert begun_soon(source, len(begun)) == [*begun]
    source.free.release(100)


def test_contents_and_errors_are_at_their_places() -> None:
    source = Source()
    source.free.release(100)
    taken: list[str] = []

    def keys() -> Iterator[str]:
        for key in "abcdef":
            taken.append(key)
            yield key

    found = dict(ordered_reads(keys(), source.read, lambda key: 10, room=20))
    assert [*found] == [*"abcdef"] == taken
    assert isinstance(found.pop("b"), FileNotFoundError)
    assert found == {key: key.encode() for key in "acdef"}


def test_nothing_is_begun_when_the_caller_has_stopped() -> None:
    source = Source()
    source.free.release()
    reads = ordered_reads("abcdef", source.read, lambda key: 10, room=30, in_flight=2)
    next(reads)
    reads.close()
    source.free.release(100)
    assert len(begun_soon(source, 3)) <= 3


def test_no_keys_no_reads() -> None:
    assert list(ordered_reads([], Source().read, len, room=10)) == []
