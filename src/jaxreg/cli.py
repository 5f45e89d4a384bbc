"""What all commands share: parsing, messages, progress, signals and exit codes."""

import gc
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from jaxreg.errors import InputError, JaxregError, Stopped

if TYPE_CHECKING:
    from jaxreg.extraction.pipeline import Progress

Arguments = TypeVar("Arguments")


def parse(
    arguments: type[Arguments],
    command: str,
    argv: Sequence[str] | None = None,
    defaults: Callable[[Sequence[str]], Arguments] | None = None,
) -> Arguments:
    """Parse the command line into a settings dataclass; wrong words end the process with 2.

    `defaults` makes the values of options left out, from the words themselves.
    """
    import tyro

    words = sys.argv[1:] if argv is None else list(argv)
    refuse_repeated_options(words)
    given: dict[str, Any] = {} if defaults is None else {"default": defaults(words)}
    return tyro.cli(
        arguments,
        prog=f"jaxreg {command}",
        args=words,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.PositionalMetavarFromFieldName),
        **given,
    )


def value_of(argv: Sequence[str], flag: str) -> str | None:
    """The value of an option that decides the defaults of the others, before parsing."""
    for word, following in zip_longest(argv, argv[1:]):
        if word == flag:
            return following
        if word.startswith(flag + "="):
            return word.removeprefix(flag + "=")
    return None


def refuse_repeated_options(argv: Sequence[str]) -> None:
    """Of an option given twice the parser would silently keep the last: raise InputError."""
    flags = [word.split("=")[0].replace("_", "-") for word in argv if word.startswith("--")]
    flags = [flag.replace("--no-", "--") for flag in flags]
    if repeated := sorted({flag for flag in flags if flags.count(flag) > 1}):
        raise InputError(
            f"{repeated[0]} is given more than once",
            expected=f"each option once; several values follow one option: {repeated[0]} A B",
        )


def run_command(main: Callable[[], int]) -> NoReturn:
    """Run a command and exit by its result; an error for the user is one message, no traceback."""
    # Imports and traces leave millions of objects that live to the end. Looking through them for
    # garbage, over and over and once more on exit, took a second of a short training.
    gc.set_threshold(100_000, 50, 100)
    try:
        code = main()
        sys.stdout.flush()
    except JaxregError as error:
        say(str(error) if isinstance(error, Stopped) else f"error: {error}")
        code = error.exit_code
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    gc.freeze()
    sys.exit(code)


def say(text: str) -> None:
    """One line for people, on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_json(result: dict[str, Any]) -> None:
    """The machine's answer: one JSON object, the last line of standard output.

    JSON has no number that is not finite: those become null.
    """
    print(json.dumps(_finite(result), allow_nan=False), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


class StopSignal:
    """Whether SIGTERM or SIGINT has come: the first asks to save and stop, the second exits."""

    number: int | None = None

    def __call__(self) -> bool:
        return self.number is not None


@contextmanager
def stop_signal() -> Iterator[StopSignal]:
    """Turn the first SIGTERM or SIGINT inside the block into a request to save and stop."""
    stop = StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may set handlers
        return

    def note(number: int, frame: object) -> None:
        if stop():
            os._exit(128 + number)
        stop.number = number
        say("stopping: saving what is done (once more exits at once)")

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    except Stopped as stopped:
        stopped.exit_code = 128 + (stop.number or 0)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class LiveLine:
    """One line that is rewritten on a terminal; off it, plain lines. To be used with `with`."""

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.live import Live

        self.quiet = quiet
        self.printed = time.monotonic()
        console = Console(stderr=True, highlight=False)
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self.live and not self.quiet:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def show(self, text: str, *, every: float = 0.0) -> None:
        """Show `text`; where there is no terminal, at most one line in `every` seconds."""
        if self.quiet:
            return
        if self.live:
            self.live.update(text, refresh=True)
        elif time.monotonic() - self.printed >= every:
            say(text)
            self.printed = time.monotonic()


def progress_text(progress: "Progress") -> str:
    """`1234/5000 images, 34.5 images/s, 109 s left`."""
    busy = progress.seconds.compute
    text = f"{progress.seen}/{progress.images} images"
    if not progress.computed or not busy:
        return text
    left = (progress.images - progress.seen) * busy / progress.computed
    return f"{text}, {progress.computed / busy:.1f} images/s, {left:.0f} s left"
