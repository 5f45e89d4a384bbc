"""The errors of slices of the rows."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxreg.slices.row_slices import LEAST, Slicings, each_slicing
from jaxreg.target_types import TargetType, Types, circular_mean, difference


@dataclass(frozen=True)
class Slice:
    """The errors for one target on the rows of one slice, in target units."""

    target: str
    by: str  # target, group, brightness, or the name of a column
    value: str
    rows: int
    mae: float
    times: float  # the MAE of all rows
    bias: float  # mean of prediction less target


class SliceRows(NamedTuple):
    """A slice, and its rows."""

    slice: Slice
    number: int  # of the target
    rows: np.ndarray  # numbers, rising, of the rows that have the target


def slices_of(
    names: Sequence[str], types: Types, y: np.ndarray, predictions: np.ndarray, slicings: Slicings
) -> list[SliceRows]:
    """The errors of every slice of LEAST rows or more; the largest for their target come first.

    Args:
        names: of the targets.
        types: of the targets.
        y, predictions: (rows, targets) in target units; a row that has no number in one of them is
            in no slice of this target.
        slicings: as `slicings_of` gives them.
    """
    error = difference(types, predictions, y)
    found = list(_slices(names, types, y, error, slicings))
    return sorted(found, key=lambda one: -one.slice.times)


def _slices(
    names: Sequence[str], types: Types, y: np.ndarray, error: np.ndarray, slicings: Slicings
) -> Iterator[SliceRows]:
    for number, by, slicing in each_slicing(names, y, slicings):
        own = error[:, number]
        finite = np.isfinite(own)
        if not finite.any():
            continue
        mae = float(np.abs(own[finite]).mean())
        known = np.flatnonzero(finite & (slicing.of_row >= 0))
        order = np.argsort(slicing.of_row[known], kind="stable")
        counts = np.bincount(slicing.of_row[known], minlength=len(slicing.values))
        parts = np.split(known[order], np.cumsum(counts)[:-1]) if len(counts) else []
        for value, rows in zip(slicing.values, parts, strict=True):
            if len(rows) < LEAST:
                continue
            its = float(np.abs(own[rows]).mean())
            made = Slice(
                names[number],
                by,
                "no value" if value is None else value,
                len(rows),
                its,
                its / mae if mae else 1.0,
                bias_of(types[number], own[rows]),
            )
            yield SliceRows(made, number, rows)


def bias_of(kind: TargetType, errors: np.ndarray) -> float:
    """The mean of errors (rows,); of a circular target their circular mean, ± half a period."""
    if not kind.circular:
        return float(errors.mean())
    mean = np.asarray(circular_mean(kind, errors))[..., None]
    return float(difference([kind], mean, np.zeros(1))[0])


def slices_to_json(slices: Sequence[Slice]) -> list[dict[str, Any]]:
    """As `evaluate --json` has them."""
    return [asdict(one) for one in slices]
