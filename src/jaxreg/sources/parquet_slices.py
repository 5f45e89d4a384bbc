"""The rows of Parquet files, slice by slice: the sequence of all is never in memory."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from jaxreg.sources.columns import no_columns
from jaxreg.sources.parquet import Shard, damaged, is_encoded, open_parquet

SLICE_ROWS = 2**14
"""The most rows of a slice."""


@dataclass(frozen=True)
class RowSlice:
    """Where the rows of one slice are; a process of another machine can read it too."""

    shard: int  # the number of its file
    groups: tuple[int, ...]  # row groups of this file; only a slice of one group may be cut
    skip: int  # rows of these groups that are before the slice
    start: int  # its first row in the whole table
    rows: int


def row_slices(shards: Sequence[Shard]) -> tuple[RowSlice, ...]:
    """The slices of a table: small row groups together, large ones in pieces."""
    slices: list[RowSlice] = []
    start = 0
    for number, shard in enumerate(shards):
        for groups in _together(shard.groups):
            rows = sum(shard.groups[group] for group in groups)
            for skip in range(0, rows, SLICE_ROWS):
                count = min(SLICE_ROWS, rows - skip)
                slices.append(RowSlice(number, groups, skip, start + skip, count))
            start += rows
    return tuple(slices)


def _together(groups: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Row groups in their order, as many together as make at most one slice."""
    some: list[int] = []
    for number, rows in enumerate(groups):
        if some and sum(groups[one] for one in some) + rows > SLICE_ROWS:
            yield tuple(some)
            some = []
        some.append(number)
    if some:
        yield tuple(some)


class SliceReader:
    """Reads slices of some columns. Forwards, every row is read once; not safe from threads.

    A step back reads the row groups of the slice from their start again.
    """

    def __init__(
        self, shards: Sequence[Shard], slices: Sequence[RowSlice], columns: Iterable[str]
    ) -> None:
        """Of a column of encoded images only the paths beside the bytes are read.

        Args:
            shards: the files.
            slices: of all their rows.
            columns: the names of those to read.
        """
        self._shards, self._slices, self._columns = shards, slices, [*columns]
        self._next = -1
        self._tables: Iterator[pa.Table] = iter(())

    def read(self, number: int) -> pa.Table:
        """The rows of a slice. Raises InputError for a file that is damaged or has changed."""
        if number != self._next:
            self._tables = _tables(self._shards, self._slices[number:], self._columns)
        self._next = -1  # should reading fail, the next try begins anew
        table = next(self._tables)
        self._next = number + 1
        return table

    def __iter__(self) -> Iterator[tuple[RowSlice, pa.Table]]:
        for number, one in enumerate(self._slices):
            yield one, self.read(number)


# The generators know nothing of the objects that keep them: the two would be a circle, and what
# nobody needs would stay in memory.


def _tables(
    shards: Sequence[Shard], slices: Sequence[RowSlice], columns: Sequence[str]
) -> Iterator[pa.Table]:
    """The tables of these slices, which follow one another."""
    for (shard, groups), some in itertools.groupby(slices, lambda one: (one.shard, one.groups)):
        rows = _Rows(shards[shard], groups, columns)
        for place, one in enumerate(some):
            if not place:
                rows.skip(one.skip)
            yield rows.take(one.rows)


class _Rows:
    """The rows of some row groups of a file, read on and on."""

    def __init__(self, shard: Shard, groups: Sequence[int], columns: Sequence[str]) -> None:
        self._shard = shard
        self._left: pa.Table | None = None
        self._batches = _batches(shard, [*groups], columns) if columns else None

    def skip(self, count: int) -> None:
        while count:
            count -= len(self.take(min(count, SLICE_ROWS)))

    def take(self, count: int) -> pa.Table:
        """The next rows, as many as that."""
        if self._batches is None:
            return no_columns(count)
        while self._left is None or len(self._left) < count:
            more = next(self._batches, None)
            if more is None:
                raise damaged(self._shard.path, "rows are missing")
            self._left = more if self._left is None else pa.concat_tables([self._left, more])
        taken, self._left = self._left.slice(0, count), self._left.slice(count)
        return taken


def _batches(shard: Shard, groups: list[int], columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of some row groups, a slice or less at a time."""
    leaves = [
        f"{name}.path" if is_encoded(shard.schema.field(name).type) else name for name in columns
    ]
    try:
        with open_parquet(shard.path) as file:
            shard.check_state()
            for batch in file.iter_batches(
                SLICE_ROWS, row_groups=groups, columns=leaves, use_threads=False
            ):
                # other columns may begin with the names of these
                yield pa.Table.from_batches([batch]).select(columns)
    except (pa.ArrowException, OSError) as error:
        raise damaged(shard.path, error) from error
