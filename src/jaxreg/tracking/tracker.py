"""What the trackers have in common: what became of a run, and an extra that is absent."""

from importlib.util import find_spec
from typing import NamedTuple

from jaxreg.errors import InputError


class Logged(NamedTuple):
    """What a tracker has of a run."""

    run: str  # its path
    place: str  # the id that MLflow gave it, or its folder of TensorBoard
    new: bool  # False: it was there already, and nothing was written
    trials: int


def require_extra(extra: str, *packages: str) -> None:
    """Raise InputError if a package that a tracker needs is not installed."""
    for package in packages:
        if find_spec(package) is None:
            raise InputError(f"{package} is not installed", remedy=f"pip install 'jaxreg[{extra}]'")
