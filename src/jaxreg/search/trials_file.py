"""trials.csv: one line for each trial that has ended, appended whole."""

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jaxreg.common.files import open_regular
from jaxreg.errors import InputError
from jaxreg.search.trial_scores import Score

FIRST = ("trial", "stage", "fold", "status")
LAST = ("mae", "r2", "huber", "rows", "epochs", "seconds")
STAGES = ("ridge", "heads", "mean")
STATUSES = ("done", "stopped", "failed")
MOST_BYTES = 256_000_000  # of a file that is read


@dataclass(frozen=True)
class TrialRow:
    """One trial that has ended; scores are of its pooled predictions on the inner test rows."""

    trial: int  # unique in the file
    stage: str  # ridge: on columns; heads; mean: of the finalists of its choice
    fold: int | None  # the outer fold whose rows it did not see; None: it saw all rows
    status: str  # done, stopped by halving, failed
    mae: float | None = None  # target units; None: failed, or several targets
    r2: float | None = None
    huber: float | None = None  # the loss; of several targets the scaled one, which is minimized
    rows: int = 0  # scored
    epochs: int = 0  # that it was given; early stopping may have used fewer
    seconds: float = 0.0
    settings: Mapping[str, str] = field(default_factory=dict)  # texts; "" where one has no part

    @property
    def error(self) -> float | None:
        """What the sweep makes small; None for a trial that failed."""
        return self.huber if self.mae is None else self.mae

    def scored(self, score: Score | None, status: str = "done", **values: Any) -> "TrialRow":
        """The line of a trial with this score; without one it failed."""
        if score is None or status == "failed":
            return replace(self, status="failed", **values)
        return replace(self, status=status, **score._asdict(), **values)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Inside, no other sweep works in this folder; where there are no locks, that is not checked.

    The system takes the lock from a process that ends.

    Raises:
        InputError: another sweep works there.
    """
    try:
        import fcntl

        number = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        raise InputError(
            f"another sweep is at work in {folder}",
            expected="one at a time",
            remedy="wait for its end, or use another --run",
        ) from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(number)


class TrialsFile:
    """The file, and the trials that are in it."""

    def __init__(self, path: Path, settings: Sequence[str]) -> None:
        """Read the file, and cut off a last line that was not written whole.

        Args:
            path: of the file; it need not exist.
            settings: the searched settings, which are its columns.

        Raises:
            InputError: it is not a file of these settings, or a line is damaged.
        """
        self.path, self.settings = path, tuple(settings)
        self.columns = (*FIRST, *self.settings, *LAST)
        self.rows: dict[int, TrialRow] = {}
        self._size = 0
        if os.path.lexists(path):
            self._read()

    def append(self, rows: Iterable[TrialRow]) -> None:
        """Add lines; a trial that is there already is not written again.

        Raises:
            InputError: the file cannot be written.
        """
        new = [row for row in rows if row.trial not in self.rows]
        text = "".join(self._line(row) for row in new)
        if not self._size:
            text = ",".join(self.columns) + "\n" + text
        content = text.encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(
                f"cannot write {self.path}: {error.strerror or error}",
                remedy="free some space, then add --resume",
            ) from error
        self._size += len(content)
        self.rows |= {row.trial: row for row in new}

    def _line(self, row: TrialRow) -> str:
        values: dict[str, Any] = {**vars(row), **row.settings}
        cells = [_cell(values.get(name)) for name in self.columns]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        return text.getvalue()

    def _read(self) -> None:
        try:
            with open_regular(self.path, MOST_BYTES) as file:
                content = file.read()
        except OSError as error:
            raise self._damaged(f"it cannot be read: {error.strerror or error}") from error
        whole = content.rfind(b"\n") + 1
        try:
            text = content[:whole].decode()
            lines = list(csv.reader(io.StringIO(text), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._damaged(str(error)) from None
        if whole < len(content):  # a kill came while it was written
            try:
                os.truncate(self.path, whole)
            except OSError as error:
                raise self._damaged(f"it cannot be cut: {error.strerror or error}") from error
        self._size = whole
        if not lines:
            return
        if tuple(lines[0]) != self.columns:
            raise self._damaged(f"its columns are {', '.join(lines[0])[:200]}")
        for number, cells in enumerate(lines[1:], 2):
            row = self._row(number, cells)
            if row.trial in self.rows:
                raise self._damaged(f"line {number} has trial {row.trial} once more")
            self.rows[row.trial] = row

    def _row(self, number: int, cells: Sequence[str]) -> TrialRow:
        if len(cells) != len(self.columns):
            raise self._damaged(f"line {number} has {len(cells)} values, not {len(self.columns)}")
        said = dict(zip(self.columns, cells, strict=True))
        try:
            row = TrialRow(
                trial=_whole(said["trial"]),
                stage=_one_of(said["stage"], STAGES),
                fold=_whole(said["fold"]) if said["fold"] else None,
                status=_one_of(said["status"], STATUSES),
                **{name: _score(said[name]) for name in ("mae", "r2", "huber")},
                rows=_whole(said["rows"]),
                epochs=_whole(said["epochs"]),
                seconds=_score(said["seconds"]) or 0.0,
                settings={name: said[name] for name in self.settings},
            )
        except ValueError as error:
            raise self._damaged(f"line {number}: {error}") from None
        if row.status != "failed" and row.huber is None:
            raise self._damaged(f"line {number}: trial {row.trial} is {row.status}, without scores")
        return row

    def _damaged(self, why: str) -> InputError:
        return InputError(
            f"{self.path} is not as the sweep left it: {why}",
            expected="a file that only jaxreg has written",
            remedy="use another --run",
        )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 18):
        raise ValueError(f"{text[:50]!r} is no whole number")
    return int(text)


def _score(text: str) -> float | None:
    if not text:
        return None
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:50]!r} is not finite")
    return value


def _one_of(text: str, words: Sequence[str]) -> str:
    if text not in words:
        raise ValueError(f"{text[:50]!r} is none of {', '.join(words)}")
    return text
