"""A large table is read once, slice by slice, before its images are: what its rows hold."""

from collections import Counter

import pyarrow as pa

from jaxreg.common import arrow_compute as pc
from jaxreg.common.remote_file import shown
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.as_written import LONG, NAME_LIKE, CellCounts
from jaxreg.sources.columns import missing
from jaxreg.sources.image_column import Table
from jaxreg.sources.name_numbers import NameHashes
from jaxreg.sources.row_order import RowOrder
from jaxreg.sources.sliced_examples import names_of
from jaxreg.sources.sliced_rows import SlicePlan, SliceRows

MOST_NAMES = 100_000
"""Distinct paths of a large table for which other files are looked for, and texts of an order."""


class Survey:
    """What is found in the rows of a table, slice by slice."""

    def __init__(self, plan: SlicePlan, table: Table, options: SourceOptions) -> None:
        """Look at nothing yet.

        Args:
            plan: of the table.
            table: its first rows, which have all of its columns.
            options: of the user.
        """
        self.plan, self.table, self.options = plan, table, options
        scalars = table.scalars.column_names
        beside = plan.encoded and pa.types.is_struct(plan.kind)
        self.columns = (*scalars, *([plan.image_column] if beside else []))
        self.kept: list[int] = []  # usable rows of each slice
        self.id_name = options.id_column or ("id" if "id" in scalars else None)
        self.id_missing: int | None = None  # the first row without one
        self.ids, self.names = NameHashes(), NameHashes()  # in the column; for want of it
        self.files: Counter[str] = Counter()  # rows of each path, of the first MOST_NAMES
        self.has_paths = False
        self.valued: set[str] = set()  # columns with a value
        text = [f.name for f in table.scalars.schema if pa.types.is_string(f.type)]
        self.cells = {name: CellCounts() for name in text if name not in self._roles}
        self.lost: set[str] = set()  # columns whose numbers do not keep their text
        self.name_like: dict[str, str] = {}  # → the first text of such a column that is a name
        self.row_order = RowOrder(() if plan.order_column else scalars)
        self.order: list[pa.ChunkedArray] = []
        self.order_texts: dict[str, int] = {}  # → the first row

    @property
    def _roles(self) -> list[str | None]:
        plan = self.plan
        return [plan.order_column, plan.group_column, plan.image_column, self.options.id_column]

    def add(self, rows: SliceRows) -> None:
        """The rows of the next slice."""
        keep, start, read = rows.keep, rows.at.start, rows.read
        self.kept.append(len(keep))
        self._add_ids(rows)
        outside = [name for name in rows.outside if name]
        if len(self.files) <= MOST_NAMES:
            self.files.update(outside)
        self.has_paths = self.has_paths or any(rows.written[row] for row in keep.tolist())
        for name, column in zip(read.values.column_names, read.values.columns, strict=True):
            if name not in self.valued and column.take(keep).null_count < len(keep):
                self.valued.add(name)
        for name, counts in self.cells.items():
            counts.add(read.values[name], start)
        self.lost |= read.written.keys()
        for name, text in read.text.items():
            like = text.filter(pc.match_substring_regex(text, f"{NAME_LIKE}|{LONG}"))
            if len(like):
                self.name_like.setdefault(name, like[0].as_py())
        group = self.plan.group_column
        numbers = (keep + start).tolist()
        if (name := self.plan.order_column) is not None:
            self._add_order(read.values[name].take(keep), numbers)
        else:
            sequence = None if group is None else read.names(group).take(keep).to_pylist()
            self.row_order.add(read.values.take(keep), numbers, sequence)

    def _add_ids(self, rows: SliceRows) -> None:
        if self.id_name is not None and self.id_missing is None:
            column = rows.read.names(self.id_name)
            absent = missing(column)
            if any(absent):
                self.id_missing = rows.at.start + absent.index(True)
            else:
                self.ids.add(list(map(shown, column.to_pylist())))
        if self.options.id_column is None:
            self.names.add(names_of(rows))

    def _add_order(self, column: pa.ChunkedArray, rows: list[int]) -> None:
        if is_ranked(column.type):
            self.order.append(column)
        elif pa.types.is_string(column.type) and len(self.order_texts) <= MOST_NAMES:
            for text, row in zip(column.to_pylist(), rows, strict=True):
                self.order_texts.setdefault(text.strip(), row)


def is_ranked(kind: pa.DataType) -> bool:
    """Whether the order of such values is that of their ranks: numbers other than whole, times."""
    whole = pa.types.is_integer(kind) and kind != pa.uint64()
    return not whole and not pa.types.is_string(kind)
