"""What a sweep searches: a dimension for each setting, a range or some choices."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

STATIC = (
    "head",
    "hidden",
    "components",
    "batch_size",
    "loss",
    "output_activation",
    "scale_features",
    "columns",
)
"""Settings that decide the program, its shapes or its features: the architecture of a head."""

DIGITS = 4  # of a number that is drawn

ALL = "all"  # columns=all: every cached column of the dataset


@dataclass(frozen=True)
class Dimension:
    """One setting that is searched: a range, or some choices."""

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False  # integers
    choices: tuple[Any, ...] = ()  # none: a range; columns=all has ALL alone

    def at(self, place: float) -> Any:
        """The value at a place from 0 to below 1; of choices each has an equal part."""
        if self.choices:
            return self.choices[min(int(place * len(self.choices)), len(self.choices) - 1)]
        if self.log:
            value = math.exp(math.log(self.low) + place * math.log(self.high / self.low))
        else:
            value = self.low + place * (self.high - self.low)
        if self.whole:
            return min(max(round(value), int(self.low)), int(self.high))
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    @property
    def is_range(self) -> bool:
        return not self.choices

    def to_json(self) -> dict[str, Any]:
        """What sweep.json says of it."""
        if self.is_range:
            return {"from": self.low, "to": self.high, "scale": "log" if self.log else "linear"}
        return {"choices": [list(c) if isinstance(c, tuple) else c for c in self.choices]}


@dataclass(frozen=True)
class Space:
    """All dimensions of a sweep, in the order in which they were named."""

    dimensions: tuple[Dimension, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def all_columns(self) -> bool:
        """Whether every cached column is a candidate."""
        return any(d.name == "columns" and d.choices == (ALL,) for d in self.dimensions)

    @property
    def listed_columns(self) -> tuple[tuple[str, ...], ...]:
        """The sets of columns that were named; none with `columns=all`, or without columns."""
        found = [d.choices for d in self.dimensions if d.name == "columns"]
        return () if self.all_columns or not found else found[0]

    def with_choices(self, name: str, choices: Iterable[Any]) -> "Space":
        """The same with other choices of one of its dimensions."""
        own = tuple(choices)
        each = (replace(d, choices=own) if d.name == name else d for d in self.dimensions)
        return Space(tuple(each))

    def without(self, name: str) -> "Space":
        """The same without one of its dimensions."""
        return Space(tuple(d for d in self.dimensions if d.name != name))

    def to_json(self) -> dict[str, Any]:
        """What sweep.json says of it."""
        return {dimension.name: dimension.to_json() for dimension in self.dimensions}


def text_of(value: Any) -> str:
    """A value as `--search` and trials.csv have it."""
    if isinstance(value, tuple):
        joint = "-" if all(isinstance(part, int) for part in value) else "+"
        return joint.join(map(str, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)
