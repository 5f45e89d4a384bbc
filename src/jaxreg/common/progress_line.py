"""The running step on standard error: one line that is rewritten on a terminal, else plain lines.

Rich has such lines too. Its own hides the cursor, which a killed process leaves hidden, takes
FORCE_COLOR for a terminal, and waits behind its text, where the output of C++ libraries tears it.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, TextIO

from jaxreg.common import steps

AFTER = 2.0  # seconds: a shorter step is not worth a plain line
EVERY = 10.0  # seconds between two plain lines of one step, at least
SHOWN_AFTER = 0.5  # seconds: a line on a terminal is not worth less
REDRAWN = 0.2  # seconds
SPINNER = "|/-\\"
ERASE = "\r\x1b[K"
DUMB = ("dumb", "unknown")  # terminals that cannot erase a line


class ProgressLine:
    """The line; `tick` brings it up to date, and `write` puts text above it."""

    def __init__(self, stream: TextIO, *, live: bool) -> None:
        self.live = live
        self._lock = threading.RLock()  # a signal's handler may write while its thread does
        self._said: dict[steps.Step, float] = {}
        self._drawn = self._inside = self._closed = False
        self._turn = 0
        self._stream, self._file = stream, None
        with suppress(OSError, ValueError):  # a copy, because Keras' start redirects the original
            self._file = os.dup(stream.fileno())

    def tick(self) -> None:
        """Show the running step."""
        with self._lock:
            running = list(steps.running)
            if self._closed:
                return
            if not self.live:
                self._say_last(running)
            elif not running or steps.clock() - running[0].began < SHOWN_AFTER:
                self.erase()
            elif not self._inside:
                self._turn += 1
                text = steps.line(running, steps.clock(), self._columns() - 3)
                # the cursor goes back: what other libraries write then begins on a line of its own
                self._put(f"\r{SPINNER[self._turn % 4]} {text}\x1b[K\r")
                self._drawn = True

    def write(self, stream: TextIO, text: str) -> int:
        """Write text for people where the line is, and the line below it."""
        with self._lock:
            self.erase()
            self._inside = not text.endswith("\n") if text else self._inside
            return stream.write(text)

    def erase(self) -> None:
        """Leave nothing of the line on the terminal; the next tick draws it again."""
        with self._lock:
            if self._drawn:
                self._put(ERASE)
            self._drawn = False

    def close(self) -> None:
        """Erase the line and show nothing any more."""
        with self._lock:
            self.erase()
            if self._file is not None and not self._closed:
                os.close(self._file)
            self._closed = True

    def _say_last(self, running: list[steps.Step]) -> None:
        """A plain line for the last step, if it is due."""
        if not running or running[-1].own_lines:
            return
        last, now = running[-1], steps.clock()
        if last not in self._said:
            if now - last.began < AFTER:
                return
        elif last.total is None or now - self._said[last] < EVERY:
            return
        self._said = {one: self._said[one] for one in running if one in self._said}
        self._said[last] = now
        self._put(
            f"{last.name} …\n" if last.total is None else f"{last.text(steps.EVERYTHING, now)}\n"
        )

    def _columns(self) -> int:
        with suppress(OSError):
            return os.get_terminal_size(self._file or 2).columns or 80
        return 80

    def _put(self, text: str) -> None:
        with suppress(OSError, ValueError):  # the terminal or the reader of a pipe has gone
            if self._file is None:
                self._stream.write(text)
                self._stream.flush()
            else:
                os.write(self._file, text.encode(self._stream.encoding or "utf-8", "replace"))


class _Above:
    """A standard stream whose text appears above the line."""

    def __init__(self, stream: TextIO, line: ProgressLine) -> None:
        self._stream, self._line = stream, line

    def write(self, text: str) -> int:
        return self._line.write(self._stream, text)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_shown: list[ProgressLine] = []


def is_live() -> bool:
    """Whether a line on a terminal shows the running step."""
    return any(line.live for line in _shown)


def hide() -> None:
    """Show no step until the command ends, and leave nothing of the line."""
    for line in _shown:
        line.close()


@contextmanager
def shown() -> Iterator[None]:
    """Show the steps of the block on standard error."""
    line = ProgressLine(sys.stderr, live=sys.stderr.isatty() and os.environ.get("TERM") not in DUMB)
    stop = threading.Event()

    def keep_ticking() -> None:
        while not stop.wait(REDRAWN):
            line.tick()

    thread = threading.Thread(target=keep_ticking, name="progress", daemon=True)
    before = sys.stdout, sys.stderr
    _shown.append(line)
    thread.start()
    try:
        with _erased_on_sigterm(line) if line.live else nullcontext():
            if line.live:
                sys.stderr = _Above(sys.stderr, line)
                sys.stdout = _Above(sys.stdout, line) if sys.stdout else sys.stdout
            yield
    finally:
        sys.stdout, sys.stderr = before
        stop.set()
        line.close()
        _shown.remove(line)


@contextmanager
def _erased_on_sigterm(line: ProgressLine) -> Iterator[None]:
    """SIGTERM ends the process as ever, and the line with it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    ):
        yield
        return

    def end(number: int, frame: object) -> None:
        line.close()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
