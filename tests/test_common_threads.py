"""Threads of NumPy's linear algebra, as threadpoolctl sees them."""

import numpy as np  # noqa: F401  loads the library that is asked about
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from jaxreg.common.threads import LARGE, threads_for


def threads() -> set[int]:
    return {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}


@pytest.mark.parametrize(("size", "inside"), [(10, {1}), (LARGE - 1, {1}), (LARGE, {2})])
def test_small_matrices_get_one_thread_and_large_ones_all(size: int, inside: set[int]) -> None:
    with threadpool_limits(2, user_api="blas"):
        with threads_for(size):
            assert threads() == inside
        assert threads() == {2}


def test_the_threads_come_back_after_an_error() -> None:
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(RuntimeError), threads_for(10):
            raise RuntimeError
        assert threads() == {2}
