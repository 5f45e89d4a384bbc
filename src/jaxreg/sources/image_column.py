"""Which column of a table holds the images: by its values, or by the files that they name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from jaxreg.common import arrow_compute as pc
from jaxreg.common.remote_file import AnyFile, path_of
from jaxreg.errors import InputError, nearest
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.as_written import Columns
from jaxreg.sources.columns import missing
from jaxreg.sources.found_files import Found, find_files
from jaxreg.sources.naming import is_image_name, listed, one_column, some
from jaxreg.sources.parquet import ShardedColumn

LOOKED_AT = 300  # the first values of a column decide whether it holds images


@dataclass(frozen=True)
class Table:
    """A table that is read, but for the encoded images."""

    path: AnyFile  # the file; of several, what they are called in their folder
    read: Columns
    encoded: Mapping[str, ShardedColumn] = field(default_factory=dict)  # encoded images
    dropped: tuple[str, ...] = ()  # columns that are neither
    parts: Mapping[str, int] = field(default_factory=dict)  # files, if several → their rows
    notes: tuple[str, ...] = ()

    @property
    def scalars(self) -> pa.Table:
        return self.read.values

    @property
    def names(self) -> list[str]:
        return [*self.scalars.column_names, *self.encoded]


def find_image_column(table: Table, options: SourceOptions) -> tuple[str, str]:
    """The column of the images, and a note if the files alone told which it is."""
    if (asked := options.image_column) is not None:
        name = one_column(asked, table.names, "--image-column", str(table.path))
        if name in table.encoded:
            return name, ""
        column = table.scalars[name]
        if _holds_names(table, name) and not all(missing(column)):
            return name, ""
        held = "no value" if all(missing(column)) else column.type
        raise InputError(
            f"--image-column {name} of {table.path} holds {held}",
            expected="paths of image files, or their bytes",
        )
    columns = zip(table.scalars.column_names, table.scalars.columns, strict=True)
    found = [name for name, column in columns if _holds_paths(column)] + list(table.encoded)
    if len(found) == 1:
        return found[0], ""
    sampled = {name: _sampled(table, name, options) for name in found or _may_name(table)}
    finding = [name for name, one in sampled.items() if one.as_written > len(one.files) / 2]
    finding = finding or [n for n, one in sampled.items() if one.missing < len(one.files) / 2]
    if len(finding) == 1:
        return finding[0], f"the column {finding[0]!r} of {table.path} names the images"
    if found := found or finding:
        what = f"{len(found)} columns that may hold the images: {listed(found)}"
    else:
        what = "no column whose values all are names of image files"
    like = found[0] if found else _likely(table)
    raise InputError(
        f"{table.path} has {what}",
        expected=f"--image-column with one of its columns: {listed(table.names)}",
        remedy=f"--image-column {like}" if like else "--image-column COLUMN --image-suffix .jpg",
    )


def _holds_names(table: Table, name: str) -> bool:
    """Whether a column can hold names: it has text, whole numbers or numbers written as 007."""
    kind = table.scalars[name].type
    return pa.types.is_string(kind) or pa.types.is_integer(kind) or name in table.read.written


def _may_name(table: Table) -> list[str]:
    """The columns of text or whole numbers of which no value repeats."""
    columns = zip(table.scalars.column_names, table.scalars.columns, strict=True)
    return [
        name
        for name, column in columns
        if _holds_names(table, name)
        if pc.count_distinct(column).as_py() == len(column) - column.null_count
    ]


def _sampled(table: Table, column: str, options: SourceOptions) -> Found:
    """The files of some of a column's values."""
    if column in table.encoded:
        return Found([], 0, 0)
    cells = table.read.names(column).to_pylist()
    names = [cell.strip() for cell in cells if cell and cell.strip()]
    return find_files(table.path, some(names), options.image_root, options.image_suffix)


def _likely(table: Table) -> str | None:
    """The column of text that is most likely to name the images."""
    columns = zip(table.scalars.column_names, table.scalars.columns, strict=True)
    text = [name for name, column in columns if pa.types.is_string(column.type)]
    return nearest("image", text) or next(iter(text), None)


def _holds_paths(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_string(column.type):
        return False
    present = [value for value in column.to_pylist() if value is not None and value.strip()]
    return bool(present) and all(is_image_name(path_of(value)) for value in present[:LOOKED_AT])
