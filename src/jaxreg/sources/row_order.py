"""Whether the rows of a table are in the order of its frames or times, asked piece by piece."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxreg.sources.columns import frame_or_time, take, unlike_row_order

MOST_GROUPS = 2**12  # whose last rows are compared with the next piece


class RowOrder:
    """Compares each piece of a table with itself and with the rows before it."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frame_or_time(names)
        self._last: tuple[pa.Table, list[int], list[str]] | None = None  # of each group
        self.sentence = ""  # on the first value that is out of order, as `unlike_row_order`

    def add(self, values: pa.Table, rows: Sequence[int], group: Sequence[str] | None) -> None:
        """The next rows.

        Args:
            values: their columns.
            rows: their numbers in the whole table.
            group: the sequence of each row; the order counts within it.
        """
        if self.sentence or not self._names or not len(rows):
            return
        table, numbers = values.select(self._names), [*rows]
        groups = [*group] if group is not None else [""] * len(numbers)
        if self._last is not None:
            before, its_rows, its_groups = self._last
            table = pa.concat_tables([before, table])
            numbers, groups = its_rows + numbers, its_groups + groups
        self.sentence = unlike_row_order(table, numbers, groups)
        latest = dict(zip(groups, range(len(groups)), strict=True))
        last = np.sort(np.array([*latest.values()]))[-MOST_GROUPS:].tolist()
        its_rows, its_groups = ([some[row] for row in last] for some in (numbers, groups))
        self._last = take(table, last).combine_chunks(), its_rows, its_groups
