"""What a store says of its keys."""

from collections.abc import Generator
from typing import Literal, NamedTuple


class Entry(NamedTuple):
    """What is at a key."""

    key: str
    size: int  # bytes
    mtime: float  # seconds since the epoch, of the last write
    kind: Literal["file", "link", "folder", "other"] = "file"  # of folders only empty ones


Contents = Generator[tuple[str, bytes | Exception], None, None]
"""Keys, each with its content or with why it could not be read."""
