"""Rows that are held out together: what a choice made within the training rows is judged on.

A frame's neighbours in time are nearly its twins. Left out alone, it is predicted from them, and
whatever remembers best wins. So rows are left out as the split holds them out: in its blocks, with
the gap, or in its groups.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jaxreg.splits.blocks import DEFAULT_RUNS, Runs, cut_runs
from jaxreg.splits.column_split import fold_of_rows
from jaxreg.splits.group_column import column_texts, group_values
from jaxreg.splits.sides import share_of

LONGEST = 128  # moments of a unit: longer blocks are judged in pieces of so many
WIDEST_GAP = 32  # moments beside it
LARGEST = 4096  # rows of a unit: larger groups come in pieces
MOST = 2**21  # the sum of the squares of the units' rows, which is what judging alphas costs


class HeldOutGroup(NamedTuple):
    """Rows that are left out together."""

    rows: np.ndarray  # numbers among the training rows
    scored: np.ndarray  # bool, of each: False for those of the gap, which are left out unjudged


def training_groups(
    kind: str,
    rows: np.ndarray,
    *,
    order: np.ndarray,
    group: Sequence[str] | None,
    columns: pa.Table,
    gap: float,
    sequential: bool,
) -> list[HeldOutGroup] | None:
    """The units of the training rows; None where each row is one of its own, or one holds all.

    Args:
        kind: of the split, resolved: tail, hash, blocks:N, group:COLUMN or column:COLUMN.
        rows: the numbers of the training rows among those that the split was made of.
        order, group, columns, gap: of those, as `split_rows` takes them.
        sequential: whether rows follow one another in time; then a `tail` has blocks as well.
    """
    if (values := unit_values(kind, columns, group)) is not None:
        values = values[rows]
        found = [np.flatnonzero(values == value) for value in np.unique(values)]
        pieces = [some[i : i + LARGEST] for some in found for i in range(0, len(some), LARGEST)]
        return [HeldOutGroup(some, np.ones(len(some), bool)) for some in pieces]
    name = kind.partition(":")[0]
    if name == "blocks" or (name in ("tail", "column") and sequential):
        cut = cut_runs(runs_of_kind(kind), order, group, len(order), 0)
        groups = list(_of_blocks(cut, rows, gap))
        # of very few frames a block and its gap may be all: nothing would be left to fit on
        return None if any(len(group.rows) == len(rows) for group in groups) else groups
    return None


def unit_values(kind: str, columns: pa.Table, group: Sequence[str] | None) -> np.ndarray | None:
    """The group or the fold of each row, as a number from 0; None for a split that has neither.

    Rows in no fold have a number of their own.
    """
    name, _, column = kind.partition(":")
    if name == "group":
        return group_values(column, columns, group)
    if name == "column":
        folds = fold_of_rows(column, column_texts(column, columns, group))
        return None if folds is None else folds - folds.min()
    return None


def runs_of_kind(kind: str) -> int:
    """Into how many blocks a resolved split cuts a sequence, or would cut it."""
    name, _, number = kind.partition(":")
    return int(number) if name == "blocks" and number else DEFAULT_RUNS


def some_of(groups: list[HeldOutGroup] | None) -> list[HeldOutGroup] | None:
    """Those at even distances, where there are more than many alphas can be judged on.

    None, for rows alone, where even two would be too many or there is only one.
    """
    if groups is None:
        return None
    step = max(1, -(-_cost(groups) // MOST))
    some = groups[step // 2 :: step]
    return some if len(some) > 1 and _cost(some) < 2 * MOST else None


def _cost(groups: list[HeldOutGroup]) -> int:
    return sum(len(group.rows) ** 2 for group in groups)


def _of_blocks(cut: Runs, rows: np.ndarray, gap: float) -> Iterator[HeldOutGroup]:
    """The training rows of each run, or of each piece of it, and those within the gap."""
    by_time = np.argsort(cut.moment_of_row[rows], kind="stable")
    moment = cut.moment_of_row[rows][by_time]
    ends = np.append(cut.start[1:], len(cut.of))
    reach = np.minimum(np.maximum(share_of(gap, cut.moments), 1), WIDEST_GAP)
    new = (np.diff(cut.of) != 0) | (np.diff(cut.turned) != 0)
    first = np.r_[0, np.flatnonzero(new) + 1]
    for begin, end in zip(first, np.r_[first[1:], len(cut.of)], strict=True):
        sequence = cut.of[begin]
        for start in range(begin, end, LONGEST):
            stop = min(start + LONGEST, end)
            lowest = max(cut.start[sequence], start - reach[sequence])
            highest = min(ends[sequence], stop + reach[sequence])
            a, b = np.searchsorted(moment, [lowest, highest])
            inside = (moment[a:b] >= start) & (moment[a:b] < stop)
            if inside.any():
                yield HeldOutGroup(by_time[a:b], inside)
