"""The functions of `pyarrow.compute`, which is imported when the first of them is called.

It makes its functions when it is imported, which takes a tenth of a second. Many commands call
none.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    from pyarrow import compute

    return getattr(compute, name)
