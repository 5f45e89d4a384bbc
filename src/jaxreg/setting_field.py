"""What one setting is: a dataclass field with its help and its group, and the checks of values."""

from dataclasses import field
from typing import Any, TypeVar, get_args, get_type_hints

from jaxreg.errors import InputError, nearest_option

T = TypeVar("T")

VIEWS = ("identity", "mirror")  # the image as it is, and flipped left to right

MOST_SIDE = 10_000  # pixels that a network sees each way; the largest backbones expect 600


def setting(default: T, group: str, text: str) -> T:
    """A field of a settings dataclass: its default, its box in `--help`, and its help text."""
    made: Any = field(default=default, metadata={"group": group, "help": text})
    return made


def require(ok: bool, name: str, value: object, expected: str) -> None:
    if not ok:
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise InputError(f"--{name.replace('_', '-')} is {shown}", expected=expected)


def require_choice(settings: object, name: str) -> None:
    """The command line allows only the listed words; the Python API must too."""
    allowed = get_args(get_type_hints(type(settings))[name])
    require(getattr(settings, name) in allowed, name, getattr(settings, name), " or ".join(allowed))


def check_views(views: tuple[str, ...]) -> None:
    """Raise InputError for views that are unknown or repeated, or without identity."""
    for view in views:
        if view not in VIEWS:
            near = nearest_option("--views", view, VIEWS)
            raise InputError(f"no view {view!r}", expected=" or ".join(VIEWS), remedy=near)
    shown = " ".join(views) or "empty"
    require(len(set(views)) == len(views), "views", shown, "each view once")
    needs = "identity among them: validation and predictions use it alone"
    require("identity" in views, "views", shown, needs)
