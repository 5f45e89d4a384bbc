"""Features that stay in their parts: each part is read whenever its rows are needed."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jaxreg.cache.chosen_features import Wanted
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
        self, cache: Cache, wanted: Sequence[Wanted], beside: np.ndarray | None = None
    ) -> None:
        """The columns of `beside` (rows, others) float32 follow the features."""
        self._store = cache.store
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
        for i in range(len(groups)) if order is None else order.permutation(len(groups)):
            for start in range(0, len(groups[i]), most):
                some = groups[i][start : start + most]
                yield some, self._read(some)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        features = np.empty((len(rows), self.shape[1]), self.dtype)
        start = 0
        for keys, layout, part, at, _ in self._columns:
            place = features[:, start : start + layout.size]
            numbers = np.unique(part[rows])
            contents = self._store.read_ahead([keys[number] for number in numbers])
            for number, (key, content) in zip(numbers, contents, strict=True):
                here = np.flatnonzero(part[rows] == number)
                _, block = part_features(self._store, key, content, layout)
                place[here] = block[at[rows[here]]]
            start += layout.size
        features[:, start:] = self._beside[rows]
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
