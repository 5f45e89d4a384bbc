"""`--shard I/N`: which share of all images one of several extractions takes."""

import re
from dataclasses import dataclass
from typing import Self

from jaxreg.errors import InputError


@dataclass(frozen=True)
class Shard:
    """Share `index` of `count`, by the images' digests: the same on every machine."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """From `I/N`, I from 0; None is the whole. Raises InputError for anything else."""
        if text is None:
            return cls()
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        index, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if index >= count:
            raise InputError(
                f"--shard is {text}",
                expected="I/N: share I of N, counted from 0, as 0/4, 1/4, 2/4 and 3/4",
            )
        return cls(index, count)

    @property
    def whole(self) -> bool:
        """Whether there are no other shares."""
        return self.count == 1

    def has(self, digest: str) -> bool:
        """Whether the image of that digest belongs to this share."""
        return int(digest[:16], 16) % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard()
"""All images."""
