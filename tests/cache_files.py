"""The files of a cache in a folder, for tests that look at them or damage them."""

from pathlib import Path

from jaxreg import verify
from jaxreg.cache.parts import list_parts
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache


def column_folder(cache: Cache, feature_set: str, column: Column) -> Path:
    """Where the parts of a column are."""
    return Path(cache.root, cache.folder(feature_set, column))


def part_paths(cache: Cache, feature_set: str, column: Column) -> list[Path]:
    """The parts of a column, in the order in which readers take them."""
    return [
        Path(cache.root, key) for key in list_parts(cache.store, cache.folder(feature_set, column))
    ]


def checked(cache: Cache) -> tuple[int, list[str], list[str]]:
    """What `verify` finds: sound parts, keys of damaged ones, sentences."""
    return verify.check(cache, {entry.key: entry for entry in cache.store.list("")})
