"""How many cores this process may use, and how many threads NumPy's linear algebra."""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LARGE = 1536  # rows and columns of a square matrix from which all threads are worth it


_own: list[int] = []


def use_cores(count: int) -> None:
    """Let this process use only so many cores: others on this machine use the rest.

    It is called before the libraries are imported, which read these variables once.
    """
    _own[:] = [count]
    for name in ("OMP_NUM_THREADS", "NPROC", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(count)


def cores() -> int:
    """The cores that this process may use."""
    return _own[0] if _own else os.cpu_count() or 1


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
