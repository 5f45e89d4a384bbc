"""The rows of one slice of a large table: their columns, and the images of those that can be used.

All that is here follows from a small plan and a row range, so another process can do it as well.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import pyarrow as pa

from jaxreg.common.remote_file import AnyFile, RemoteFile, shown
from jaxreg.sources.as_written import Columns
from jaxreg.sources.columns import missing, no_columns, scalar_columns
from jaxreg.sources.examples import Image, remote_image
from jaxreg.sources.found_files import FoundNames
from jaxreg.sources.parquet import EncodedImages, Shard, ShardedColumn
from jaxreg.sources.parquet_slices import RowSlice, SliceReader

KEPT_SLICES = 3  # whose images are in memory; reading threads are never so many slices apart


@dataclass(frozen=True)
class SlicePlan:
    """How the rows of a large table become images: decided once, for all slices."""

    path: AnyFile  # the file; of several, what they are called in their folder
    shards: tuple[Shard, ...]
    slices: tuple[RowSlice, ...]
    image_column: str
    order_column: str | None
    group_column: str | None
    null: np.ndarray | None = None  # (rows,) which have no bytes; None: bytes in all, or in none
    # the survey of the table finds:
    found: FoundNames | None = None  # how names mean files
    starts: np.ndarray | None = None  # (slices + 1,) usable rows before each slice

    @property
    def kind(self) -> pa.DataType:
        """The type of the column of images."""
        return self.shards[0].schema.field(self.image_column).type

    @property
    def encoded(self) -> bool:
        """Whether the column has the bytes of images."""
        return self.image_column in self.shards[0].encoded

    @property
    def needed(self) -> list[str]:
        """The columns that decide which rows can be used, and what their images are."""
        image = [] if self.encoded and not pa.types.is_struct(self.kind) else [self.image_column]
        names = [*image, self.order_column, self.group_column]
        return list(dict.fromkeys(name for name in names if name is not None))


class SliceRows:
    """The rows of a slice, and which of them can be used."""

    def __init__(self, plan: SlicePlan, at: RowSlice, table: pa.Table) -> None:
        """Take the columns that were read: at least those that the plan needs."""
        self.plan, self.at = plan, at
        names = [name for name in table.column_names if name != plan.image_column]
        scalars = table.select(names) if plan.encoded else table
        self.read: Columns = scalar_columns(
            Columns(scalars if scalars.num_columns else no_columns(at.rows))
        )[0]
        #: paths as the table has them, None where there is none
        self.written: list[str | None] = [None] * at.rows
        absent: Sequence[bool] | np.ndarray
        if plan.encoded:
            if pa.types.is_struct(plan.kind):
                cells = table[plan.image_column].to_pylist()
                self.written = [cell and cell["path"] for cell in cells]
            self.null = np.zeros(at.rows, bool)
            if plan.null is not None:
                self.null = plan.null[at.start : at.start + at.rows]
            absent = self.null & ~np.array([bool(name) for name in self.written], bool)
        else:
            cells = self.read.names(plan.image_column)
            self.written = [cell.strip() if cell else None for cell in cells.to_pylist()]
            self.null = np.ones(at.rows, bool)
            absent = missing(cells)
        #: column → rows without a value in it
        self.absent: dict[str | None, Sequence[bool] | np.ndarray] = {}
        if plan.order_column is not None:
            self.absent[plan.order_column] = missing(self.read.order(plan.order_column))
        if plan.group_column is not None:
            self.absent[plan.group_column] = missing(self.read.names(plan.group_column))
        self.absent[plan.image_column] = absent

    @property
    def keep(self) -> np.ndarray:
        """The rows that can be used, counted from the first row of the slice."""
        lacks = np.zeros(self.at.rows, bool)
        for rows in self.absent.values():
            lacks |= np.asarray(rows, bool)
        return np.flatnonzero(~lacks)

    @property
    def outside(self) -> list[str | None]:
        """The paths of the images that are files; None for those whose bytes the table has."""
        return [name if null else None for name, null in zip(self.written, self.null, strict=True)]

    def images(self, keep: np.ndarray, column: ShardedColumn | None) -> Sequence[Image]:
        """The images of some rows; `column` has their bytes."""
        found, outside = self.plan.found, self.outside
        assert found is not None
        files = {name: found.file(name) for name in set(outside)}
        if column is None:
            return [files[outside[row]] for row in keep.tolist()]
        start = self.at.start
        beside = {start + row: files[name] for row, name in enumerate(outside) if name}
        return EncodedImages(column, beside, (keep + start).tolist())

    def paths(self, keep: np.ndarray) -> tuple[str, ...]:
        """Of the files of these rows, "" where there is none; for people."""
        found, outside, parent = self.plan.found, self.outside, self.plan.path.parent
        place = shown if isinstance(parent, RemoteFile) else parent.joinpath
        assert found is not None
        both = list(zip(outside, self.written, strict=True))
        files = {name: str(found.file(name)) for name in set(outside) if name}
        beside = {name: str(place(name)) for file, name in set(both) if name and not file}
        paths = [files[file] if file else beside.get(name or "", "") for file, name in both]
        return tuple(paths[row] for row in keep.tolist())


class _OpenSlices:
    """The images of the slices that were needed last; safe to use from threads."""

    def __init__(self, plan: SlicePlan) -> None:
        self.plan = plan
        self._column = ShardedColumn(plan.shards, plan.image_column) if plan.encoded else None
        self._reader = SliceReader(plan.shards, plan.slices, plan.needed)
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Sequence[Image]] = OrderedDict()
        self._latest: tuple[int, int, Sequence[Image]] = (0, 0, ())  # first row, end, images

    def image(self, row: int) -> Image:
        """The image of a usable row."""
        images, place = self._at(row)
        return images[place]

    def remote_image(self, row: int) -> RemoteFile | None:
        """The image of a usable row, if it is at a URL."""
        images, place = self._at(row)
        return remote_image(images, place)

    def _at(self, row: int) -> tuple[Sequence[Image], int]:
        """The images of its slice, and its place among them."""
        first, end, images = self._latest
        if first <= row < end:  # nearly always; it takes a tenth of the rest
            return images, row - first
        starts = self.plan.starts
        assert starts is not None
        number = int(np.searchsorted(starts, row, side="right")) - 1
        with self._lock:
            if number not in self._open:
                at = self.plan.slices[number]
                rows = SliceRows(self.plan, at, self._reader.read(number))
                self._open[number] = rows.images(rows.keep, self._column)
                if len(self._open) > KEPT_SLICES:
                    self._open.popitem(last=False)
            self._open.move_to_end(number)
            images, first = self._open[number], int(starts[number])
            self._latest = first, first + len(images), images
        return images, row - first


class SlicedImages(Sequence[Image]):
    """The images of the usable rows of a large table; a pickle of it has its plan alone."""

    def __init__(self, plan: SlicePlan, rows: range, opened: _OpenSlices | None = None) -> None:
        self._opened, self._rows = opened or _OpenSlices(plan), rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> "SlicedImages": ...
    def __getitem__(self, index: int | slice) -> "Image | SlicedImages":
        if isinstance(index, slice):
            return SlicedImages(self._opened.plan, self._rows[index], self._opened)
        return self._opened.image(self._rows[index])

    def remote_image(self, index: int) -> RemoteFile | None:
        """The image, if it is at a URL; the bytes of others are not read."""
        found = self._opened.plan.found
        if found is None or not found.at_urls:
            return None
        return self._opened.remote_image(self._rows[index])

    def __reduce__(self) -> tuple[type, tuple[SlicePlan, range]]:
        return SlicedImages, (self._opened.plan, self._rows)
