"""What is being done now: steps with a name, a count and the time that is left."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

WINDOW = 30.0  # seconds whose speed is that of the step,
FEWEST = 10  # or as many counts, where these take longer
APART = 0.05  # seconds between two counts that are kept for it
EVERYTHING = ("count", "note", "rate", "left", "since")  # the parts of a step's text
BYTES = "bytes"  # the unit that is shown as kB, MB or GB

clock: Callable[[], float] = time.monotonic
running: list["Step"] = []  # in the order in which they began, over all threads


class Step:
    """One step of a command; `reach` counts what is done."""

    def __init__(
        self, name: str, total: int | None, unit: str, *, at_most: bool, own_lines: bool
    ) -> None:
        self.name, self.unit, self.at_most = name, unit, at_most
        self.total = None if total is not None and total < 2 else total  # one of one is no count
        self.own_lines = own_lines
        self.done, self.note, self.began = 0, "", clock()
        self._counts: deque[tuple[float, int]] = deque()

    def reach(self, done: int, note: str = "") -> None:
        """Count up to `done`; `note` is shown behind the count."""
        now, self.note = clock(), note
        if done == self.done:
            return
        self.done = done
        if not self._counts or now - self._counts[-1][0] >= APART:
            self._counts.append((now, done))
        while len(self._counts) > FEWEST and self._counts[0][0] < now - WINDOW:
            self._counts.popleft()

    def restart(self) -> None:
        """From now on it goes at its own speed: what came before was a start."""
        self._counts.clear()
        self._counts.append((clock(), self.done))

    def _rate_and_left(self, now: float) -> tuple[float, float] | None:
        """Counts in a second, and the seconds that are left; None until they are known.

        The time to the first count is no measure: it is often a start.
        """
        if len(self._counts) < 2 or self.total is None:
            return None
        (first, low), (last, high) = self._counts[0], self._counts[-1]
        each = (high - low) / (len(self._counts) - 1)
        rate = (high - low) / max(last - first, 1e-3)
        rate = min(rate, (high - low + each) / max(now - first, 1e-3))  # if the next one is late
        left, after = self.total - self.done, now - last
        return rate, max(left / rate - after, (left - each) / rate, 0.0)

    def text(self, shown: Sequence[str], now: float) -> str:
        """Some of its `parts`; its seconds if it is not counted."""
        if self.total is None:
            return f"{self.name} ({_time(now - self.began)})"
        parts = [part for part in map(self.parts(now).get, shown) if part]
        return f"{self.name}: {', '.join(parts)}"

    def parts(self, now: float) -> dict[str, str]:
        """What there is to say of a step that is counted: count, note, rate and left, or since."""
        total, known = self.total or 0, self._rate_and_left(now)
        parts = {"count": f"{self.done}/{total} {self.unit}", "note": self.note}
        if self.unit == BYTES:
            parts["count"] = f"{_bytes(self.done)} of {_bytes(total)}"
        if known is None:
            return parts | {"since": f"{_time(now - self.began)} so far"}
        rate, left = known
        parts["left"] = f"{'at most ' * self.at_most}{_time(left)} left"
        return parts | {"rate": self._rate_text(rate)}

    def _rate_text(self, rate: float) -> str:
        if self.unit == BYTES:
            return f"{_bytes(rate)}/s"
        if rate < 1:
            return f"{1 / rate:.1f} s/{self.unit.removesuffix('s')}"
        return f"{rate:.{0 if rate >= 100 else 1}f} {self.unit}/s"


@contextmanager
def step(
    name: str,
    total: int | None = None,
    unit: str = "",
    *,
    at_most: bool = False,
    own_lines: bool = False,
) -> Iterator[Step]:
    """The block is a step of what a command does; a terminal shows it (`progress_line`).

    Args:
        name: what is being done, as `solving the ridge`.
        total: how many `unit` there are to count; None: they are not known, or one.
        unit: a plural, as `images`, or BYTES.
        at_most: the step may end before it has reached its total.
        own_lines: where there is no terminal the command prints lines of its own.
    """
    one = Step(name, total, unit, at_most=at_most, own_lines=own_lines)
    running.append(one)
    try:
        yield one
    finally:
        running.remove(one)


def counted(name: str, items: Iterable[T], unit: str, total: int | None = None) -> Iterator[T]:
    """The items one by one, as a step that counts them; `total` where they have no length."""
    if total is None:
        items = tuple(items)
        total = len(items)
    with step(name, total, unit) as one:
        for done, item in enumerate(items, 1):
            yield item
            one.reach(done)


def line(steps: Sequence[Step], now: float, width: int) -> str:
    """The last step after the counts of those around it, with as much as `width` holds."""
    *around, last = steps
    text = ""
    for inner, outer in _SHOWN:
        counts = [one.parts(now) for one in around if one.total is not None]
        kept = [", ".join(part for name in outer if (part := its.get(name))) for its in counts]
        text = ": ".join([*filter(None, kept), last.text(inner, now)])
        if len(text) <= width:
            return text
    return text[: max(0, width - 1)] + "…"


_SHOWN = (
    (EVERYTHING, ("count", "left")),
    (("count", "note", "left"), ("count", "left")),
    (("count", "note"), ("count", "left")),
    (("count",), ("count", "left")),
    (("count", "left"), ("count",)),
    (("count", "left"), ()),
)
"""What is shown of the last step and of those around it, where there is less and less room."""


def _time(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _bytes(count: float) -> str:
    import humanize  # late: few steps count bytes

    return humanize.naturalsize(count)
