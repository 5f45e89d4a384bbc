"""By what rows are sliced: target decile, group, columns with few values, brightness."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jaxreg.cache.dataset_table import Dataset

DECILES = 10
FEW = 12  # values of a column that makes slices
MOST_GROUPS = 200  # a column of more groups makes no slices
LEVELS = 5  # of brightness
LEAST = 5  # rows of a slice


class Slicing(NamedTuple):
    """Rows in slices: a row is in one slice or in none."""

    of_row: np.ndarray  # (rows,) int64, the number of the slice of each row, −1: in none
    values: tuple[str | None, ...]  # what each slice is called; None: of rows without a value

    @property
    def texts(self) -> list[str | None]:
        """The value of each row; None where there is none."""
        return [self.values[number] if number >= 0 else None for number in self.of_row.tolist()]

    @property
    def counts(self) -> np.ndarray:
        """(slices,) the rows of each slice."""
        return np.bincount(self.of_row[self.of_row >= 0], minlength=len(self.values))

    def is_same(self, other: "Slicing") -> bool:
        """Whether both put the same rows together."""
        pairs = np.unique(np.stack([self.of_row, other.of_row]), axis=1).shape[1]
        return pairs == len(np.unique(self.of_row)) == len(np.unique(other.of_row))


Slicings = Mapping[str, Slicing]
"""By what rows are sliced: target, group, brightness, or the name of a column."""


def slicings_of(dataset: Dataset, brightness: np.ndarray) -> dict[str, Slicing]:
    """By what rows are sliced, for every target alike.

    Args:
        dataset: has the rows.
        brightness: (rows,) NaN where it is not known.
    """
    found: dict[str, Slicing] = {}
    if "group" in dataset.table.column_names:
        groups = by_column(dataset.table["group"])
        if 1 < len(groups.values) <= MOST_GROUPS:
            found["group"] = groups
    for name in dataset.source_columns:
        column = dataset.table[name]
        if name in dataset.bookkeeping or pa.types.is_temporal(column.type):
            continue
        distinct = len(column.unique())
        if 1 < distinct <= FEW and distinct < len(column):
            found[name.removeprefix("source.")] = by_column(column)
    if np.isfinite(brightness).sum() >= LEAST * LEVELS:
        name = "brightness" if "brightness" not in dataset.source_columns else "image brightness"
        found[name] = by_range(brightness, LEVELS)
    return found


def by_target(y: np.ndarray) -> Slicing:
    """The deciles of the numbers (rows,) of a target, each as the range of its numbers."""
    return by_range(y, DECILES)


def by_column(column: pa.ChunkedArray) -> Slicing:
    """The values of a column, as text; numbers in 6 digits, if these tell them apart."""
    encoded = column.combine_chunks().dictionary_encode("encode")
    values = encoded.dictionary.to_pylist()
    texts = [None if value is None else str(value) or "empty" for value in values]
    if pa.types.is_floating(column.type):
        short = [None if value is None else f"{value:.6g}" for value in values]
        texts = short if len(set(short)) == len(texts) else texts
    return Slicing(encoded.indices.to_numpy().astype(np.int64), tuple(texts))


def by_name(names: Sequence[str]) -> Slicing:
    """The names (rows,) of parts, in their order."""
    values, of_row = np.unique(np.asarray(names, str), return_inverse=True)
    return Slicing(of_row.astype(np.int64), tuple(values.tolist()))


def by_range(values: np.ndarray, count: int) -> Slicing:
    """Ranges that hold about as many values each, as text; equal values are in one range."""
    finite = np.isfinite(values)
    known = values[finite]
    if not len(known):
        return Slicing(np.full(len(values), -1), ())
    edges = np.unique(np.quantile(known, np.arange(1, count) / count, method="inverted_cdf"))
    _, place = np.unique(np.searchsorted(edges, known, side="left"), return_inverse=True)
    rising = np.argsort(known, kind="stable")
    parts = np.split(known[rising], np.flatnonzero(np.diff(place[rising])) + 1)
    of_row = np.full(len(values), -1)
    of_row[finite] = place
    return Slicing(of_row, tuple(f"{part[0]:.3g} to {part[-1]:.3g}" for part in parts))


def each_slicing(
    names: Sequence[str], y: np.ndarray, slicings: Slicings
) -> Iterator[tuple[int, str, Slicing]]:
    """The number of a target, by what its rows are sliced, and how: of every target in turn.

    Args:
        names: of the targets; none is sliced by itself as a column.
        y: (rows, targets), NaN where a target is missing.
        slicings: as `slicings_of` gives them.
    """
    for number, name in enumerate(names):
        yield number, "target", by_target(y[:, number])
        for by, slicing in slicings.items():
            if by != name.removeprefix("source."):
                yield number, by, slicing
