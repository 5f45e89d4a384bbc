"""Tables (CSV, Excel, Parquet) with a column of image paths or of encoded images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from jaxreg.common.remote_file import is_url, shown, without_secrets
from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.columns import (
    bookkeeping,
    missing,
    ranks,
    scalar_columns,
    take,
    unlike_row_order,
    without_reserved,
)
from jaxreg.sources.csvfile import CsvFile
from jaxreg.sources.examples import Examples, Image, is_reserved
from jaxreg.sources.found_files import find_files
from jaxreg.sources.image_column import Table, find_image_column
from jaxreg.sources.naming import one_column, row_id, unique
from jaxreg.sources.parquet import EncodedImages

ROLES = ("image_column", "id_column", "group_column", "order_column")


@dataclass(frozen=True)
class _Images:
    """The image column, for every row."""

    of: Callable[[Sequence[int]], Sequence[Image]]  # the images of some rows
    written: Sequence[str | None]  # paths as the table has them
    absent: Sequence[bool]
    paths: Sequence[str]  # of the files, "" where there is none; for people
    note: str = ""  # on how the files were found

    @classmethod
    def none(cls, count: int) -> "_Images":
        """Of a table without images."""
        return cls(lambda rows: [b""] * len(rows), [None] * count, [True] * count, [""] * count)


def open_csv_table(
    file: CsvFile, location: str, options: SourceOptions, *, images: bool = True
) -> Examples:
    """A CSV table; paths in it are relative to its folder.

    Raises:
        InputError: no rows, an unknown column, no clear image column, ids that repeat.
    """
    read = file.table(file.header())
    table = Table(file.path, scalar_columns(read)[0])
    return table_examples(table, location, options, images=images)


def table_examples(
    table: Table, location: str, options: SourceOptions, *, images: bool = True
) -> Examples:
    """The examples of a table of any format; without `images`, rows need no image.

    Raises:
        InputError: no rows, an unknown column, no clear image column, ids that repeat.
    """
    options.refuse_all_but("a table", *ROLES, "image_root", "image_suffix")
    if not table.scalars.num_rows:
        raise InputError(
            f"{table.path} has columns and no rows",
            expected="one row per image",
            remedy="add a row for each image, or name another table",
        )
    image_column, chosen = _image_column(table, options, images)
    if image_column is None:
        pictures = _Images.none(table.scalars.num_rows)
    else:
        read = _encoded if image_column in table.encoded else _files
        pictures = read(table, image_column, options)
    ids, id_column = _ids(table, options.id_column, pictures.written)
    order = _chosen(table, options.order_column, "--order-column", table.read.order)
    group = _chosen(table, options.group_column, "--group-column", table.read.names)

    absent = {options.order_column: order, options.group_column: group}
    absent = {name: missing(column) for name, column in absent.items() if column is not None}
    keep, unusable = usable_rows(
        ids, {**absent, **({image_column: pictures.absent} if images else {})}
    )
    if not keep:
        raise InputError(f"{table.path} has no usable row; {unusable[0][0]}: {unusable[0][1]}")

    group = None if group is None else tuple(group.take(keep).to_pylist())
    if order is None:
        places, in_order = None, unlike_row_order(take(table.scalars, keep), keep, group)
    else:
        places, odd = ranks(order.take(keep), keep)
        in_order = f"--order-column {options.order_column}: {odd}" if odd else ""
    comes_from = {
        "id": id_column,
        "group": options.group_column,
        "order": options.order_column,
        "path": image_column,
    }
    serving = [name for name, column in comes_from.items() if column == name]
    scalars = shown_urls(table.scalars, image_column)
    columns, written = kept_columns(scalars, table.read.written, serving, keep)
    dropped = [name for name in (*table.encoded, *table.dropped) if name != image_column]
    paths = tuple(pictures.paths[row] for row in keep)
    serving = (id_column, options.group_column, options.order_column)
    return Examples(
        ids=tuple(ids[row] for row in keep),
        images=pictures.of(keep),
        columns=columns,
        description={
            "kind": table.path.suffix.lower().removeprefix("."),
            "location": location,
            **{
                name: value
                for name, value in vars(without_secrets(options)).items()
                if value is not None
            },
            **({"image_column": image_column} if image_column else {}),
            **({"dropped_columns": dropped} if dropped else {}),
        },
        order=places,
        group=group,
        paths=paths if any(paths) else None,
        bookkeeping=bookkeeping(columns, serving),
        sequential=order is not None,
        unusable=unusable,
        written=written,
        rows=np.array(keep),
        has_images=image_column is not None,
        notes=(
            *table.notes,
            *filter(None, [chosen, pictures.note, in_order]),
            *table.read.notes,
            *table.read.notes_on_names((*serving, image_column), lambda row: in_words(table, row)),
        ),
    )


def shown_urls(values: pa.Table, name: str | None) -> pa.Table:
    """The columns, with the URLs of the images as people may see them."""
    if name not in values.column_names or not pa.types.is_string(values[name].type):
        return values
    cells = values[name].to_pylist()
    if not any(cell and is_url(cell) for cell in cells):
        return values
    safe = pa.array([cell and shown(cell) for cell in cells], pa.string())
    return values.set_column(values.column_names.index(name), name, safe)


def _image_column(table: Table, options: SourceOptions, needed: bool) -> tuple[str | None, str]:
    """The image column, and a note on it; None where none is clear and rows need no image."""
    try:
        return find_image_column(table, options)
    except InputError:
        if needed or options.image_column is not None:
            raise
        return None, ""


def kept_columns(
    values: pa.Table,
    written: Mapping[str, pa.ChunkedArray],
    serving: Sequence[str],
    keep: Sequence[int] | np.ndarray,
) -> tuple[pa.Table, dict[str, pa.ChunkedArray]]:
    """The columns that a dataset keeps, and the text of some, for some rows.

    Args:
        values, written: as those of `Columns`.
        serving: columns that become the dataset's own column of their name.
        keep: the rows.
    """
    columns = take(without_reserved(values, serving), keep)
    left = set(columns.column_names)
    renamed = {name: f"source.{name}" if is_reserved(name) else name for name in written}
    texts = {renamed[name]: text for name, text in written.items() if renamed[name] in left}
    return columns, {name: text.take(keep) for name, text in texts.items()}


def usable_rows(
    ids: Sequence[str], absent: Mapping[str | None, Sequence[bool] | np.ndarray]
) -> tuple[list[int], tuple[tuple[str, str], ...]]:
    """The rows with a value in each of the columns, and (id, reason) of the others."""
    reasons: dict[int, str] = {}
    for column, lacks in absent.items():
        rows = np.flatnonzero(lacks).tolist()
        reasons |= dict.fromkeys(rows, f"no value in column {column!r}")
    keep = [row for row in range(len(ids)) if row not in reasons]
    return keep, tuple((ids[row], reason) for row, reason in sorted(reasons.items()))


def _encoded(table: Table, column: str, options: SourceOptions) -> _Images:
    """Bytes; where there are none and a path is beside them, that file."""
    images = table.encoded[column]
    null = images.null()
    names = images.names() or [None] * len(images)
    outside = [name if no_bytes else None for name, no_bytes in zip(names, null, strict=True)]
    if not any(outside):
        options.refuse_all_but("encoded images", *ROLES)
    found = find_files(table.path, outside, options.image_root, options.image_suffix)
    files = {row: path for row, path in enumerate(found.files) if outside[row]}
    return _Images(
        lambda rows: EncodedImages(images, files, rows),
        names,
        [no_bytes and not name for name, no_bytes in zip(names, null, strict=True)],
        [
            str(files.get(row) or _beside(table, name)) if name else ""
            for row, name in enumerate(names)
        ],
        found.note,
    )


def _beside(table: Table, name: str) -> Path | str:
    """What the name of an image that is in the table may have been."""
    return table.path.parent / name if isinstance(table.path, Path) else name


def _files(table: Table, column: str, options: SourceOptions) -> _Images:
    cells = table.read.names(column)
    written = [cell.strip() if cell else None for cell in cells.to_pylist()]
    found = find_files(table.path, written, options.image_root, options.image_suffix)
    return _Images(
        lambda rows: [found.files[row] for row in rows],
        [cell and shown(cell) for cell in written],
        missing(cells),
        [str(path) if name else "" for name, path in zip(written, found.files, strict=True)],
        found.note,
    )


def _ids(
    table: Table, asked: str | None, written: Sequence[str | None]
) -> tuple[list[str], str | None]:
    """One id a row, and the column they come from (None: paths or row numbers)."""
    chosen = _chosen(table, asked, "--id-column", table.read.names)
    if chosen is not None:
        ids, flaw = _as_ids(table, chosen)
        if flaw:
            raise InputError(
                f"--id-column {asked} of {table.path} {flaw}",
                expected="one id per row, all different",
            )
        return ids, asked
    if "id" in table.scalars.column_names:
        ids, flaw = _as_ids(table, table.read.names("id"))
        if not flaw:
            return ids, "id"
    return unique([name or row_id(row) for row, name in enumerate(written)]), None


def _as_ids(table: Table, column: pa.ChunkedArray) -> tuple[list[str], str | None]:
    """The values as text, and the reason why they cannot be ids, if there is one."""
    absent = missing(column)
    if any(absent):
        return [], f"has no value in {in_words(table, absent.index(True))}"
    ids = list(map(shown, column.to_pylist()))
    rows: dict[str, int] = {}
    for row, name in enumerate(ids):
        if rows.setdefault(name, row) != row:
            return [], f"holds {name!r} in {in_words(table, rows[name], row)}"
    return ids, None


def in_words(table: Table, *rows: int) -> str:
    """The rows in words; with several files, the row in its file."""
    if len(table.parts) < 2:
        return f"row{'s' * (len(rows) > 1)} {' and '.join(map(str, rows))} (from 0)"
    starts = np.cumsum([0, *table.parts.values()])
    parts = [int(np.searchsorted(starts, row, side="right")) - 1 for row in rows]
    where = [
        f"row {row - starts[part]} of {list(table.parts)[part]}"
        for row, part in zip(rows, parts, strict=True)
    ]
    return f"{' and '.join(where)} (from 0)"


def _chosen(
    table: Table, name: str | None, flag: str, read: Callable[[str], pa.ChunkedArray]
) -> pa.ChunkedArray | None:
    """What `read` gives for a column, None without one. InputError for one that is not there."""
    if name is None:
        return None
    return read(one_column(name, table.scalars.column_names, flag, str(table.path)))
