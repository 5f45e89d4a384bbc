"""What all units have found, put together as one outcome."""

from collections.abc import Sequence
from dataclasses import fields

from jaxreg.cluster.units import Unit
from jaxreg.extraction.outcome import Found, Seconds
from jaxreg.extraction.reader import Known
from jaxreg.extraction.row_results import Digests


class Gathered:
    """The results of units, in whatever order they come."""

    def __init__(self, images: int) -> None:
        self.found = Found(digests=Digests.absent(images))
        self.seen = 0

    def take(self, unit: Unit, found: Found) -> None:
        """Put a unit's result in its place; of a row that was read twice the last one counts."""
        whole = self.found
        for row, digest in zip(unit.rows, found.digests, strict=False):  # fewer after a stop
            whole.digests[row] = digest
        whole.failed += [(unit.rows[at], reason) for at, reason in found.failed]
        whole.reasons |= found.reasons
        whole.computed += found.computed
        whole.depth += found.depth
        whole.stopped |= found.stopped
        for one in fields(Seconds):
            total = getattr(whole.seconds, one.name) + getattr(found.seconds, one.name)
            setattr(whole.seconds, one.name, total)
        self.seen += len(found.digests)

    def fail(self, unit: Unit, reason: str) -> None:
        """The unit was given up: its rows cannot be used, nor copies of those that were read."""
        self.found.failed += [(row, reason) for row in unit.rows]
        read = [self.found.digests[row] for row in unit.rows]
        self.found.reasons |= {digest: reason for digest in read if digest is not None}
        self.seen += len(unit.rows)

    def lacking(self, known: Known) -> Sequence[int]:
        """Rows whose features nobody has written: their worker died, and its unit was given up."""
        done = set(self.found.computed)
        first: dict[str, int] = {}
        for row, digest in enumerate(self.found.digests):
            if digest is not None and digest not in first:
                first[digest] = row
        return [
            row
            for digest, row in first.items()
            if digest not in done
            and digest not in self.found.reasons
            and not all(digest in digests for digests in known.present.values())
        ]
