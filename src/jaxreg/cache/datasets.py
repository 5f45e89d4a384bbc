"""Datasets: the named table of a source's examples, `cache/datasets/<name>.parquet`."""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.cache.recipe import FORMAT, Column
from jaxreg.cache.store import Cache
from jaxreg.common.files import remove, write_whole
from jaxreg.errors import InputError, nearest
from jaxreg.sources.examples import RESERVED, Examples


@dataclass(frozen=True)
class Dataset:
    """A dataset as it is in the cache."""

    name: str
    table: pa.Table  # id, digest, order, group?, path?, and the source's columns
    source: dict[str, Any]  # the source's description
    feature_set: str  # of the last extract
    columns: tuple[Column, ...]  # of the last extract
    targets: tuple[str, ...]  # the source's own
    bookkeeping: tuple[str, ...]  # index, order and time columns: never a default target
    sequential: bool  # consecutive frames
    extract_command: str  # what makes its features again

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def ids(self) -> list[str]:
        return self.table["id"].to_pylist()

    @property
    def digests(self) -> list[str]:
        return self.table["digest"].to_pylist()

    @property
    def source_columns(self) -> list[str]:
        """The names of the columns that the source brought."""
        return [name for name in self.table.column_names if name not in RESERVED]

    @property
    def numeric_columns(self) -> list[str]:
        """Those that could be a target."""
        kinds = (
            pa.types.is_integer,
            pa.types.is_floating,
            pa.types.is_decimal,
            pa.types.is_boolean,
        )
        return [
            name
            for name in self.source_columns
            if any(is_kind(self.table.schema.field(name).type) for is_kind in kinds)
        ]

    @cached_property
    def fingerprint(self) -> str:
        """64 hex digits that change with any id, image or value, and with nothing else."""
        hashed = hashlib.sha256()
        for name in sorted(self.table.column_names):
            if name != "path":
                values = self.table[name].to_pylist()
                hashed.update(json.dumps([name, values], default=str).encode())
        return hashed.hexdigest()

    def rows(self, keep: np.ndarray) -> "Dataset":
        """The dataset of some rows, in the order of `keep` (row numbers)."""
        return replace(self, table=self.table.take(keep))


def dataset_path(cache: Cache, name: str) -> Path:
    """Where the dataset of that name is kept."""
    return cache.root / "datasets" / f"{name}.parquet"


def dataset_names(cache: Cache) -> list[str]:
    """All datasets of a cache."""
    return sorted(path.stem for path in cache.root.glob("datasets/*.parquet"))


def make_dataset(
    name: str,
    examples: Examples,
    digests: Sequence[str | None],
    *,
    feature_set: str,
    columns: Sequence[Column],
    extract_command: str,
) -> Dataset:
    """The dataset of the examples that have a digest; those with None were not usable."""
    count = len(examples)
    order = np.arange(count) if examples.order is None else examples.order
    fields: dict[str, Any] = {
        "id": pa.array(examples.ids, pa.string()),
        "digest": pa.array(digests, pa.string()),
        "order": pa.array(order, pa.int64()),
    }
    if examples.group is not None:
        fields["group"] = pa.array(examples.group, pa.string())
    if examples.paths is not None:
        fields["path"] = pa.array(examples.paths, pa.string())
    for column in examples.columns.column_names:
        fields[column] = examples.columns[column]
    usable = pa.array([digest is not None for digest in digests])
    return Dataset(
        name=name,
        table=pa.table(fields).filter(usable),
        source=examples.description,
        feature_set=feature_set,
        columns=tuple(columns),
        targets=examples.targets,
        bookkeeping=examples.bookkeeping,
        sequential=examples.sequential,
        extract_command=extract_command,
    )


def write_dataset(cache: Cache, dataset: Dataset) -> str:
    """Put the dataset in the place of the one of its name; returns what changed, for people."""
    path = dataset_path(cache, dataset.name)
    before: set[str] = set()
    moved = ""
    if path.exists():
        try:
            old = read_dataset(cache, dataset.name)
            before = set(old.ids)
            if old.source.get("location") != dataset.source.get("location"):
                moved = f"; it was made from {old.source.get('location')} before"
        except InputError:
            before = set()  # unreadable: it is replaced, and all rows are new
    metadata = {
        "format": FORMAT,
        "source": dataset.source,
        "feature_set": dataset.feature_set,
        "columns": [column.name for column in dataset.columns],
        "targets": list(dataset.targets),
        "bookkeeping": list(dataset.bookkeeping),
        "sequential": dataset.sequential,
        "extract_command": dataset.extract_command,
    }
    sink = pa.BufferOutputStream()
    table = dataset.table.replace_schema_metadata({"jaxreg": json.dumps(metadata)})
    pq.write_table(table, sink, write_page_checksum=True)
    write_whole(path, sink.getvalue().to_pybytes())
    now = set(dataset.ids)
    if not before:
        return f"{len(now)} rows"
    return f"{len(now)} rows ({len(now - before)} added, {len(before - now)} gone{moved})"


def write_failed(cache: Cache, name: str, failed: Sequence[tuple[str, str]]) -> Path | None:
    """Write `<name>.failed.csv` (id, reason), or remove an old one when nothing failed."""
    path = cache.root / "datasets" / f"{name}.failed.csv"
    if not failed:
        remove(path)
        return None
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("id", "reason"), *failed])
    write_whole(path, text.getvalue().encode())
    return path


def read_dataset(cache: Cache, name: str) -> Dataset:
    """The dataset of that name.

    Raises:
        InputError: there is none (the nearest name is given), or the file is damaged.
    """
    path = dataset_path(cache, name)
    if not path.exists():
        names = dataset_names(cache)
        raise InputError(
            f"no dataset {name!r} in {cache.root}",
            expected="one of: " + (", ".join(names) or "none is there yet"),
            remedy=nearest(name, names) or f"jaxreg extract SOURCE --name {name}",
        )
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
        metadata = json.loads((table.schema.metadata or {})[b"jaxreg"])
        if metadata["format"] != FORMAT:
            raise InputError(f"{path} has format {metadata['format']}", expected=f"format {FORMAT}")
        return Dataset(
            name=name,
            table=table.replace_schema_metadata(None),
            source=metadata["source"],
            feature_set=metadata["feature_set"],
            columns=tuple(Column.parse(column) for column in metadata["columns"]),
            targets=tuple(metadata["targets"]),
            bookkeeping=tuple(metadata["bookkeeping"]),
            sequential=metadata["sequential"],
            extract_command=metadata["extract_command"],
        )
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} is damaged or not a dataset of jaxreg: {error}",
            remedy=f"extract it again: jaxreg extract SOURCE --name {name}",
        ) from error
