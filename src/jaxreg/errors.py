"""The few errors a user can meet. Each says what was found, what was expected and what to do."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice most like `name`, or None if none is near; upper and lower case are alike."""
    folded = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return folded[close[0]] if close else None


def nearest_option(flag: str, name: str, choices: Iterable[str]) -> str:
    """`flag` with the choice most like `name`, to copy; "" if none is near."""
    near = nearest(name, choices)
    return f"{flag} {near}" if near else ""


class JaxregError(Exception):
    """Base of all errors meant for a user; a command prints it as one message and exits.

    A remedy is a whole command, or an option to add to the command that was typed (`--target y`),
    or an imperative sentence (`save it as .csv`), which may end with `, then: ` and a command.

    Attributes:
        exit_code: what the process exits with when a command ends by this error.
        instead: a word that the user said, and the word that is meant; "" for a first word that is
            missing. A command then prints as the remedy what was typed, with the word meant.
    """

    exit_code = 1

    def __init__(
        self,
        found: str,
        *,
        expected: str = "",
        remedy: str = "",
        instead: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(found)
        self.found, self.expected, self.remedy, self.instead = found, expected, remedy, instead

    def __str__(self) -> str:
        expected = f"\n  expected: {self.expected}" if self.expected else ""
        return self.found + expected + (f"\n  try: {self.remedy}" if self.remedy else "")


class InputError(JaxregError, ValueError):
    """The user's input, cache or run is wrong or cannot be used."""

    exit_code = 2


class OptionError(InputError):
    """An option does not fit the source: a column that it lacks, or an option of other sources.

    Attributes:
        flag: the option as typed, such as --id-column.
    """

    def __init__(self, flag: str, found: str, *, expected: str = "", remedy: str = "") -> None:
        super().__init__(found, expected=expected, remedy=remedy)
        self.flag = flag


@contextmanager
def reading(what: str, *, expected: str = "", remedy: str = "") -> Iterator[None]:
    """Turn what a reader of foreign data did not expect into one InputError, with its cause.

    Libraries raise nearly anything for what others wrote, and so does code that goes through it.
    """
    try:
        yield
    except JaxregError:
        raise
    except MemoryError as error:
        raise InputError(f"cannot read {what}: it needs more memory than is free") from error
    except OSError as error:
        named = error.filename if isinstance(error.filename, str) else what
        raise InputError(f"cannot read {named}: {error.strerror or error}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise InputError(
            f"cannot read {what}: {reason}", expected=expected, remedy=remedy
        ) from error


class UnavailableError(JaxregError):
    """Weights or data that must come from elsewhere cannot be had."""

    exit_code = 3


class TooManyFailed(JaxregError):
    """More images failed than `--max-failed` allows; what was good has been written."""

    exit_code = 4


class Stopped(JaxregError):
    """A signal stopped the work. All finished work is saved; the same command goes on."""

    exit_code = 130
