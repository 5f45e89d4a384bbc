"""Nested settings and scores as flat names, each with one plain value."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

Plain = bool | int | float | str


def flat_settings(settings: Mapping[str, Any], first: str = "") -> dict[str, Plain]:
    """Settings under one name each: `recipe.size` is `299 299`.

    The words of a list are joined as on the command line. What is None or empty is left out,
    because the run does not have it.
    """
    found: dict[str, Plain] = {}
    for name, value in _leaves(settings, first, "."):
        if isinstance(value, list | tuple):
            text = " ".join(map(str, value))
            found |= {name: text} if text else {}
        elif isinstance(value, bool | int | float | str):
            found[name] = value
        elif value is not None:
            found[name] = str(value)
    return found


def flat_numbers(scores: Mapping[str, Any] | None, first: str = "") -> dict[str, float]:
    """Numbers under one name each: `baseline/ridge/mae`. Texts, None and lists are left out."""
    return {
        name: float(value)
        for name, value in _leaves(scores or {}, first, "/")
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def number_or_text(text: str) -> Plain:
    """The number that a text is; a text that is none, or not finite, stays as it is."""
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def _leaves(values: Mapping[str, Any], first: str, joint: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        full = f"{first}{joint}{name}" if first else str(name)
        inner = value
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            inner = {str(number): one for number, one in enumerate(value)}
        if isinstance(inner, Mapping):
            yield from _leaves(inner, full, joint)
        else:
            yield full, value
