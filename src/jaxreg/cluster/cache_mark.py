"""A file in the cache by which workers see that theirs is the same."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from jaxreg.cache.store import Cache


class Mark(NamedTuple):
    """Where it is, and what is in it."""

    key: str
    content: bytes

    def is_in(self, cache: Cache) -> bool:
        """Whether a cache has it."""
        try:
            return cache.store.read(self.key) == self.content
        except OSError:
            return False


@contextmanager
def marked(cache: Cache, feature_set: str) -> Iterator[Mark]:
    """The mark, as long as the block runs. Raises InputError where nothing can be written."""
    # a killed driver leaves it there, and `verify --repair` deletes files of such a name
    name = f".ray.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    mark = Mark(f"features/{feature_set}/{name}", secrets.token_bytes(16))
    cache.store.put(mark.key, mark.content)
    try:
        yield mark
    finally:
        cache.store.delete(mark.key)
