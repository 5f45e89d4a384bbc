"""Commands without pandas: pyarrow, Keras and scikit-learn import it where it is installed.

No command needs it, except through NNCF. The import takes a tenth of a second.
"""

import sys
from typing import Any


class _Hidden:
    """A finder of modules, asked before all others. It says that there is no pandas."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("commands of jaxreg do without pandas", name=name)


def hide_pandas() -> None:
    """From now on this process cannot import pandas. One that is imported stays."""
    sys.meta_path.insert(0, _Hidden)


def show_pandas() -> None:
    """This process can import pandas again, if it is installed."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not _Hidden]
