"""What all kinds of split share: the sides, and numbers drawn from names."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.errors import InputError

TRAIN, VALIDATION, TEST, LEFT_OUT = "train", "validation", "test", "left-out"
LABEL = "<U10"  # NumPy text that holds the longest of them

SHOWN_VALUES, SHOWN_PARTS = 6, 10  # that a note names

SIDES_OF_VALUES = {
    TRAIN: ("trains", "train"),
    VALIDATION: ("validates", "validate"),
    TEST: ("tests", "test"),
}
"""What one value of a column does on each side, and what several do."""

_WORDS = {
    TRAIN: "train(ing)?|trn",
    VALIDATION: "val(id(ation)?)?|dev(elopment)?",
    TEST: "test(ing)?|tst|hold[ _-]?out|held[ _-]?out",
}
_HELD_OUT = f"{_WORDS[VALIDATION]}|eval(uation)?|{_WORDS[TEST]}"
_SIDE_NAMES = [
    re.compile(rf"({one})[ _-]?\d*", re.IGNORECASE) for one in (_WORDS[TRAIN], _HELD_OUT)
]
_SIDE_FLAG = re.compile(rf"(is|in)[ _]?({_WORDS[TRAIN]}|{_HELD_OUT})([ _]?set)?", re.IGNORECASE)


@dataclass(frozen=True)
class Split:
    """Each row's side, and what a person should know about how it got there."""

    labels: np.ndarray  # text, one per row: train, validation, test or left-out
    kind: str  # resolved, as blocks:10
    units: int  # how many parts of the rows it can hold out: blocks, groups, images or rows
    notes: tuple[str, ...] = ()  # whole sentences


def side_of(word: str) -> str | None:
    """The side that a word of a table names, in any case; None: no side."""
    return next((side for side, w in _WORDS.items() if re.fullmatch(w, word, re.IGNORECASE)), None)


def flag_side(name: str) -> str | None:
    """The side of the rows that are true in a column such as `is_valid`; None: no such name."""
    match = _SIDE_FLAG.fullmatch(name)
    return side_of(match[2]) if match else None


def named_sides(name: str, words: Collection[str]) -> bool:
    """Whether the words of a column, such as train1 and val1, or its name, as `is_eval`, say sides.

    Some of these are no words of `side_of`.
    """
    sides = all(any(map(side.fullmatch, words)) for side in _SIDE_NAMES)
    return sides or (sum(map(bool, words)) == 2 and bool(_SIDE_FLAG.fullmatch(name)))


def refuse_sides(name: str, values: pa.Array | pa.ChunkedArray) -> None:
    """Raise InputError if a column says on which side each row is, as a column of groups does not.

    Such a column has values like train and val, whatever its other values, or is a flag like
    `is_valid`. As groups, a draw would decide which of the values trains.
    """
    values = values.unique().drop_null()  # few, unlike their rows; and Python lacks some times
    shown = sorted({value.strip() for value in values.cast(pa.string()).to_pylist()} - {""})
    if not named_sides(name, shown):
        return
    raise InputError(
        f"column {name!r} says on which side each row is ({', '.join(shown[:8])}). As groups, a "
        "random draw would decide which of them train",
        expected="a column that is equal for rows that belong together, such as photographs, "
        "drives or patients",
        remedy=f"--split column:{name}",
    )


def where_each_went(
    column: str, names: Sequence[str], parts: np.ndarray, verbs: Mapping[Any, tuple[str, str]]
) -> str:
    """A sentence that says in which part of the rows each value of a column is.

    Args:
        column: its name.
        names: the value of each row; all rows of a value are in one part.
        parts: of each row, a key of `verbs`.
        verbs: what one value does in a part, and what several do, as `trains` and `train`.
    """
    values, first, count = np.unique(np.array(names), return_index=True, return_counts=True)
    order = np.argsort(-count, kind="stable")
    said = []
    for part, (one, several) in verbs.items():
        own = [i for i in order if parts[first[i]] == part]
        if not own:
            continue
        shown = own[:SHOWN_VALUES] if len(own) > SHOWN_VALUES + 1 else own
        each = [f"{values[i]} ({_rows(int(count[i]))})" for i in shown]
        if rest := own[len(shown) :]:
            each.append(f"and {len(rest)} more ({_rows(int(count[rest].sum()))})")
        said.append(f"{len(own)} {one if len(own) == 1 else several}: {', '.join(each)}")
    left = f"; and {len(said) - SHOWN_PARTS} more" if len(said) > SHOWN_PARTS else ""
    return f"Of {len(values)} values of {column!r}, {'; '.join(said[:SHOWN_PARTS])}{left}."


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def places_of(texts: Iterable[str]) -> np.ndarray:
    """A number in [0, 1) for each text: the first 13 hex digits of its SHA-256, over 16**13."""
    heads = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in texts)
    return (np.frombuffer(heads, dtype=">u8") >> 12) / 2**52  # 52 bits, all that a float64 holds


def share_of(share: float, whole: np.ndarray | float) -> np.ndarray:
    """ceil(share × whole), not misled by 0.07 × 100 being 7.000000000000001."""
    return np.ceil(np.round(np.multiply(share, whole), 9)).astype(np.int64)
