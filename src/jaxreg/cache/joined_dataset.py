"""A dataset that is extracted again: what it keeps of images and vectors extracted before."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.cache.dataset_table import Dataset, examples_table
from jaxreg.cache.datasets import as_stored
from jaxreg.common import arrow_compute as pc
from jaxreg.sources.examples import DIGEST, Examples
from jaxreg.sources.naming import listed


def other_kinds(old: Dataset, digest_column: str) -> list[str]:
    """The columns of digests, other than this one, that a dataset has features of."""
    return [one.digest_column for one in old.needed if one.digest_column != digest_column]


def disagreements(old: Dataset, examples: Examples) -> list[str]:
    """What differs between the rows of a dataset and those of its source now, in words."""
    table = as_stored(examples_table(examples))
    left_out = {name for name, _ in examples.unusable}
    there = set(examples.ids)
    gone = [name for name in old.ids if name not in there and name not in left_out]
    found = [f"{len(gone)} rows are gone: {listed(gone, 3)}"] if gone else []
    known = old.table.drop_columns(old.digest_columns)
    without = {"id", "order", "path"}
    names = [name for name in known.column_names if name not in without]
    now = [name for name in table.column_names if name not in without]
    if lost := [name for name in names if name not in now]:
        found.append(f"columns are gone: {listed(lost, 5)}")
    if new := [name for name in now if name not in names]:
        found.append(f"columns are new: {listed(new, 5)}")
    at = _places(table["id"], known["id"])
    before = known.filter(pa.array(at >= 0))
    after = table.take(at[at >= 0])
    for name in (name for name in names if name in now):
        rows = _different(before[name], after[name])
        if len(rows):
            first = before["id"][int(rows[0])].as_py()
            found.append(f"{name} differs in {len(rows)} rows, first {first}")
    old_order, new_order = (_ranks(some["order"]) for some in (before, after))
    if not np.array_equal(old_order, new_order):
        found.append("the rows have another order")
    return found


def with_older(dataset: Dataset, old: Dataset, examples: Examples) -> Dataset:
    """The dataset with the digests that `old`, which agrees with it, has of other kinds.

    A row stays if it has a digest of any kind. Where `old` has features of images, its digests of
    images are taken.
    """
    others = other_kinds(old, dataset.digest_column)
    kinds = [dataset.digest_column, *others]
    table = as_stored(examples_table(examples))
    at = _places(table["id"], old.table["id"])
    rest = old.table.filter(pa.array(at < 0))
    own = {name: pa.nulls(len(rest), table.schema.field(name).type) for name in table.column_names}
    own |= {name: rest[name] for name in table.column_names if name in rest.column_names}
    table = pa.concat_tables([table, pa.table(own)])
    columns: dict[str, Any] = {}
    every = dict.fromkeys([DIGEST, *dataset.digest_columns, *old.digest_columns])
    for name in every:
        source = old.table if name in others else dataset.table
        if name not in source.column_names:
            continue
        place = _places(source["id"], table["id"])
        wanted = pa.array(np.where(place < 0, 0, place), mask=place < 0)
        columns[name] = source[name].combine_chunks().take(wanted)
    usable = np.any([columns[name].is_valid().to_numpy(False) for name in kinds], axis=0)
    first, *more = table.column_names
    fields = {first: table[first], **columns, **{name: table[name] for name in more}}
    return replace(dataset, table=pa.table(fields).filter(pa.array(usable)))


def remembering(dataset: Dataset, old: Dataset, kinds: Sequence[str]) -> Dataset:
    """The dataset with what was extracted of `kinds` into other feature sets."""
    kept = [
        one
        for one in old.extracted
        if one.feature_set != dataset.feature_set and one.digest_column in kinds
    ]
    return replace(dataset, others=tuple(kept))


def _places(there: pa.ChunkedArray, wanted: pa.ChunkedArray) -> np.ndarray:
    """The place of each wanted value, -1 where it is not there."""
    options = pc.SetLookupOptions(value_set=there.combine_chunks())
    place = pc.call_function("index_in", [wanted.combine_chunks()], options)
    return pc.fill_null(place, -1).to_numpy(zero_copy_only=False)


def _different(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
    """The rows in which two columns differ; NaN equals NaN."""
    if before.type != after.type:
        return np.arange(len(before))
    if before.equals(after):
        return np.zeros(0, np.int64)
    pairs = zip(before.to_pylist(), after.to_pylist(), strict=True)
    return np.flatnonzero([a != b and not (a != a and b != b) for a, b in pairs])


def _ranks(order: pa.ChunkedArray) -> np.ndarray:
    return np.unique(order.to_numpy(), return_inverse=True)[1]
