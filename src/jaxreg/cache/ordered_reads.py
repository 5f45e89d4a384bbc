"""Reads in their order, several of them in flight."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from jaxreg.cache.entry import Contents

IN_FLIGHT = 16  # reads at the same time: enough that a bucket far away keeps one machine busy


def ordered_reads(
    keys: Iterable[str],
    read: Callable[[str], bytes],
    size: Callable[[str], int],
    *,
    room: int,
    in_flight: int = IN_FLIGHT,
) -> Contents:
    """Each key with what `read` returns or raises, in the order of the keys.

    Threads read further while the caller works. When the caller stops, nothing more is begun.

    Args:
        keys: taken one by one, just before they are read.
        read: called in threads.
        size: the bytes of a key, or a guess.
        room: the most bytes of reads that have begun, beside the one that the caller has. What has
            more is read only when the caller asks for it.
        in_flight: the most reads that have begun.
    """
    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="jaxreg-read")
    begun: deque[tuple[str, int, Future[bytes]]] = deque()
    held = 0
    coming = iter(keys)
    following = next(coming, None)
    try:
        while following is not None or begun:
            if not begun:  # the caller waits for this one
                assert following is not None
                begun.append((following, 0, pool.submit(read, following)))
                following = next(coming, None)
            key, its, future = begun.popleft()
            held -= its
            while following is not None and len(begun) < in_flight:
                its = size(following)
                if held + its > room:
                    break
                begun.append((following, its, pool.submit(read, following)))
                held += its
                following = next(coming, None)
            content: bytes | Exception
            try:
                content = future.result()
            except Exception as error:
                content = error
            yield key, content
            del content, future  # before more is read
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
