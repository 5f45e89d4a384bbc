"""Blocks: whole runs of consecutive moments are held out, with a gap beside each."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxreg.errors import InputError
from jaxreg.splits.side import LABEL, LEFT_OUT, TEST, TRAIN, VALIDATION, Split, places_of, share_of

DEFAULT_RUNS = 10


def by_blocks(
    runs: int,
    order: np.ndarray | None,
    group: Sequence[str] | None,
    rows: int,
    validation: float,
    test: float,
    gap: float,
    seed: int,
) -> Split:
    """Hold out whole runs of consecutive moments, and leave out of training what lies beside them.

    A moment is one value of the order in one group: its rows (three cameras, say) stay together.
    Everything is counted in moments, sorted by group and order; `of` tells each one's group.
    """
    codes, names = _codes(group, rows)
    moment_of_row, of, place, count, start = _moments(codes, order, rows)

    # np.array_split's rule: `longer` runs of size + 1, then runs of size.
    parts = np.minimum(runs, count)
    size, longer = count // parts, count % parts
    run = np.maximum(place // (size + 1)[of], (place - longer[of]) // size[of])

    tests = share_of(test, parts)
    held = share_of(validation, parts) + tests
    uncut = held >= parts  # nothing would be left to train on
    offset = np.floor(places_of(f"{seed}:{name}" for name in names) * parts).astype(np.int64)
    turned = (run - offset[of]) % parts[of]
    chosen, nth = _spread(turned, held[of], parts[of])
    is_test, _ = _spread(nth, tests[of], held[of])
    chosen &= ~uncut[of]

    labels = np.full(len(of), TRAIN, dtype=LABEL)
    labels[chosen] = VALIDATION
    labels[chosen & is_test] = TEST
    reach = np.maximum(share_of(gap, count), 1)
    labels[~chosen & (_distance_to(chosen, of, start) <= reach[of])] = LEFT_OUT
    labels = labels[moment_of_row]
    return Split(labels, f"blocks:{runs}", _notes(labels, gap, int(uncut.sum())))


def _spread(
    place: np.ndarray, some: np.ndarray, whole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose `some` of `whole` places (numbered from 0) at even distances; which, and as which."""
    return place * some % whole < some, place * some // whole


def _codes(group: Sequence[str] | None, rows: int) -> tuple[np.ndarray, list[str]]:
    """Each row's group as a number from 0, and the groups' names by that number."""
    if group is None:
        return np.zeros(rows, dtype=np.int64), [""]
    encoded = pa.array(group, pa.string()).dictionary_encode("encode")
    return encoded.indices.to_numpy().astype(np.int64), [
        str(name) for name in encoded.dictionary.to_pylist()
    ]


def _moments(
    codes: np.ndarray, order: np.ndarray | None, rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Number the moments of all groups, group by group and in order.

    Returns:
        The moment of each row (R,); then per moment (M,) its group and its place within it; then
        per group (G,) how many moments it has and which is its first.
    """
    order = np.arange(rows) if order is None else np.asarray(order)
    sequence = np.lexsort((order, codes))
    group, moment = codes[sequence], order[sequence]
    new = np.ones(rows, dtype=bool)
    new[1:] = (group[1:] != group[:-1]) | (moment[1:] != moment[:-1])
    moment_of_row = np.empty(rows, dtype=np.int64)
    moment_of_row[sequence] = np.cumsum(new) - 1

    of = group[new]
    count = np.bincount(of)
    start = np.cumsum(count) - count
    return moment_of_row, of, np.arange(len(of)) - start[of], count, start


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
    runs = DEFAULT_RUNS if not argument else int(argument) if argument.isdecimal() else 0
    if runs < 2:
        raise InputError(
            f"--split blocks:{argument}",
            expected="a number of runs, 2 or more",
            remedy=f"blocks:{DEFAULT_RUNS}",
        )
    held_out = share_of(validation, runs) + share_of(test, runs)
    if held_out >= runs:
        raise InputError(
            f"blocks:{runs} with --validation {validation:g} and --test {test:g} holds out "
            f"{held_out} of {runs} runs, so that no training rows are left",
            remedy="more runs, or smaller shares",
        )
    return runs
