"""Imports of a command without what libraries import beside, where it is installed, for nothing.

pyarrow imports pandas at its first array. Keras imports pandas, scikit-learn and matplotlib, and
TensorFlow imports JAX, each for functions that no command calls. Together that takes longer than
TensorFlow itself. All of them do without. In programs of others, which may call these functions,
nothing is hidden.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_everywhere: set[str] = set()
_here = threading.local()  # other threads may need at the same time what this one does without


class _Hidden:
    """A finder of modules, asked before all others. It says that there is no such module."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name in _everywhere or name in getattr(_here, "names", ()):
            raise ModuleNotFoundError(f"this command does without {name}", name=name)


def begin_command() -> None:
    """From now on this process does without pandas, and `without` hides more from it."""
    _everywhere.add("pandas")
    sys.meta_path.insert(0, _Hidden)


def show_pandas() -> None:
    """This process can import pandas again, if it is installed."""
    _everywhere.discard("pandas")


@contextmanager
def without(*names: str) -> Iterator[None]:
    """In a command, the block's thread imports no module of these names that is not there yet."""
    _here.names = names
    try:
        yield
    finally:
        _here.names = ()
