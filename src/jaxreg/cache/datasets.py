"""Datasets: the named table of a source's examples, `cache/datasets/<name>.parquet`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.common.files import open_regular, safe_name, write_whole
from jaxreg.common.json_files import FORMAT, check_format, content_digest, parse_json
from jaxreg.config_io import changed_fields, command_line, from_json, to_json
from jaxreg.errors import InputError, nearest
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.merge_settings import merge
from jaxreg.sources.columns import is_number
from jaxreg.sources.examples import WRITTEN, Examples, is_reserved
from jaxreg.sources.naming import listed
from jaxreg.sources.source_file import SourceFile

_PLAIN = ("name", "source", "feature_set", "sequential", "opened", "failed_sha256")
_TUPLES = ("targets", "bookkeeping")
"""Fields that the file's metadata has as they are."""


@dataclass(frozen=True)
class Dataset:
    """The examples of a source that have features in the cache."""

    name: str
    table: pa.Table  # id, digest, order, group?, path?, and the source's columns
    source: dict[str, Any]  # the source's description
    feature_set: str  # of the last extract
    columns: tuple[Column, ...]  # of the last extract
    targets: tuple[str, ...]  # the source's own
    bookkeeping: tuple[str, ...]  # index, order and time columns: never a default target
    sequential: bool  # consecutive frames
    opened: str  # what the user called the source
    options: SourceOptions
    settings: ExtractConfig  # of the last extract, without its shard
    files: tuple[SourceFile, ...]  # that the numbers came from
    failed_sha256: str | None  # of <name>.failed.csv; None: every example could be used
    cache_root: Path = field(default=Path("cache"), compare=False)

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
        return [name for name in self.table.column_names if not is_reserved(name)]

    @property
    def numeric_columns(self) -> list[str]:
        """The names of the source's columns that could be a target."""
        fields = (self.table.schema.field(name) for name in self.source_columns)
        return [field.name for field in fields if is_number(field.type)]

    @cached_property
    def fingerprint(self) -> str:
        """64 hex digits that change with any id, image or value, and with nothing else."""
        hashed = hashlib.sha256()
        for name in sorted(self.table.column_names):
            if name != "path":
                values = self.table[name]
                if pa.types.is_temporal(values.type):  # Python has no nanoseconds
                    values = values.cast(pa.string())
                hashed.update(json.dumps([name, values.to_pylist()], default=str).encode())
        return hashed.hexdigest()

    def extract_command(self, **changes: Any) -> str:
        """The command that extracts this dataset again, for people to read and run.

        Args:
            changes: fields of `ExtractConfig` with other values; None is the default.
        """
        said = merge(file=changed_fields(self.settings), given=changes)
        settings = ExtractConfig(**{n: value for n, value in said.items() if value is not None})
        words = [self.opened, "--name", self.name, "--cache", self.cache_root]
        return command_line("jaxreg extract", words, self.options, settings)

    @property
    def stale(self) -> list[str]:
        """A sentence on the files of the source that have changed since, with the command."""
        changed = [file.path for file in self.files if file.has_changed]
        if not changed:
            return []
        what = f"{listed(changed, 3)} {'has' if len(changed) == 1 else 'have'} changed"
        return [
            f"{what}, and this dataset has the numbers from before. To use the new ones: "
            f"{self.extract_command()}"
        ]

    def rows(self, keep: np.ndarray) -> "Dataset":
        """The dataset of the rows `keep` (row numbers), in that order."""
        return replace(self, table=self.table.take(keep))


def dataset_path(cache: Cache, name: str) -> Path:
    """Where the table of a dataset is."""
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
    opened: str,
    options: SourceOptions,
    settings: ExtractConfig,
    failed_sha256: str | None = None,
) -> Dataset:
    """The dataset of the examples that have a digest; one without could not be used."""
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
    fields |= zip(examples.columns.column_names, examples.columns.columns, strict=True)
    fields |= {WRITTEN + name: text for name, text in examples.written.items()}
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
        opened=opened,
        options=options,
        settings=replace(settings, shard=None),  # the command makes all that is missing
        files=examples.files,
        failed_sha256=failed_sha256,
    )


