"""What all shares of an extraction come to together, seen from the one that ends now."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.extract_config import Shard
from jaxreg.extraction.pipeline import Outcome
from jaxreg.sources import pixels
from jaxreg.sources.examples import Image


def join_shares(
    images: Sequence[Image],
    outcome: Outcome,
    cache: Cache,
    feature_set: str,
    columns: Sequence[Column],
    shard: Shard,
    smallest: int,
    on_damage: Callable[[Path], None],
) -> Outcome | None:
    """The outcome of one extraction of everything; None while an image lacks its features.

    A share ends by writing its last parts and looks at those of the others afterwards. So of two
    that end at once at least one finds everything, and both may: they find the same.

    An image of another share without features is either still to come, or cannot be used; that
    shows when it is decoded.
    """
    lacking: dict[str, int] = {}  # digest -> the first example with it
    there = [cache.present(cache.folder(feature_set, column), on_damage) for column in columns]
    for row, digest in enumerate(outcome.digests):
        if digest is not None and not shard.has(digest) and not all(digest in d for d in there):
            lacking.setdefault(digest, row)
    reasons: dict[str, str] = {}
    for digest, row in lacking.items():
        reason = _why_unusable(images[row], digest, smallest)
        if reason is None:
            return None
        reasons[digest] = reason
    broken = [(row, reasons[d]) for row, d in enumerate(outcome.digests) if d in reasons]
    digests = [None if digest in reasons else digest for digest in outcome.digests]
    return replace(outcome, digests=digests, failed=sorted([*outcome.failed, *broken]))


def _why_unusable(image: Image, digest: str, smallest: int) -> str | None:
    """Why an image cannot be used; None if it can, or is no longer the one of that digest."""
    try:
        content = pixels.read(image)
        if pixels.digest(content) == digest:
            pixels.refuse_small(pixels.decode(content), smallest)
    except pixels.UnusableImage as error:
        return str(error)
    return None
