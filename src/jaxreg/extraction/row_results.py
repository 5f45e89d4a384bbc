"""The digest of each of many rows, and why some have none, in a few bytes a row."""

from abc import abstractmethod
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Self, TypeVar, overload

import numpy as np

T = TypeVar("T")

PIECE = 2**20  # rows that are counted at a time


class _Texts:
    """Texts that repeat, each kept once and known by its number."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The number of a text, from 0."""
        found = self._numbers.setdefault(text, len(self.texts))
        if found == len(self.texts):
            self.texts.append(text)
        return found

    def numbers(self, texts: Collection[str]) -> list[int]:
        """The numbers of those of the texts that are known."""
        return [self._numbers[text] for text in texts if text in self._numbers]


class _Rows(Sequence[T]):
    """A sequence whose items are made when they are asked for; equal to a list of equal items."""

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    @abstractmethod
    def item(self, row: int) -> T:
        """The item of a row, from 0."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        places = range(len(self))[index]
        return self.item(places) if isinstance(places, int) else [self.item(r) for r in places]

    def __iter__(self) -> Iterator[T]:
        return map(self.item, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and [*self] == [*other]

    def __repr__(self) -> str:
        return repr([*self])


class Digests(_Rows[str | None]):
    """One digest a row, or None: 4 bytes a row, and each distinct digest once."""

    def __init__(self, digests: Iterable[str | None] = ()) -> None:
        self._texts, self._codes = _Texts(), array("i")
        self += digests

    @classmethod
    def of(cls, digests: Sequence[str | None]) -> "Digests":
        """The digests in this form."""
        return digests if isinstance(digests, Digests) else cls(digests)

    @classmethod
    def absent(cls, count: int) -> "Digests":
        """None for so many rows."""
        digests = cls()
        digests._codes = array("i", [-1]) * count
        return digests

    def __setitem__(self, row: int, digest: str | None) -> None:
        self._codes[row] = -1 if digest is None else self._texts.number(digest)

    def append(self, digest: str | None) -> None:
        """The digest of the next row."""
        self._codes.append(-1 if digest is None else self._texts.number(digest))

    def __iadd__(self, digests: Iterable[str | None]) -> Self:
        number = self._texts.number
        self._codes.extend([-1 if digest is None else number(digest) for digest in digests])
        return self

    def __len__(self) -> int:
        return len(self._codes)

    def item(self, row: int) -> str | None:
        code = self._codes[row]
        return None if code < 0 else self._texts.texts[code]

    def rows_of(self, digests: Collection[str]) -> np.ndarray:
        """The rows that have one of these digests."""
        wanted = self._texts.numbers(digests)
        return np.flatnonzero(np.isin(self._array, wanted)) if wanted else np.zeros(0, np.int64)

    def without(self, rows: np.ndarray) -> "Digests":
        """The same without the digests of some rows."""
        changed = Digests()
        changed._texts, changed._codes = self._texts, self._codes[:]
        changed._array[rows] = -1
        return changed

    def count(self, value: object) -> int:
        """How many rows have this digest, or None."""
        known = self._texts.numbers([value]) if isinstance(value, str) else []
        code = -1 if value is None else (known or [-2])[0]
        return int((self._array == code).sum())

    def tally(self, has: Callable[[str], bool]) -> tuple[int, int]:
        """How many rows have a digest that `has` takes, and how many distinct ones those are."""
        rows = np.zeros(len(self._texts.texts), np.int64)
        for start in range(0, len(self), PIECE):  # bincount makes its input wider
            codes = self._array[start : start + PIECE]
            rows += np.bincount(codes[codes >= 0], minlength=len(rows))
        taken = [has(text) for text in self._texts.texts]
        return int(rows[taken].sum()), int((rows[taken] > 0).sum())

    @property
    def _array(self) -> np.ndarray:
        """The same memory; while it is in use, nothing can be appended."""
        return np.frombuffer(self._codes, np.int32) if self._codes else np.zeros(0, np.int32)


class Failures(_Rows[tuple[int, str]]):
    """The rows that could not be used and why: 12 bytes each, and each distinct reason once."""

    def __init__(self, failed: Iterable[tuple[int, str]] = ()) -> None:
        self._texts, self._rows, self._codes = _Texts(), array("q"), array("i")
        self += failed

    def append(self, failed: tuple[int, str]) -> None:
        """A row and the reason."""
        self._rows.append(failed[0])
        self._codes.append(self._texts.number(failed[1]))

    def __iadd__(self, failed: Iterable[tuple[int, str]]) -> Self:
        for one in failed:
            self.append(one)
        return self

    def __len__(self) -> int:
        return len(self._rows)

    def item(self, row: int) -> tuple[int, str]:
        return self._rows[row], self._texts.texts[self._codes[row]]

    @property
    def rows(self) -> np.ndarray:
        """The numbers of the rows."""
        return np.array(self._rows, np.int64)

    def in_order(self) -> "Failures":
        """The same by row."""
        return Failures(self.item(place) for place in np.argsort(self.rows, kind="stable").tolist())


def with_copies(
    digests: Digests, failed: Failures, reasons: dict[str, str]
) -> tuple[Digests, Failures]:
    """Digests and failures where the copies of broken images have failed too.

    Args:
        digests: of each row.
        failed: rows that have failed already.
        reasons: by the digests of broken images.
    """
    copies = np.setdiff1d(digests.rows_of(reasons), failed.rows)
    every = Failures(failed)
    every += ((row, reasons[str(digests.item(row))]) for row in copies.tolist())
    every = every.in_order()
    return digests.without(every.rows), every