def write_dataset(cache: Cache, dataset: Dataset) -> str:
    """Replace the dataset of that name; returns in words what changed."""
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
            pass  # damaged or of another format: all rows are new
    # Parquet keeps some types as others (whole seconds as milliseconds): hash what will be read
    stored = _to_parquet(dataset.table)
    dataset = replace(dataset, table=pq.ParquetFile(pa.BufferReader(stored)).read())
    metadata: dict[str, Any] = {
        "format": FORMAT,
        **{name: getattr(dataset, name) for name in (*_PLAIN, *_TUPLES)},
        "columns": [column.name for column in dataset.columns],
        **{name: _given(getattr(dataset, name)) for name in ("options", "settings")},
        "files": [vars(file) for file in dataset.files],
    }
    metadata = json.loads(json.dumps(metadata, default=str))
    metadata["sha256"] = _sha256(dataset, metadata)
    table = dataset.table.replace_schema_metadata({"jaxreg": json.dumps(metadata)})
    write_whole(path, _to_parquet(table).to_pybytes())
    now = set(dataset.ids)
    if not before:
        return f"{len(now)} rows"
    return f"{len(now)} rows ({len(now - before)} added, {len(before - now)} gone{moved})"


def _to_parquet(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return sink.getvalue()


def read_dataset(cache: Cache, name: str) -> Dataset:
    """The dataset of that name.

    Raises:
        InputError: there is none (the nearest name is given), or the file is damaged.
    """
    path = dataset_path(cache, name)
    if safe_name(name) != name or not path.exists():
        names = dataset_names(cache)
        near = nearest(name, names)
        raise InputError(
            f"no dataset {name!r} in {cache.root}",
            expected="one of: " + (", ".join(names) or "none is there yet"),
            remedy=f"use the dataset {near}" if near else f"jaxreg extract SOURCE --name {name}",
            instead=(name, near) if near else None,
        )
    again = f"jaxreg extract SOURCE --name {name}"
    try:
        with (
            open_regular(path) as opened,
            pq.ParquetFile(opened, page_checksum_verification=True) as file,
        ):
            table = file.read()
        metadata = parse_json((table.schema.metadata or {})[b"jaxreg"])
        again = _again(metadata["source"], name, cache.root)
        check_format(path, metadata["format"], again)
        plain: dict[str, Any] = {name: metadata[name] for name in _PLAIN}
        plain |= {name: tuple(metadata[name]) for name in _TUPLES}
        dataset = Dataset(
            table=table.replace_schema_metadata(None),
            **plain,
            columns=tuple(Column.parse(column) for column in metadata["columns"]),
            options=from_json(SourceOptions, metadata["options"]),
            settings=from_json(ExtractConfig, metadata["settings"]),
            files=tuple(SourceFile(**file) for file in metadata["files"]),
            cache_root=cache.root,
        )
        if metadata["sha256"] != _sha256(dataset, metadata):
            raise ValueError("its SHA-256 is not that of its content")
        if dataset.name != name:
            raise InputError(
                f"{path} holds the dataset {dataset.name!r}",
                expected="the dataset that the file is named after",
                remedy=f"give it back its name, {dataset.name}.parquet, then: {again}",
            )
        return dataset
    except InputError:
        raise
    except Exception as error:  # of libraries, or of the code above, that go through damage
        raise InputError(
            f"{path} is damaged or not a dataset of jaxreg: {error}", remedy=again
        ) from error


def _sha256(dataset: Dataset, metadata: Mapping[str, Any]) -> str:
    """64 hex digits that change with any value, column type or entry of the metadata."""
    table = dataset.table
    return content_digest(
        {
            **metadata,
            "schema": [[field.name, str(field.type)] for field in table.schema],
            "values": dataset.fingerprint,  # of all columns but path
            "paths": table["path"].to_pylist() if "path" in table.column_names else None,
        }
    )


def _given(settings: SourceOptions | ExtractConfig) -> dict[str, Any]:
    return {name: value for name, value in to_json(settings).items() if value is not None}


def _again(source: Mapping[str, Any], name: str, root: Path) -> str:
    """The command for a dataset whose settings this version cannot read."""
    numbered = ":".join(str(source[key]) for key in ("kind", "count") if key in source)
    opened = source.get("location", numbered)
    return command_line("jaxreg extract", [opened, "--name", name, "--cache", root])
