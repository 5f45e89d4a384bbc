"""The examples of a large table, slice by slice: the table is never in memory as a whole."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxreg.common.remote_file import shown
from jaxreg.sources.columns import ranks
from jaxreg.sources.examples import Examples
from jaxreg.sources.name_numbers import Numbering
from jaxreg.sources.naming import row_id
from jaxreg.sources.parquet_slices import SliceReader
from jaxreg.sources.sliced_rows import SlicedImages, SlicePlan, SliceRows
from jaxreg.sources.source_file import SourceFile
from jaxreg.sources.tables import kept_columns, shown_urls, usable_rows


@dataclass(frozen=True)
class SlicedExamples:
    """The examples of a table; of its rows only a slice and a few bytes each are in memory."""

    plan: SlicePlan
    columns: tuple[str, ...]  # of the source: those that are read
    id_column: str | None
    numbering: Numbering | None  # of ids that are no column
    order: np.ndarray | Mapping[str, int] | None  # ranks of the usable rows, or by their text
    written: frozenset[str]  # columns whose text is kept
    has_paths: bool
    description: dict[str, Any]
    bookkeeping: tuple[str, ...]
    left_out: int  # rows that cannot be used
    notes: tuple[str, ...]
    targets: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = ()
    has_images: bool = True

    def __len__(self) -> int:
        assert self.plan.starts is not None
        return int(self.plan.starts[-1])

    @property
    def sequential(self) -> bool:
        return self.plan.order_column is not None

    @property
    def images(self) -> SlicedImages:
        """One image for each example, read when it is needed."""
        return SlicedImages(self.plan, range(len(self)))

    def slices(self) -> Iterator[Examples]:
        """The examples of each slice, in the order of the table."""
        plan = self.plan
        numbering = self.numbering and self.numbering.again()
        images, first = self.images, 0
        for at, table in SliceReader(plan.shards, plan.slices, self.columns):
            rows = SliceRows(plan, at, table)
            ids = self._ids(rows, numbering)
            keep, unusable = usable_rows(ids, rows.absent)
            kept = np.array(keep, np.int64)
            values = rows.read.values
            texts = {name: rows.read.text[name] for name in rows.read.text if name in self.written}
            serving = [name for name, one in self._comes_from().items() if one == name]
            values = shown_urls(values, plan.image_column)
            columns, written = kept_columns(values, texts, serving, kept)
            group = None
            if plan.group_column is not None:
                group = tuple(rows.read.names(plan.group_column).take(kept).to_pylist())
            yield Examples(
                ids=tuple(ids[row] for row in keep),
                images=images[first : first + len(keep)],
                columns=columns,
                description=self.description,
                order=self._order(rows, kept, first),
                group=group,
                paths=rows.paths(kept) if self.has_paths else None,
                bookkeeping=self.bookkeeping,
                sequential=self.sequential,
                unusable=unusable,
                written=written,
                rows=kept + at.start,
                files=self.files,
            )
            first += len(keep)

    def _comes_from(self) -> dict[str, str | None]:
        """The dataset's own columns, and the columns of the source that they come from."""
        plan = self.plan
        own = ("id", self.id_column), ("group", plan.group_column), ("order", plan.order_column)
        return {**dict(own), "path": plan.image_column}

    def _ids(self, rows: SliceRows, numbering: Numbering | None) -> list[str]:
        if self.id_column is not None:
            return list(map(shown, rows.read.names(self.id_column).to_pylist()))
        assert numbering is not None
        return numbering.ids(names_of(rows))

    def _order(self, rows: SliceRows, keep: np.ndarray, first: int) -> np.ndarray:
        """int64, the place of each of these rows; `first` is the number of the first of them."""
        if self.plan.order_column is None:
            return np.arange(first, first + len(keep))
        if isinstance(self.order, np.ndarray):
            return self.order[first : first + len(keep)].astype(np.int64)
        column = rows.read.order(self.plan.order_column).take(keep)
        if self.order is None:
            return ranks(column, [])[0]  # whole numbers
        rank = self.order
        return np.array([rank[name.strip()] for name in column.to_pylist()], np.int64)


def names_of(rows: SliceRows) -> list[str]:
    """What the ids of rows are made of where no column has them."""
    return [
        shown(name) if name else row_id(row)
        for row, name in enumerate(rows.written, start=rows.at.start)
    ]
