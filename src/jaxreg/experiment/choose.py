"""Which columns of a dataset are the targets, and which of the cache are the features."""

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal

import numpy as np
import pyarrow as pa

from jaxreg.cache.datasets import Dataset, dataset_names
from jaxreg.cache.recipe import Column, layer_meant
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, nearest
from jaxreg.sources.examples import WRITTEN
from jaxreg.target_numbers import check_exact
from jaxreg.train_config import TrainConfig


def choose_targets(cache: Cache, dataset: Dataset, config: TrainConfig) -> tuple[str, ...]:
    """The columns that were asked for, else those of the source, else the only numeric one."""
    asked = config.target
    possible = [n for n in dataset.numeric_columns if n not in dataset.bookkeeping]
    listed = ", ".join(possible) or "none is numeric"
    for name in asked:
        if name in dataset.source_columns:
            continue
        if name in dataset_names(cache):
            raise InputError(
                f"{name!r} is a dataset, not a column of {dataset.name}",
                remedy=f"put the name first: jaxreg train {name} --target …",
            )
        raise InputError(
            f"no column {name!r} in {dataset.name}",
            expected=f"a numeric column: {listed}",
            remedy=nearest(name, possible) or "",
        )
    if len(set(asked)) < len(asked):
        raise InputError(f"--target {' '.join(asked)}", expected="each column once")
    chosen = asked or dataset.targets or tuple(possible if len(possible) == 1 else ())
    if not chosen:
        others = [n for n in dataset.source_columns if n not in dataset.numeric_columns]
        listed += f" (not numbers: {', '.join(others)})" if others else ""
        raise InputError(
            f"{dataset.name} does not say which column is the target",
            expected=f"a numeric column: {listed}",
            remedy="--target COLUMN",
        )
    if unknown := set(config.mirror_targets) - set(chosen):
        raise InputError(
            f"--mirror-targets {' '.join(sorted(unknown))}",
            expected=f"some of the targets: {', '.join(chosen)}",
        )
    return tuple(chosen)


def choose_features(
    cache: Cache, dataset: Dataset, config: TrainConfig
) -> tuple[str, tuple[Column, ...]]:
    """The feature set and columns asked for, else those of the dataset's last extract."""
    asked = config.feature_set
    feature_set = cache.find_feature_set(asked) if asked else dataset.feature_set
    columns = tuple(map(Column.parse, config.columns)) or dataset.columns
    columns = tuple(dict.fromkeys(column.identity for column in columns))
    if config.layers or config.pool:
        layers = config.layers or tuple(dict.fromkeys(column.layer for column in columns))
        pools = (config.pool,) if config.pool else tuple(dict.fromkeys(c.pool for c in columns))
        columns = tuple(Column(layer=layer, pool=pool) for layer in layers for pool in pools)
    there = cache.columns(feature_set)
    for column in (dataclasses.replace(c, view=view) for view in config.views for c in columns):
        if column not in there:
            raise InputError(
                f"{feature_set} has no {column.name} features",
                expected=f"one of its columns: {', '.join(c.name for c in there) or 'none'}",
                remedy=_how_to_have(cache, dataset, config, feature_set, column, there),
            )
    return feature_set, columns


def _how_to_have(
    cache: Cache,
    dataset: Dataset,
    config: TrainConfig,
    feature_set: str,
    column: Column,
    there: Sequence[Column],
) -> str:
    """The layer that was meant, a column that is there, or the command that computes this one."""
    if meant := layer_meant(cache.recipe(feature_set).backbone, column.layer, there):
        return _instead(column, dataclasses.replace(column, layer=meant), config)
    if feature_set != dataset.feature_set and there:
        return _instead(column, there[0], config)
    return dataset.extract_command(layers=(column.layer,), pool=column.pool, views=config.views)


def _instead(column: Column, other: Column, config: TrainConfig) -> str:
    """Options with another column in the place of one, as the columns were asked for."""
    if config.columns:
        asked = [Column.parse(name).identity for name in config.columns]
        named = [other if one == column.identity else one for one in asked]
        return "--columns " + " ".join(one.identity.name.partition(".")[2] for one in named)
    pool = "" if other.pool == column.pool else f" --pool {other.pool}"
    return f"--layers {other.layer}{pool}"


def numbers(dataset: Dataset, name: str) -> np.ndarray:
    """One target as float64, NaN where it is missing."""
    column = dataset.table[name]
    if name not in dataset.numeric_columns:
        raise InputError(
            f"the target {name} holds {column.type}, not numbers{_first_text(dataset, column)}",
            expected=f"one of: {', '.join(dataset.numeric_columns) or 'none is numeric'}",
        )
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise InputError(f"the target {name} is infinite in {dataset.ids[row]}")
    check_exact(name, values, lambda: _distinct(dataset, name))
    return values


def _distinct(dataset: Dataset, name: str) -> int:
    """How many different numbers a column of the source held."""
    column = dataset.table[name]
    if WRITTEN + name in dataset.table.column_names:  # float64 may not hold what is written
        written = dataset.table[WRITTEN + name].drop_null().unique().to_pylist()
        with suppress(ArithmeticError):
            return len({Decimal(text.strip()) for text in written})
    return len(column.drop_null().unique())


def _first_text(dataset: Dataset, column: pa.ChunkedArray) -> str:
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return ""
    for row, text in enumerate(column.to_pylist()):
        try:
            float(text or "nan")
        except ValueError:
            return f": {text!r} in {dataset.ids[row]}"
    return ""
