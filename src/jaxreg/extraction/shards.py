"""The result of all shares of an extraction, as the share that ends now finds it."""

from dataclasses import replace

from jaxreg.extraction.pipeline import Outcome, Task
from jaxreg.extraction.row_results import Digests, Failures, with_copies
from jaxreg.sources import pixels


def join_shares(task: Task, outcome: Outcome) -> Outcome | None:
    """The outcome of one extraction of everything; None while an image lacks its features.

    A share first writes its last parts, and then looks at the parts of the others. So of two
    shares that end at once at least one finds everything. If both do, they find the same.

    If an image of another share has no features, that share has yet to come, or the image cannot
    be used. Decoding it shows which.
    """
    cache = task.cache
    folders = [cache.folder(task.feature_set, column) for column in task.columns]
    there = [cache.present(folder, task.on_damage) for folder in folders]
    lacking: dict[str, int] = {}  # digest -> the first example with it
    for row, digest in enumerate(outcome.digests):
        if digest is None or task.shard.has(digest) or all(digest in d for d in there):
            continue
        lacking.setdefault(digest, row)
    reasons: dict[str, str] = {}
    for digest, row in lacking.items():
        reason = _why_unusable(task, row, digest)
        if reason is None:
            return None
        reasons[digest] = reason
    digests, failed = Digests.of(outcome.digests), Failures(outcome.failed)
    digests, failed = with_copies(digests, failed, reasons)
    return replace(outcome, digests=digests, failed=failed)


def _why_unusable(task: Task, row: int, digest: str) -> str | None:
    """Why an image cannot be used; None if it can, or is no longer the one of that digest."""
    try:
        content = pixels.read(task.images[row])
        if pixels.digest(content) == digest:
            pixels.refuse_small(pixels.decode(content, task.limits), task.smallest)
    except pixels.UnusableImage as error:
        return str(error)
    return None
