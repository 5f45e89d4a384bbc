"""Files of numbers, here or at a URL: what opens each kind, and their state before."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from jaxreg.common.remote_file import AnyFile
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.csvfile import CsvFile
from jaxreg.sources.examples import Examples
from jaxreg.sources.excel import open_excel_table
from jaxreg.sources.large_table import MOST_WHOLE
from jaxreg.sources.npz import open_npz
from jaxreg.sources.parquet_shards import open_parquet_shards
from jaxreg.sources.sliced_examples import SlicedExamples
from jaxreg.sources.source_file import SourceFile
from jaxreg.sources.tables import open_csv_table
from jaxreg.sources.udacity import is_driving_log, open_driving_log

TABLES = (".csv", ".tsv", ".xlsx", ".parquet", ".npz")
"""The endings of files of numbers."""

_Any = TypeVar("_Any", Examples, Examples | SlicedExamples)


def open_table(
    file: AnyFile,
    location: str,
    options: SourceOptions,
    *,
    ranged: bool,
    images: bool,
    in_slices: bool,
) -> Examples | SlicedExamples:
    """The table or archive in a file whose ending is one of TABLES; as `open_source`."""
    kind = file.suffix.lower()
    if kind == ".npz":
        return with_files([file], lambda: open_npz(file, location, options, ranged=ranged))
    if kind == ".parquet":
        return open_shards([file], file.name, location, options, images=images, in_slices=in_slices)
    read = open_excel_table if kind == ".xlsx" else open_csv
    return with_files([file], lambda: read(file, location, options, images=images))


def open_shards(
    files: Sequence[AnyFile],
    name: str,
    location: str,
    options: SourceOptions,
    *,
    images: bool,
    in_slices: bool,
) -> Examples | SlicedExamples:
    """Parquet files as one table, which messages call `name`; as `open_source`."""
    return with_files(
        files,
        lambda: open_parquet_shards(
            files, name, location, options, images=images, in_slices=in_slices
        ),
    )


def open_csv(
    file: AnyFile, location: str, options: SourceOptions, *, images: bool = True
) -> Examples:
    """A CSV table, or a driving log here; as `open_source`."""
    read = CsvFile.read(file)
    if isinstance(file, Path) and is_driving_log(read):
        return open_driving_log(read, location, options)
    examples = open_csv_table(read, location, options, images=images)
    if images and (rows := len(examples) + examples.left_out) > MOST_WHOLE:
        note = f"all {rows:,} rows of {file} are in memory; as .parquet they come slice by slice"
        return replace(examples, notes=(*examples.notes, note))
    return examples


def with_files(paths: Sequence[AnyFile], open_them: Callable[[], _Any]) -> _Any:
    """The examples, with the state of their files before they were opened."""
    files = SourceFile.of_all(paths)
    return replace(open_them(), files=files)
