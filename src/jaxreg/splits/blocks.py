"""Blocks: whole runs of consecutive moments are held out, with a gap beside each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jaxreg.errors import InputError
from jaxreg.splits.sides import LABEL, LEFT_OUT, TEST, TRAIN, VALIDATION, Split, places_of, share_of

DEFAULT_RUNS = 10
MOST_RUNS = 1_000_000


class Runs(NamedTuple):
    """Every group's moments in order, cut into runs.

    A moment is one value of the order in one group: its rows (three cameras, say) stay together.
    """

    runs: int  # asked for
    moment_of_row: np.ndarray  # (rows,)
    of: np.ndarray  # (moments,) its group
    turned: np.ndarray  # (moments,) its run, counted from where the seed says
    parts: np.ndarray  # (groups,) runs
    moments: np.ndarray  # (groups,) how many
    start: np.ndarray  # (groups,) the first moment
    names: list[str]  # of the groups

    def labels(self, stopping: np.ndarray, held_out: np.ndarray, gap: float) -> np.ndarray:
        """Every row's side, from which moments validate and test; what lies beside is left out."""
        labels = np.full(len(self.of), TRAIN, dtype=LABEL)
        labels[stopping], labels[held_out] = VALIDATION, TEST
        reach = np.maximum(share_of(gap, self.moments), 1)
        away = _distance_to(stopping | held_out, self.of, self.start)
        labels[~stopping & ~held_out & (away <= reach[self.of])] = LEFT_OUT
        return labels[self.moment_of_row]


