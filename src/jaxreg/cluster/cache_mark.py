"""A file in the cache by which workers see that theirs is the same."""

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
    name = secrets.token_hex(8)
    mark = Mark(f"features/{feature_set}/ray-{name}.mark", name.encode())
    cache.store.put(mark.key, mark.content)
    try:
        yield mark
    finally:
        cache.store.delete(mark.key)
