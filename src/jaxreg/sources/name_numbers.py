"""Names of many rows: which repeat, and their numbers, in a few bytes a row."""

import re
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

_NUMBERED = re.compile(r"#\d+$")


class NameHashes:
    """The hashes of all names of a table, 8 bytes each."""

    def __init__(self) -> None:
        self._pieces: list[np.ndarray] = []
        self._numbered = False

    def add(self, names: Sequence[str]) -> None:
        """The names of the next rows."""
        self._pieces.append(_hashes(names))
        self._numbered = self._numbered or any("#" in n and _NUMBERED.search(n) for n in names)

    def repeats(self) -> Iterator[tuple[int, int]]:
        """Pairs of rows that seem to have one name, as their hashes are equal.

        The second rows are in their order, and the first of each pair is the first with the hash.
        """
        hashes = np.concatenate(self._pieces)
        again = _repeated(np.sort(hashes))
        rows = np.flatnonzero(np.isin(hashes, again)) if len(again) else np.zeros(0, np.int64)
        first: dict[int, int] = {}
        for row in rows.tolist():
            one = first.setdefault(int(hashes[row]), row)
            if one != row:
                yield one, row

    def numbering(self) -> "Numbering":
        """What makes ids of the names. The hashes here are let go."""
        hashes = np.concatenate(self._pieces)
        self._pieces = []
        hashes.sort()
        return Numbering(_repeated(hashes), np.unique(hashes) if self._numbered else None)


class Numbering:
    """Puts `#2`, `#3` … behind repeated names, as `naming.unique`, when names come piece by piece.

    Names are equal if 128 bits of hashes are; with less than 2^64 rows none are by chance.
    """

    def __init__(self, repeated: np.ndarray, taken: np.ndarray | None) -> None:
        """Take what `NameHashes` found.

        Args:
            repeated: sorted, the hashes of names that repeat.
            taken: sorted, those of all names; None if no name looks like a numbered repeat.
        """
        self._repeated, self._taken = repeated, taken
        self._seen = array("I", bytes(4 * len(repeated)))
        self._check = array("q", bytes(8 * len(repeated)))
        self._alike: dict[str, int] = {}  # names with the hash of another one

    def again(self) -> "Numbering":
        """The same for all names from the first one on."""
        return Numbering(self._repeated, self._taken)

    def ids(self, names: Sequence[str]) -> list[str]:
        """The ids of the next rows."""
        ids = [*names]
        if not len(self._repeated) or not ids:
            return ids
        hashes = _hashes(names)
        places = np.searchsorted(self._repeated, hashes).clip(max=len(self._repeated) - 1)
        rows = np.flatnonzero(self._repeated[places] == hashes)
        for row, place in zip(rows.tolist(), places[rows].tolist(), strict=True):
            ids[row] = self._numbered(names[row], place)
        return ids

    def _numbered(self, name: str, place: int) -> str:
        check = hash(name + "\0")
        known = self._seen[place]
        if not known:
            self._check[place] = check
        alike = self._check[place] != check
        number = (self._alike.get(name, 0) if alike else known) + 1
        unused = name
        while number > 1 and self._is_taken(unused := f"{name}#{number}"):
            number += 1
        if alike:
            self._alike[name] = number
        else:
            self._seen[place] = number
        return unused

    def _is_taken(self, name: str) -> bool:
        if self._taken is None:
            return False
        wanted = hash(name)
        place = int(np.searchsorted(self._taken, wanted))
        return place < len(self._taken) and int(self._taken[place]) == wanted


def _hashes(names: Sequence[str]) -> np.ndarray:
    """(n,) int64, other ones in each process."""
    return np.fromiter(map(hash, names), np.int64, len(names))


def _repeated(hashes: np.ndarray) -> np.ndarray:
    """Of sorted hashes, those that are there more than once, each once."""
    again = hashes[1:] == hashes[:-1]
    first = again.copy()
    first[1:] &= ~again[:-1]
    return hashes[1:][first]
