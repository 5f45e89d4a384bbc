"""What an extraction has found of its examples, its counts and its seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxreg.extract_config import Shard
from jaxreg.extraction.row_results import Digests, Failures, with_copies
from jaxreg.sources.depth import Depth, Range


@dataclass
class Seconds:
    """Where the time went; `read` is the sum over the reading threads."""

    start: float = 0.0  # imports, weights and compilation
    read: float = 0.0
    compute: float = 0.0  # with at least one batch on the engine
    write: float = 0.0
    total: float = 0.0


@dataclass
class Progress:
    """How far an extraction has come; handed to `on_progress` after every batch."""

    images: int  # examples in all
    seen: int = 0  # examples read
    computed: int = 0  # distinct digests computed
    seconds: Seconds = field(default_factory=Seconds)


@dataclass
class Outcome:
    """The digest or failure of each example, and the counts of the own share."""

    digests: Sequence[str | None]  # one per example; None: it could not be used
    failed: Sequence[tuple[int, str]]  # example's number, reason
    computed_digests: list[str]  # distinct ones, computed now
    reused: int  # distinct digests that the cache had
    seconds: Seconds
    stopped: bool  # by `should_stop`, before all were read
    notes: list[str]  # sentences for the user on the depth of the images decoded now
    workers: Sequence[dict[str, Any]] = ()  # of a cluster: node, images, images_per_second
    engine: str = ""  # of these workers

    @property
    def computed(self) -> int:
        return len(self.computed_digests)


@dataclass
class Found:
    """What reading and computing some examples has found; their copies are not looked at yet."""

    digests: Digests = field(default_factory=Digests)  # None: it could not be read
    failed: Failures = field(default_factory=Failures)  # example's number, reason
    reasons: dict[str, str] = field(default_factory=dict)  # by digest
    computed: list[str] = field(default_factory=list)  # distinct digests
    depth: Depth = field(default_factory=Depth)
    seconds: Seconds = field(default_factory=Seconds)
    stopped: bool = False

    def outcome(self, share: Shard, limits: Range | None) -> Outcome:
        """The result: a copy of a broken image fails for the same reason."""
        digests, failed = with_copies(self.digests, self.failed, self.reasons)
        fresh = set(self.computed)
        _, reused = digests.tally(lambda digest: share.has(digest) and digest not in fresh)
        return Outcome(
            digests,
            failed,
            self.computed,
            reused,
            self.seconds,
            self.stopped,
            self.depth.notes(limits),
        )
