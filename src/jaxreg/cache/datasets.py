"""Datasets: the named table of a source's examples, `cache/datasets/<name>.parquet`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from io import BufferedReader
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.cache.dataset_digest import Column, content_digest_with, table_column
from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.extracted import Extracted
from jaxreg.cache.object_store import LocalStore
from jaxreg.cache.store import Cache
from jaxreg.common.files import open_regular, safe_name
from jaxreg.common.json_files import FORMAT, check_format, content_digest, parse_json
from jaxreg.config_io import command_line
from jaxreg.errors import InputError, JaxregError, nearest
from jaxreg.sources.source_file import SourceFile

_PLAIN = ("name", "source", "sequential", "failed_sha256")
_TUPLES = ("targets", "bookkeeping")
"""Fields that the file's metadata has as they are."""


def dataset_key(name: str) -> str:
    """Where the table of a dataset is."""
    return f"datasets/{name}.parquet"


def dataset_names(cache: Cache) -> list[str]:
    """All datasets of a cache."""
    names = sorted(cache.store.children("datasets"))
    return [name.removesuffix(".parquet") for name in names if name.endswith(".parquet")]


def write_dataset(cache: Cache, dataset: Dataset) -> str:
    """Replace the dataset of that name; returns in words what changed."""
    before: set[str] = set()
    moved = ""
    try:
        old = read_dataset(cache, dataset.name)
        before = set(old.ids)
        if old.source.get("location") != dataset.source.get("location"):
            moved = f"; it was made from {old.source.get('location')} before"
    except InputError:
        pass  # absent, damaged or of another format: all rows are new
    # Parquet keeps some types as others (whole seconds as milliseconds): hash what will be read
    dataset = replace(dataset, table=as_stored(dataset.table))
    metadata = metadata_of(dataset)
    metadata["sha256"] = _sha256(dataset, metadata)
    table = dataset.table.replace_schema_metadata({"jaxreg": json.dumps(metadata)})
    cache.store.put(dataset_key(dataset.name), _to_parquet(table).to_pybytes())
    now = set(dataset.ids)
    return change_in_words(len(now), len(before), len(now & before), moved)


def change_in_words(now: int, before: int, same: int, moved: str) -> str:
    """The rows of a dataset now, and what they were before.

    Args:
        now, before: how many rows there are and were; 0 before if there was no dataset.
        same: how many of these have the same id.
        moved: on another source, or "".
    """
    if not before:
        return f"{now} rows"
    return f"{now} rows ({now - same} added, {before - same} gone{moved})"


def metadata_of(dataset: Dataset) -> dict[str, Any]:
    """What the file of a dataset says beside its rows, all but its SHA-256."""
    metadata: dict[str, Any] = {
        "format": FORMAT,
        **{name: getattr(dataset, name) for name in (*_PLAIN, *_TUPLES)},
        **dataset.extracted[0].to_json(),
        "files": [vars(file) for file in dataset.files],
    }
    if dataset.others:
        metadata["others"] = [one.to_json() for one in dataset.others]
    return json.loads(json.dumps(metadata, default=str))


def as_stored(table: pa.Table) -> pa.Table:
    """The table as Parquet gives it back."""
    return pq.ParquetFile(pa.BufferReader(_to_parquet(table))).read()


