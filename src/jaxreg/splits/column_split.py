"""The split that a column of the source gives: the side of each row, or its fold."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxreg.errors import InputError
from jaxreg.sources.naming import natural_key
from jaxreg.splits.sides import (
    LABEL,
    LEFT_OUT,
    SIDES_OF_VALUES,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    flag_side,
    named_sides,
    share_of,
    side_of,
    where_each_went,
)

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NAMES = re.compile(r"split|subset|set|(cv|k)?[ _-]?folds?", re.IGNORECASE)
"""Columns of these names may hold a split; `train` names them if they do."""

_CALLED_FOLD = re.compile(r"(?<![A-Za-z])(?i:(cv|k)?folds?)(?![A-Za-z])|Folds?(?![A-Za-z])")
"""In the name of a column of folds, such as `cv_fold`; not in folder or scaffold."""

SHOWN = 8  # words that a message lists
LONGEST = 40  # characters of a word that a message lists
MOST_OFFERED = 20  # folds; more words are rather names


@dataclass(frozen=True)
class GivenSplit:
    """What a column says of the rows."""

    sides: np.ndarray  # (rows,) text: train, validation, test or left-out
    folds: np.ndarray | None  # (rows,) number of the fold from 0, -1 for none; None: no folds
    names: tuple[str, ...]  # of the folds, in the order of their numbers


def read_given_split(name: str, texts: Sequence[str | None], folds: int | None) -> GivenSplit:
    """The sides or the folds that a column names.

    Words of sides are those that people write, in any case: train, training; val, valid,
    validation, dev; test, testing, holdout. In a column such as `is_valid`, true and false are
    such words. Other words are folds if the column is called a fold, or if `folds` is given; rows
    with a word for test are then in no fold. A row without a word is left out.

    Args:
        name: of the column.
        texts: its value in each row, None where it has none.
        folds: how many folds were asked for; None: no number was given.

    Raises:
        InputError: a word that names no side, or another number of folds.
    """
    words, sides, unknown = _read(name, texts)
    if not unknown:
        if folds is not None:
            raise InputError(
                f"--folds {folds}, and column {name!r} says on which side each row is",
                expected="a column of folds, or no --folds",
                remedy="leave --folds out",
            )
        return GivenSplit(_labels(sides[word] for word in words), None, ())
    others = [word for word, side in sides.items() if side in (TRAIN, VALIDATION)]
    if others or (folds is None and not _CALLED_FOLD.search(name)):
        raise InputError(
            f"column {name!r} has words that name no side: {_listed(unknown)}",
            expected="train; val, valid, validation or dev; test or holdout",
            remedy=_another_use(name, unknown, words),
        )
    if folds not in (None, len(unknown)):
        raise InputError(
            f"--folds {folds}, and column {name!r} has {len(unknown)} folds: {_listed(unknown)}",
            expected="their number, or no --folds",
            remedy=f"--folds {len(unknown)}",
        )
    labels = _labels(sides[word] or VALIDATION for word in words)
    return GivenSplit(labels, _numbers(words, unknown), tuple(unknown))


def _another_use(name: str, words: Sequence[str], rows: Sequence[str]) -> str:
    """What to do with words that name no side: a few numbers are folds, and names are groups.

    Names that most rows have alone, such as ids, are no groups: they part rows that are alike.
    """
    if named_sides(name, all_words := set(rows)) or any(map(side_of, all_words)):
        return f"write these words into column {name}, and extract again"
    if all(word[-1].isdecimal() for word in words) and 3 <= len(words) <= MOST_OFFERED:
        return f"--folds {len(words)}"
    return f"--split group:{name}" if 1 < len(words) <= len(rows) / 2 else ""


def fold_of_rows(name: str, texts: Sequence[str | None]) -> np.ndarray | None:
    """The fold of each row in a column that a run is split by, -1 for none; None: it has sides."""
    words, _, unknown = _read(name, texts)
    return _numbers(words, unknown) if unknown else None


def _read(
    name: str, texts: Sequence[str | None]
) -> tuple[list[str], dict[str, str | None], list[str]]:
    """The word of each row, the side that each word names, and the words that name none."""
    words = [(text or "").strip().lower() for text in texts]
    flag = flag_side(name)
    sides = {"": LEFT_OUT, **{word: _side(word, flag) for word in set(words) if word}}
    return words, sides, sorted((w for w, side in sides.items() if side is None), key=natural_key)


def _numbers(words: Sequence[str], folds: Sequence[str]) -> np.ndarray:
    number = {word: place for place, word in enumerate(folds)}
    return np.array([number.get(word, -1) for word in words], np.int64)


def split_by_column(
    name: str,
    texts: Sequence[str | None],
    given: GivenSplit,
    *,
    test: float,
    draw: Callable[[np.ndarray], Split],
) -> Split:
    """The split of a column of sides.

    Args:
        name: of the column.
        texts: its value in each row.
        given: what `read_given_split` made of them.
        test: share of test rows that was asked for.
        draw: splits some rows (their numbers) into rows that train and rows that validate. It is
            used where the column names no validation rows.

    Raises:
        InputError: no row trains, or `test` is not 0.
    """
    if test:
        raise InputError(
            f"--test {test} with --split column:{name}, which says which rows test",
            remedy="leave --test out",
        )
    labels = given.sides.copy()
    rows = np.flatnonzero(labels == TRAIN)
    if not len(rows):
        counts = ", ".join(
            f"{(labels == side).sum()} {side}" for side in (TRAIN, VALIDATION, TEST, LEFT_OUT)
        )
        raise InputError(
            f"--split column:{name} leaves no train rows ({counts})",
            expected="at least 1 row with the word train and a number for each target",
            remedy=f"write train into column {name} of rows that have them, and extract again",
        )
    named = [text or "" for text in texts]
    known = np.flatnonzero(labels != LEFT_OUT)
    notes = [where_each_went(name, [named[i] for i in known], labels[known], SIDES_OF_VALUES)]
    if len(known) < len(labels):
        notes.append(_left_out(name, len(labels) - len(known)))
    if not (labels == VALIDATION).any():
        drawn = draw(rows)
        labels[rows] = drawn.labels
        count = (drawn.labels == VALIDATION).sum()
        notes.append(
            f"Column {name!r} names no validation rows that have a number for each target. --split "
            f"{drawn.kind} drew {count} of the {len(rows)} training rows to validate "
            "(--validation)."
        )
    return Split(labels, f"column:{name}", 1, tuple(notes))


def folds_by_column(
    name: str, texts: Sequence[str | None], folds: int, validation: float
) -> list[Split]:
    """One split for each fold of a column of folds.

    Of the other folds, the next `ceil(validation × others)` validate, and the rest train. Rows for
    test and rows without a word are left out of all.

    Raises:
        InputError: fewer than three folds, or another number, or the column has sides.
    """
    given = read_given_split(name, texts, folds)
    numbers = given.folds
    assert numbers is not None, "with a number of folds, sides are refused"
    if folds < 3:
        raise InputError(
            f"column {name!r} has {folds} folds: {_listed(given.names)}",
            expected="at least 3: one is held out, one trains and one validates",
            remedy=f"--split group:{name}",
        )
    watched = min(int(share_of(validation, folds - 1)), folds - 2)
    labels = np.array([LEFT_OUT, *[TRAIN] * folds], dtype=LABEL)
    notes, splits = _notes_on_folds(name, numbers, given), []
    for fold in range(folds):
        own = labels.copy()
        own[1 + fold] = TEST
        own[[1 + (fold + 1 + step) % folds for step in range(watched)]] = VALIDATION
        splits.append(Split(own[numbers + 1], f"column:{name}", folds, notes))
    return splits


def _notes_on_folds(name: str, numbers: np.ndarray, given: GivenSplit) -> tuple[str, ...]:
    """Sentences on the folds, and on how many rows are in none."""
    rows = np.flatnonzero(numbers >= 0)
    counts = np.bincount(numbers[rows]).tolist()
    each = [f"{word} ({count})" for word, count in zip(given.names, counts, strict=True)]
    notes = [f"The folds are the values of column {name!r}, with their rows: {_listed(each)}."]
    if tests := int((given.sides == TEST).sum()):
        notes.append(f"{_rows(tests)} a word for test in column {name!r}. No fold has them.")
    if missing := int((given.sides == LEFT_OUT).sum()):
        notes.append(_left_out(name, missing))
    return tuple(notes)


def _side(word: str, flag: str | None) -> str | None:
    """The side that a word names; None: no side."""
    if flag is not None and word in _TRUTH:
        return flag if _TRUTH[word] else VALIDATION if flag == TRAIN else TRAIN
    return side_of(word)


def _labels(sides: Iterable[str | None]) -> np.ndarray:
    return np.array(list(sides), dtype=LABEL)


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    shown = (w if len(w) <= LONGEST else w[: LONGEST - 1] + "…" for w in words[:SHOWN])
    return ", ".join(shown) + more


def _left_out(name: str, count: int) -> str:
    return (
        f"{_rows(count)} no word in column {name!r} and {'is' if count == 1 else 'are'} left out."
    )


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count} rows have"
