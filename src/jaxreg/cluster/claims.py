"""Which worker computes which image, so that of equal images in several units one is computed."""

from collections.abc import Callable, Sequence


class ClaimTable:
    """The claims of all workers; a digest takes about 120 bytes.

    A claim is open until the features are in the cache. The open claims of a worker that has died
    are free again.
    """

    def __init__(self) -> None:
        self._taken: set[bytes] = set()
        self._open: dict[int, set[bytes]] = {}  # by worker
        self._written: dict[int, tuple[int, list[str]]] = {}  # by worker: its unit, digests
        self._gone: set[int] = set()

    def ask(self, worker: int, digests: Sequence[str]) -> list[bool]:
        """Whether each digest is the worker's now; a worker that was released gets none."""
        return [self._take(worker, bytes.fromhex(digest)) for digest in digests]

    def _take(self, worker: int, key: bytes) -> bool:
        free = key not in self._taken and worker not in self._gone
        if free:
            self._taken.add(key)
            self._open.setdefault(worker, set()).add(key)
        return free

    def written(self, worker: int, unit: int, digests: Sequence[str]) -> None:
        """The features of these digests are in the cache."""
        self._open.get(worker, set()).difference_update(map(bytes.fromhex, digests))
        last, before = self._written.get(worker, (unit, []))
        self._written[worker] = (unit, [*before, *digests] if last == unit else [*digests])

    def release(self, worker: int, unit: int | None) -> list[str]:
        """Free the open claims of a worker that has died.

        Returns:
            The digests that it had written of `unit`, which it did not finish.
        """
        self._gone.add(worker)
        self._taken -= self._open.pop(worker, set())
        last, written = self._written.pop(worker, (None, []))
        return written if unit is not None and last == unit else []


class OwnClaims:
    """The claims of one worker in one unit, asked over the network."""

    def __init__(
        self,
        ask: Callable[[Sequence[str]], list[bool]],
        written: Callable[[Sequence[str]], None],
    ) -> None:
        self._ask, self.written = ask, written

    def ask(self, digests: Sequence[str]) -> set[str]:
        return {d for d, ours in zip(digests, self._ask(digests), strict=True) if ours}
