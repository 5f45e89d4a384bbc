"""A dataset: the table of a source's examples, and what was extracted of them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.cache.dataset_digest import table_column, values_digest
from jaxreg.cache.embeddings import AnyRecipe
from jaxreg.cache.extracted import Extracted, settings_into
from jaxreg.cache.recipe import Column
from jaxreg.common import arrow_compute as pc
from jaxreg.config_io import changed_fields, command_line
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.merge_settings import merge
from jaxreg.sources.columns import is_number
from jaxreg.sources.examples import DIGEST, WRITTEN, Examples, is_reserved
from jaxreg.sources.naming import listed
from jaxreg.sources.source_file import SourceFile


@dataclass(frozen=True)
class Dataset:
    """The examples of a source that have features in the cache."""

    name: str
    table: pa.Table  # id, digest, digest.NAME …, order, group?, path?, and the source's columns
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
    digest_column: str = DIGEST  # of the last extract
    others: tuple[Extracted, ...] = ()  # the last extracts into other feature sets, newest first
    workers: tuple[dict[str, Any], ...] = ()  # of the cluster of the last extract
    cache_root: str = field(default="cache", compare=False)

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def ids(self) -> list[str]:
        return self.table["id"].to_pylist()

    @property
    def digests(self) -> list[str]:
        """The digests of the images, of a dataset whose rows all have one."""
        return self.table[DIGEST].to_pylist()

    @property
    def pictures(self) -> list[str | None]:
        """The digests of the images; None for a row without an image."""
        return self.table[DIGEST].to_pylist()

    @property
    def extracted(self) -> tuple[Extracted, ...]:
        """The last extract into each feature set, newest first."""
        names = [field.name for field in fields(Extracted)]
        return (Extracted(**{name: getattr(self, name) for name in names}), *self.others)

    def extraction(self, digest_column: str) -> Extracted | None:
        """The last extract of images or of given vectors."""
        found = (one for one in self.extracted if one.digest_column == digest_column)
        return next(found, None)

    @property
    def needed(self) -> list[Extracted]:
        """The last extract of images, and of vectors of each name."""
        newest = {one.digest_column: one for one in reversed(self.extracted)}
        return list(newest.values())

    @property
    def digest_columns(self) -> list[str]:
        """The columns of digests, that of images first."""
        names = self.table.column_names
        return [name for name in names if name == DIGEST or name.startswith(f"{DIGEST}.")]

    def all_digests(self, *digest_columns: str) -> set[str]:
        """All digests in these columns, by default in all."""
        every = [self.table[name] for name in digest_columns or self.digest_columns]
        return {digest for column in every for digest in column.drop_null().to_pylist()}

    @property
    def split_digests(self) -> list[str]:
        """What a split by hash draws by: a row's image, else its first vector."""
        columns = [self.table[name] for name in self.digest_columns]
        return pc.call_function("coalesce", columns).to_pylist()

    def having(self, digest_columns: Iterable[str]) -> "Dataset":
        """The dataset of the rows that have all of these digests."""
        lacking = np.any([self.lacks(name) for name in digest_columns], axis=0)
        return self.rows(np.flatnonzero(~lacking)) if lacking.any() else self

    def lacks(self, digest_column: str) -> np.ndarray:
        """(rows,) whether a row has no digest of that kind."""
        if digest_column not in self.table.column_names:
            return np.ones(len(self), bool)
        return self.table[digest_column].is_null().to_numpy()

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
        """64 hex digits that change with any id, digest or value, and with nothing else."""
        return self.fingerprint_of(self.digest_columns)

    def fingerprint_of(self, digest_columns: Collection[str]) -> str:
        """The fingerprint of the dataset if it had only these columns of digests."""
        without = {"path", *self.digest_columns} - {*digest_columns}
        names = [name for name in self.table.column_names if name not in without]
        return values_digest(names, table_column(self.table))

    def extract_command(self, feature_set: str | None = None, **changes: Any) -> str:
        """The command that extracts this dataset again, for people to read and run.

        Args:
            feature_set: the one to extract into; by default that of the last extract.
            changes: fields of `ExtractConfig` with other values; None is the default.
        """
        one = next((e for e in self.extracted if e.feature_set == feature_set), self.extracted[0])
        said = merge(file=changed_fields(one.settings), given=changes)
        settings = ExtractConfig(**{n: value for n, value in said.items() if value is not None})
        words = [one.opened, "--name", self.name, "--cache", self.cache_root]
        return command_line("jaxreg extract", words, one.options, settings)

    def command_into(self, recipe: AnyRecipe, **changes: Any) -> str:
        """As `extract_command`, into the feature set of a recipe that the dataset may not know."""
        if any(one.feature_set == recipe.feature_set for one in self.extracted):
            return self.extract_command(recipe.feature_set, **changes)
        return self.extract_command(**settings_into(recipe) | changes)

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
    digest_column: str = DIGEST,
    pictures: Sequence[str | None] = (),
    workers: Sequence[dict[str, Any]] = (),
) -> Dataset:
    """The dataset of the examples that have a digest; one without could not be used.

    Args:
        name: of the dataset.
        examples: its rows.
        digests: of each example: of its image, or of its vector.
        feature_set, columns: what holds the features of these digests.
        opened, options, settings: how they were extracted.
        failed_sha256: of the list of examples that could not be used.
        digest_column: the column for the digests.
        pictures: the digests of the images, where `digests` are those of vectors.
        workers: of the cluster that extracted them.
    """
    kinds = {DIGEST: digests}
    if digest_column != DIGEST:
        kinds = {DIGEST: pictures or [None] * len(examples), digest_column: digests}
    table = examples_table(examples)
    for place, (kind, some) in enumerate(kinds.items()):
        table = table.add_column(1 + place, kind, pa.array(some, pa.string()))
    if None in digests:  # to filter imports pyarrow.compute
        table = table.filter(pa.array([digest is not None for digest in digests]))
    return Dataset(
        name=name,
        table=table,
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
        digest_column=digest_column,
        workers=tuple(workers),
    )


def examples_table(examples: Examples) -> pa.Table:
    """All columns of a dataset but those of digests, for all examples."""
    order = np.arange(len(examples)) if examples.order is None else examples.order
    table: dict[str, Any] = {
        "id": pa.array(examples.ids, pa.string()),
        "order": pa.array(order, pa.int64()),
    }
    if examples.group is not None:
        table["group"] = pa.array(examples.group, pa.string())
    if examples.paths is not None:
        table["path"] = pa.array(examples.paths, pa.string())
    table |= zip(examples.columns.column_names, examples.columns.columns, strict=True)
    table |= {WRITTEN + name: text for name, text in examples.written.items()}
    return pa.table(table)
