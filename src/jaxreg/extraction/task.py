"""What an extraction is to do: images, and the columns that must hold their features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.extract_config import WHOLE, Shard
from jaxreg.extraction.reader import Known
from jaxreg.sources.depth import Range
from jaxreg.sources.examples import Image


class Claims(Protocol):
    """Who computes which image, where several processes fill one feature set at a time."""

    def ask(self, digests: Sequence[str]) -> set[str]:
        """Those of the digests that nobody else has computed or computes; they are ours now."""
        ...

    def written(self, digests: Sequence[str]) -> None:
        """Tell that all features of these digests are in the cache."""
        ...


@dataclass(frozen=True)
class Task:
    """Images, and the columns of a feature set that must hold their features."""

    images: Sequence[Image]
    cache: Cache
    feature_set: str
    columns: Sequence[Column]
    dtype: str = "float32"  # of new columns; one that is there keeps its own
    batch_size: int = 64
    smallest: int = 1  # pixels each way that an image needs
    limits: Range | None = None  # values of deep pixels that become 0 and 255
    shard: Shard = WHOLE  # images of other shares get their digest and nothing more
    known: Known | None = None  # what the columns hold, of `dtype`; None: look through the cache
    claims: Claims | None = None  # others compute images of this feature set at the same time
    on_damage: Callable[[str], None] = lambda path: None  # gets each part that is set aside


def look_through(task: Task) -> Known:
    """What the cache holds of the task's columns; damaged parts are set aside."""
    cache, name = task.cache, task.feature_set
    present = {c: cache.present(cache.folder(name, c), task.on_damage) for c in task.columns}
    return Known(present, cache.present(cache.thumbnails(task.limits), task.on_damage))