def cut_runs(
    runs: int, order: np.ndarray | None, group: Sequence[str] | None, rows: int, seed: int
) -> Runs:
    """Cut each group into `runs` runs of equal length, or of one moment where it has fewer."""
    codes, names = np.zeros(rows, dtype=np.int64), [""]
    if group is not None:
        encoded = pa.array(group, pa.string()).dictionary_encode("encode")
        codes = encoded.indices.to_numpy().astype(np.int64)
        names = [str(name) for name in encoded.dictionary.to_pylist()]

    order = np.arange(rows) if order is None else np.asarray(order)
    sequence = np.lexsort((order, codes))
    group_of, moment = codes[sequence], order[sequence]
    new = np.ones(rows, dtype=bool)
    new[1:] = (group_of[1:] != group_of[:-1]) | (moment[1:] != moment[:-1])
    moment_of_row = np.empty(rows, dtype=np.int64)
    moment_of_row[sequence] = np.cumsum(new) - 1
    of = group_of[new]
    count = np.bincount(of)
    start = np.cumsum(count) - count
    place = np.arange(len(of)) - start[of]  # of a moment within its group

    # np.array_split's rule: `longer` runs of size + 1, then runs of size.
    parts = np.minimum(runs, count)
    size, longer = count // parts, count % parts
    run = np.maximum(place // (size + 1)[of], (place - longer[of]) // size[of])
    offset = np.floor(places_of(f"{seed}:{name}" for name in names) * parts).astype(np.int64)
    turned = (run - offset[of]) % parts[of]
    return Runs(runs, moment_of_row, of, turned, parts, count, start, names)


def block_numbers(runs: int, order: np.ndarray, group: Sequence[str] | None) -> np.ndarray:
    """(rows,) int64: the block of each row, counted over all groups."""
    cut = cut_runs(runs, order, group, len(order), seed=0)
    first = np.cumsum(cut.parts) - cut.parts
    return (first[cut.of] + cut.turned)[cut.moment_of_row]


def by_blocks(cut: Runs, validation: float, test: float, gap: float) -> Split:
    """Hold out whole runs of consecutive moments; what lies beside them does not train."""
    tests = share_of(test, cut.parts)
    held = share_of(validation, cut.parts) + tests
    uncut = held >= cut.parts  # nothing would be left to train on
    chosen, nth = _spread(cut.turned, held[cut.of], cut.parts[cut.of])
    is_test, _ = _spread(nth, tests[cut.of], held[cut.of])
    chosen &= ~uncut[cut.of]
    labels = cut.labels(chosen & ~is_test, chosen & is_test, gap)
    notes = _notes(labels, gap, int(uncut.sum()))
    return Split(labels, f"blocks:{cut.runs}", cut.runs, notes)


def fold_blocks(cut: Runs, folds: int, validation: float, gap: float, seed: int) -> list[Split]:
    """Each fold holds out neighbouring runs of every group; a slice of the other runs validates."""
    parts = cut.parts[cut.of]
    # groups of fewer runs than folds must not all begin with the first fold
    first = np.floor(places_of(f"{seed}:folds:{name}" for name in cut.names) * folds)
    fold = (cut.turned * folds // parts + first.astype(np.int64)[cut.of]) % folds
    splits = []
    for number in range(folds):
        held_out = fold == number
        nth, rest = _places_among(~held_out, cut)
        stopping = share_of(validation, rest)
        chosen, _ = _spread(nth, stopping, np.maximum(rest, 1))
        chosen &= ~held_out & (stopping < rest)  # else nothing would be left to train on
        labels = cut.labels(chosen, held_out, gap)
        splits.append(Split(labels, f"blocks:{cut.runs}", cut.runs, _notes(labels, gap, 0)))
    return splits


def _places_among(chosen: np.ndarray, cut: Runs) -> tuple[np.ndarray, np.ndarray]:
    """For each moment, which of its group's chosen runs its run is, and how many those are."""
    first = np.cumsum(cut.parts) - cut.parts  # each group's runs stand behind each other
    place = first[cut.of] + cut.turned
    there = np.zeros(int(cut.parts.sum()), np.int64)
    there[place] = chosen
    before = np.cumsum(there) - there
    return before[place] - before[first][cut.of], np.add.reduceat(there, first)[cut.of]


def _spread(
    place: np.ndarray, some: np.ndarray, whole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose `some` of `whole` places (numbered from 0) at even distances; which, and as which."""
    return place * some % whole < some, place * some // whole


def _distance_to(chosen: np.ndarray, of: np.ndarray, start: np.ndarray) -> np.ndarray:
    """How many moments lie from each one to the nearest chosen one of its group; inf for none."""
    position = np.arange(len(of), dtype=np.float64)
    before = np.maximum.accumulate(np.where(chosen, position, -np.inf))
    after = np.minimum.accumulate(np.where(chosen, position, np.inf)[::-1])[::-1]
    end = np.append(start[1:], len(of))
    before[before < start[of]] = -np.inf
    after[after >= end[of]] = np.inf
    return np.minimum(position - before, after - position)


def _notes(labels: np.ndarray, gap: float, uncut: int) -> tuple[str, ...]:
    left_out = int((labels == LEFT_OUT).sum())
    notes = [
        f"{left_out} of {len(labels)} rows lie beside a held-out block and were left out of "
        f"training (--gap {gap:g})."
    ]
    if uncut:
        noun = "1 sequence is" if uncut == 1 else f"{uncut} sequences are"
        notes.append(f"{noun} too short to be cut, and trains whole.")
    return tuple(notes)


def number_of_runs(argument: str, validation: float, test: float) -> int:
    digits = argument.isdecimal() and len(argument) <= 20  # int() refuses thousands of digits
    runs = DEFAULT_RUNS if not argument else int(argument) if digits else 0
    if not 2 <= runs <= MOST_RUNS:
        raise InputError(
            f"--split blocks:{argument}",
            expected=f"a number of blocks, 2 or more, at most {MOST_RUNS:,}",
            remedy=f"--split blocks:{DEFAULT_RUNS}",
        )
    held_out = share_of(validation, runs) + share_of(test, runs)
    if held_out >= runs:
        fewest = 3 if test else 2
        raise InputError(
            f"blocks:{runs} with --validation {validation:g} and --test {test:g} holds out "
            f"{held_out} of {runs} blocks, so no training rows are left",
            expected=f"at least {fewest} blocks, one for each side" if runs < fewest else "",
            remedy=f"--split blocks:{fewest}"
            if runs < fewest
            else "use a smaller --validation or --test",
        )
    return runs