def _to_parquet(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return sink.getvalue()


def read_dataset(cache: Cache, name: str) -> Dataset:
    """The dataset of that name.

    Raises:
        InputError: there is none (the nearest name is given), or the file is damaged.
        UnavailableError: the bucket cannot be reached.
    """
    return _read(cache, name, lambda file: file.read(), whole=True)


def read_description(cache: Cache, name: str) -> Dataset:
    """The dataset of that name without its rows, whose SHA-256 is not compared.

    Raises as `read_dataset`.
    """
    return _read(cache, name, lambda file: file.schema_arrow.empty_table())


def read_some(cache: Cache, name: str, most: int) -> Dataset:
    """The dataset with at most so many of its rows, evenly spread; no SHA-256 is compared.

    Raises as `read_dataset`.
    """
    return _read(cache, name, partial(_spread, most=most))


def _spread(file: pq.ParquetFile, most: int) -> pa.Table:
    """Every n-th row; only these and a few others are ever in memory."""
    apart = max(1, -(-file.metadata.num_rows // most))
    if apart == 1:
        return file.read()  # `take` imports pyarrow.compute
    batches, row = [], 0
    for batch in file.iter_batches(2**14):
        batches.append(batch.take(pa.array(range(-row % apart, len(batch), apart), pa.int64())))
        row += len(batch)
    return pa.Table.from_batches(batches, file.schema_arrow)


def open_table(cache: Cache, name: str) -> BufferedReader | pa.BufferReader:
    """The file of a dataset; one in a bucket is read whole. Raises as `Store.read`."""
    if isinstance(cache.store, LocalStore):
        return open_regular(cache.store.path(dataset_key(name)))
    return pa.BufferReader(cache.store.read(dataset_key(name)))


def _read(
    cache: Cache, name: str, rows: Callable[[pq.ParquetFile], pa.Table], *, whole: bool = False
) -> Dataset:
    path, opened = cache.store.shown(dataset_key(name)), None
    again = _again({"location": "SOURCE"}, name, cache.root)
    try:
        opened = open_table(cache, name) if safe_name(name) == name else None
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InputError(
            f"{path} is damaged or not a dataset of jaxreg: {error}", remedy=again
        ) from error
    if opened is None:
        names = dataset_names(cache)
        near = nearest(name, names)
        raise InputError(
            f"no dataset {name!r} in {cache.root}",
            expected=f"one of: {', '.join(names)}" if names else "a dataset; none is there yet",
            remedy=f"use the dataset {near}" if near else again,
            instead=(name, near) if near else None,
        )
    try:
        with opened, pq.ParquetFile(opened, page_checksum_verification=True) as file:
            table = rows(file)
        metadata = parse_json((table.schema.metadata or {})[b"jaxreg"])
        again = _again(metadata["source"], name, cache.root)
        check_format(path, metadata["format"], again)
        plain: dict[str, Any] = {name: metadata[name] for name in _PLAIN}
        plain |= {name: tuple(metadata[name]) for name in _TUPLES}
        dataset = Dataset(
            table=table.replace_schema_metadata(None),
            **plain,
            **vars(Extracted.from_json(metadata)),
            others=tuple(map(Extracted.from_json, metadata.get("others", ()))),
            files=tuple(SourceFile(**file) for file in metadata["files"]),
            cache_root=cache.root,
        )
        if whole and metadata["sha256"] != _sha256(dataset, metadata):
            raise ValueError("its SHA-256 is not that of its content")
        if dataset.name != name:
            raise InputError(
                f"{path} holds the dataset {dataset.name!r}",
                expected="the dataset that the file is named after",
                remedy=f"give it back its name, {dataset.name}.parquet, then: {again}",
            )
        return dataset
    except JaxregError:
        raise
    except Exception as error:  # of libraries, or of the code above, that go through damage
        raise InputError(
            f"{path} is damaged or not a dataset of jaxreg: {error}", remedy=again
        ) from error


def _sha256(dataset: Dataset, metadata: Mapping[str, Any]) -> str:
    column = table_column(dataset.table)
    return table_sha256(metadata, dataset.table.schema, dataset.fingerprint, column)


def table_sha256(
    metadata: Mapping[str, Any], schema: pa.Schema, fingerprint: str, column: Column
) -> str:
    """64 hex digits that change with any value, column type or entry of the metadata.

    Args:
        metadata: of the dataset's file.
        schema: of its table.
        fingerprint: of all columns but that of paths.
        column: reads a column.
    """
    content = {
        **metadata,
        "schema": [[field.name, str(field.type)] for field in schema],
        "values": fingerprint,
        "paths": None,
    }
    if "path" not in schema.names:
        return content_digest(content)
    return content_digest_with(content, "paths", column("path"))


def _again(source: Mapping[str, Any], name: str, root: str) -> str:
    """The command for a dataset whose settings this version cannot read."""
    numbered = ":".join(str(source[key]) for key in ("kind", "count") if key in source)
    opened = source.get("location", numbered)
    return command_line("jaxreg extract", [opened, "--name", name, "--cache", root])
