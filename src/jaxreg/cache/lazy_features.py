"""Features that stay in their parts: each part is read whenever its rows are needed."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jaxreg.cache.chosen_features import Wanted
from jaxreg.cache.entry import Contents
from jaxreg.cache.object_store import Store
from jaxreg.cache.parts import LackingFeatures, Layout, list_parts, part_features, part_table
from jaxreg.cache.store import Cache
from jaxreg.common import arrow_compute as pc

Piece = tuple[np.ndarray, np.ndarray]
"""Row numbers, and the features of those rows (rows, columns)."""

PIECE = 1024  # rows of a piece where all features are in memory


class _Located(NamedTuple):
    """The place of each row's features in one column."""

    keys: list[str]  # of the parts
    layout: Layout
    part: np.ndarray  # (rows,) which of keys
    at: np.ndarray  # (rows,) which row of that part
    most: int  # rows of the largest part


class PartFeatures:
    """The features of some rows in the cache: `shape` and `dtype` as of an array, read in pieces.

    Every part is checked against its name each time it is read.

    Raises:
        DamagedPart: a part is not what its name says; also while pieces are read.
        InputError: a digest has no features in one of the columns.
    """

    def __init__(
        self,
        cache: Cache,
        wanted: Sequence[Wanted],
        beside: np.ndarray | None = None,
        ahead: int | None = None,
    ) -> None:
        """Look where the features are.

        Args:
            cache: they are in.
            wanted: the columns, and a digest for each row.
            beside: columns (rows, others) float32 that follow the features.
            ahead: bytes of the parts that are read while earlier ones are used; None: as many as
                the store reads ahead.
        """
        self._store, self._ahead = cache.store, ahead
        self._columns: list[_Located] = []
        for feature_set, columns, digests in wanted:
            asked = pa.array(digests, pa.string())
            for column in columns:
                layout = cache.layout(feature_set, column, digests)
                keys = list_parts(cache.store, cache.folder(feature_set, column))
                located = _locate(cache.store, keys, layout, asked)
                if lacking := set(np.array(digests, object)[located.at < 0]):
                    raise LackingFeatures(len(lacking), feature_set, column)
                self._columns.append(located)
        layouts = [located.layout for located in self._columns]
        rows = len(wanted[0].digests)
        none = np.empty((rows, 0), layouts[0].dtype)
        self._beside = none if beside is None or not beside.shape[1] else beside
        width = sum(layout.size for layout in layouts) + self._beside.shape[1]
        self.shape = rows, width
        self.dtype = np.result_type(*(layout.dtype for layout in layouts), self._beside)

    def pieces(self, rows: np.ndarray, order: np.random.Generator | None = None) -> Iterator[Piece]:
        """`rows` in pieces, one for each part of the first column that has any of them.

        Where many rows have the same image, a part gives several pieces of at most its own size.
        Columns that were extracted together have parts with the same images. For other columns a
        piece may need several parts, and each of them is read again for it.

        Args:
            rows: distinct row numbers; within a piece they keep their order.
            order: draws the order of the parts; None: sorted by name.
        """
        part, most = self._columns[0].part[rows], self._columns[0].most
        by_part = np.argsort(part, kind="stable")
        groups = np.split(rows[by_part], np.flatnonzero(np.diff(part[by_part])) + 1)
        turns = range(len(groups)) if order is None else order.permutation(len(groups))
        cuts = [groups[i][at : at + most] for i in turns for at in range(0, len(groups[i]), most)]
        keys = (one.keys[n] for some in cuts for one, n, _ in self._parts(some))
        with closing(self._store.read_ahead(keys, self._ahead)) as contents:
            for some in cuts:
                yield some, self._read(some, contents)

    def _parts(self, rows: np.ndarray) -> Iterator[tuple[_Located, int, int]]:
        """The parts that these rows need: column, number, and the first place of the column."""
        start = 0
        for column in self._columns:
            for number in np.unique(column.part[rows]):
                yield column, number, start
            start += column.layout.size

    def _read(self, rows: np.ndarray, contents: Contents) -> np.ndarray:
        features = np.empty((len(rows), self.shape[1]), self.dtype)
        for (_, layout, part, at, _), number, start in self._parts(rows):
            key, content = next(contents)
            _, block = part_features(self._store, key, content, layout)
            del content  # before the next one is read
            here = np.flatnonzero(part[rows] == number)
            features[here, start : start + layout.size] = block[at[rows[here]]]
        beside = self._beside.shape[1]
        features[:, self.shape[1] - beside :] = self._beside[rows]
        return features


Features = np.ndarray | PartFeatures


def read_pieces(x: Features, rows: np.ndarray) -> Iterator[Piece]:
    """`rows` of x, each once, in the order that reads fewest parts."""
    if isinstance(x, PartFeatures):
        yield from x.pieces(rows)
        return
    for start in range(0, len(rows), PIECE):
        some = rows[start : start + PIECE]
        yield some, x[some]


def read_rows(x: Features, rows: np.ndarray) -> np.ndarray:
    """Features (rows, columns) of distinct rows, in their order, from memory or from parts."""
    if isinstance(x, np.ndarray):
        return x[rows]
    features = np.empty((len(rows), x.shape[1]), x.dtype)
    place = np.full(x.shape[0], -1)
    place[rows] = np.arange(len(rows))
    for some, values in x.pieces(rows):
        features[place[some]] = values
    return features


def rows_in_place(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rising rows of x: a view where they follow each other, else a copy."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return x[rows[0] : rows[-1] + 1]
    return x[rows]


def _locate(store: Store, keys: list[str], layout: Layout, wanted: pa.Array) -> _Located:
    """The first place of each wanted digest by the names of the parts; -1 where there is none."""
    tables = (part_table(store, *read, ["digest"]) for read in store.read_ahead(keys))
    digests = [table["digest"].combine_chunks() for table in tables]
    ends = np.cumsum([len(some) for some in digests])
    everywhere = pa.concat_arrays(digests)
    place = pc.call_function("index_in", [wanted], pc.SetLookupOptions(value_set=everywhere))
    place = pc.fill_null(place, -1).to_numpy()
    part = np.searchsorted(ends, place, side="right").astype(np.int32)
    begins = np.concatenate([[0], ends[:-1]])
    at = np.where(place < 0, -1, place - begins[part])
    return _Located(keys, layout, part, at, max(map(len, digests)))
