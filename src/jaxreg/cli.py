"""What all commands share: messages, signals and exit codes."""

import gc
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from jaxreg.common import progress_line
from jaxreg.common.lean_imports import begin_command
from jaxreg.common.remote_file import shown
from jaxreg.errors import InputError, JaxregError, Stopped


def run_command(main: Callable[[], int]) -> NoReturn:
    """Run a command and exit by its result; an error for the user is one message, no traceback."""
    # Imports and traces leave millions of objects that live to the end. Looking through them for
    # garbage, over and over and once more on exit, took a second of a short training.
    gc.set_threshold(100_000, 50, 100)
    begin_command()
    if sys.stderr is None:  # it was closed; print would take standard output in its place
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        with progress_line.shown():
            code = main()
            sys.stdout.flush()
    except JaxregError as error:
        error.remedy = retyped(sys.argv, error) or error.remedy
        say(str(error) if isinstance(error, Stopped) else f"error: {error}")
        code = error.exit_code
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except OSError as error:
        if error.filename is None:  # not of a file that the user could name, move or mend
            raise
        name = os.fsdecode(error.filename)
        shown = name if len(name) <= 200 else f"{name[:200]}…"
        error = InputError(f"{shown}: {error.strerror or error}")
        say(f"error: {error}")
        code = error.exit_code
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    gc.freeze()
    sys.exit(code)


def retyped(argv: Sequence[str], error: JaxregError) -> str:
    """The command that was typed, with the word that is meant; "" if the error names none."""
    said, meant = error.instead or ("", "")
    words = [*argv[1:]] if said else [said, *argv[1:]]
    place = [i for i, word in enumerate(words) if said in (word, Path(word).name)]
    if not meant or not place:
        return ""
    words[place[0]] = meant
    command = argv[0] if argv[0].startswith("jaxreg ") else f"jaxreg {Path(argv[0]).stem}"
    return shlex.join([*command.split(), *map(shown, words)])


def say(text: str) -> None:
    """One line for people, on standard error."""
    print(text, file=sys.stderr, flush=True)


def say_next(command: str, *, quiet: bool) -> None:
    """The last line of a command: what to type next, if it is a person who reads it."""
    if not quiet:
        say(f"next: {command}")


def print_json(result: dict[str, Any]) -> None:
    """One JSON object, the last line of standard output; numbers that are not finite are null."""
    from jaxreg.common.json_files import json_line

    print(json_line(result), flush=True)


NAME_WIDTH = 24  # of the first column of a table; a longer name is folded where there is no room


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str] = ()
) -> None:
    """A table that a command exists to show, on standard output; whole lines where it is piped.

    A terminal that is too narrow gets a table without columns of `spare`, the first ones first. The
    first column names its row, so it is folded last.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    by_column = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    if not console.is_terminal:
        widths = [max(map(cell_len, [name, *cells])) for name, cells in by_column.items()]
        for row in [columns, *rows]:
            padded = (c + " " * (w - cell_len(c)) for c, w in zip(row, widths, strict=True))
            print("  ".join(padded).rstrip())
        return
    least = {
        name: max(_least_width(cells), *map(len, name.split())) for name, cells in by_column.items()
    }
    longest = {name: max(map(cell_len, cells), default=0) for name, cells in by_column.items()}
    wanted = min(longest[columns[0]], NAME_WIDTH) - least[columns[0]]  # so that no name is folded
    hidden = list[str]()
    for name in spare:
        if _room(console.width, least) < wanted and name in least:
            del least[name]
            hidden.append(name)
    table = Table(box=None, pad_edge=False)
    for name, width in least.items():
        more = max(0, min(longest[name] - width, _room(console.width, least)))
        least[name] += more
        table.add_column(name, overflow="fold", width=width + more)
    for row in zip(*(by_column[name] for name in least), strict=True):
        table.add_row(*row)
    console.print(table)
    if hidden:
        say(f"a wider terminal also shows: {', '.join(hidden)}")


def _room(width: int, columns: Mapping[str, int]) -> int:
    """The width that columns leave free, with two spaces between them."""
    return width - sum(own + 2 for own in columns.values()) + 2


def _least_width(cells: Sequence[str]) -> int:
    """The width that a column needs: a number is never cut, a text may be folded."""
    words = [word for cell in cells for word in cell.split()]
    longest = max(map(len, words), default=0)
    pattern = r"[-(]?[-\d.eE+∞]*\)?|yes|no|to|inf|nan"
    return longest if all(re.fullmatch(pattern, word) for word in words) else min(longest, 6)


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
    import pyarrow

    # where it reads a CSV file, a signal would end that with an error of its own
    pyarrow.enable_signal_handlers(False)

    def note(number: int, frame: object) -> None:
        if stop():
            progress_line.hide()
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
        pyarrow.enable_signal_handlers(True)


@contextmanager
def unwound_on_sigterm() -> Iterator[None]:
    """SIGTERM inside the block ends the process as an exception, so that all is tidied up."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def scores_text(scores: Mapping[str, float | None]) -> str:
    """`MAE 0.123, R² 0.9`; without a score that is not defined."""
    pairs = ("MAE", scores["mae"]), ("R²", scores["r2"])
    return ", ".join(f"{word} {value:.3g}" for word, value in pairs if value is not None)
