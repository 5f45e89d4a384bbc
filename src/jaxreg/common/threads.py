"""How many threads NumPy's linear algebra may use."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LARGE = 1536  # rows and columns of a square matrix from which all threads are worth it


@contextmanager
def threads_for(size: int) -> Iterator[None]:
    """One thread for matrices that are not large.

    OpenBLAS' threads spin while they wait for each other. On two idle cores they make an
    eigendecomposition of 1,024 rows a third faster. On busy cores each wait is a time slice, and
    the same took 6 s instead of 0.2 s.
    """
    if size >= LARGE:
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()  # searches all loaded libraries, so only once
