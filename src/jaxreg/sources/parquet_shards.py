"""One table in one or several Parquet files (shards): their columns at once, images when needed."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, overload

import pyarrow as pa

from jaxreg.common.remote_file import AnyFile
from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.sources import large_table
from jaxreg.sources.as_written import Columns
from jaxreg.sources.columns import no_columns, scalar_columns
from jaxreg.sources.examples import Examples
from jaxreg.sources.image_column import Table
from jaxreg.sources.naming import listed
from jaxreg.sources.parquet import Shard, ShardedColumn
from jaxreg.sources.sliced_examples import SlicedExamples
from jaxreg.sources.tables import table_examples

_NUMBERED = re.compile(r"(.*)-\d+-of-(\d+)\.parquet", re.IGNORECASE)


def open_parquet_table(
    path: AnyFile, location: str, options: SourceOptions, *, images: bool = True
) -> Examples:
    """The table in one file; paths in it are relative to its folder.

    Raises:
        InputError: as `open_csv_table`, or the file is damaged.
    """
    return open_parquet_shards([path], path.name, location, options, images=images)


@overload
def open_parquet_shards(
    paths: Sequence[AnyFile],
    name: str,
    location: str,
    options: SourceOptions,
    *,
    images: bool = ...,
    in_slices: Literal[False] = ...,
) -> Examples: ...
@overload
def open_parquet_shards(
    paths: Sequence[AnyFile],
    name: str,
    location: str,
    options: SourceOptions,
    *,
    images: bool = ...,
    in_slices: bool,
) -> Examples | SlicedExamples: ...
def open_parquet_shards(
    paths: Sequence[AnyFile],
    name: str,
    location: str,
    options: SourceOptions,
    *,
    images: bool = True,
    in_slices: bool = False,
) -> Examples | SlicedExamples:
    """The rows of all files, in the order given, as one table; paths are relative to their folder.

    Args:
        paths: the files.
        name: what messages call them, as `train-*.parquet`.
        location, options, images, in_slices: as `open_source` has them.

    Raises:
        InputError: as `open_parquet_table`; the files are in several folders, or differ in the
            names or types of their columns. Those of a file without rows do not count.
    """
    folders = list(dict.fromkeys(path.parent for path in paths))
    if len(folders) > 1:
        raise InputError(
            f"{location} is in {len(folders)} folders: {listed(map(str, folders), 3)}",
            expected="the files of one table in one folder",
            remedy=f"use '{folders[0] / '*.parquet'}'",
        )
    shards = [Shard.open(path) for path in paths]
    shards = [shard for shard in shards if shard.rows] or shards[:1]
    first = shards[0]
    for shard in shards[1:]:
        _refuse_other_columns(first, shard)
    rows = sum(shard.rows for shard in shards)
    if in_slices and images and rows > large_table.MOST_WHOLE:
        path = folders[0] / name
        return large_table.open_in_slices(shards, path, location, options, _notes(paths))
    names = [name for name in first.schema.names if name not in first.encoded]
    scalars = pa.concat_tables([shard.scalars().select(names) for shard in shards])
    read, dropped = scalar_columns(Columns(scalars if names else no_columns(rows)))
    table = Table(
        path=folders[0] / name,
        read=read,
        encoded={name: ShardedColumn(shards, name) for name in first.encoded},
        dropped=tuple(dropped),
        parts={shard.path.name: shard.rows for shard in shards},
        notes=_notes(paths),
    )
    return table_examples(table, location, options, images=images)


def _refuse_other_columns(first: Shard, shard: Shard) -> None:
    kinds = [dict(zip(one.schema.names, one.schema.types, strict=True)) for one in (first, shard)]
    for name in dict.fromkeys([*kinds[0], *kinds[1]]):
        expected, found = (kind.get(name) for kind in kinds)
        if expected != found:
            raise InputError(
                f"{shard.path} and {first.path} have different columns: {name!r} is "
                f"{found or 'absent'} in the first and {expected or 'absent'} in the second",
                expected="the same columns, with the same types, in every file of one table",
                remedy="write the files again with the same columns, or extract each file alone",
            )


def _notes(paths: Sequence[AnyFile]) -> tuple[str, ...]:
    """Sentences on which files are one table, and on those that are not, by their names."""
    names = [path.name for path in paths]
    notes = [f"{len(paths)} files are read as one table: {listed(names, 6)}"] * (len(paths) > 1)
    counts = Counter(match.groups() for match in map(_NUMBERED.fullmatch, names) if match)
    notes += [
        f"{count} of the {int(of)} files {stem}-…-of-{of}.parquet are read"
        for (stem, of), count in counts.items()
        if count < int(of)
    ]
    return tuple(notes)
