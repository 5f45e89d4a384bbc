"""Image regression on cached features: extract once, train a head many times, know if it learns.

Importing this imports none of the heavy libraries; each name below brings what it needs when it is
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxreg.api import extract_features, load_features, load_run, train_head
    from jaxreg.comparison.runs_table import load_runs
    from jaxreg.estimator import HeadRegressor
    from jaxreg.predictor import Predictor
    from jaxreg.sweep_api import sweep_heads

    __version__: str

__all__ = [
    "HeadRegressor",
    "Predictor",
    "__version__",
    "extract_features",
    "load_features",
    "load_run",
    "load_runs",
    "sweep_heads",
    "train_head",
]

_HOMES = {
    "HeadRegressor": "jaxreg.estimator",
    "Predictor": "jaxreg.predictor",
    "extract_features": "jaxreg.api",
    "load_features": "jaxreg.api",
    "load_run": "jaxreg.api",
    "load_runs": "jaxreg.comparison.runs_table",
    "sweep_heads": "jaxreg.sweep_api",
    "train_head": "jaxreg.api",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("jaxreg")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'jaxreg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
