"""Which columns of a dataset are the targets, and which of the cache are the features."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxreg.config import TrainConfig
from jaxreg.errors import InputError, nearest
from jaxreg.features.cache import Cache
from jaxreg.features.datasets import Dataset, dataset_names
from jaxreg.features.recipe import Column, tap_meant
from jaxreg.settings import changed_command

LARGEST_TARGET = 1e18


def choose_targets(cache: Cache, dataset: Dataset, config: TrainConfig) -> tuple[str, ...]:
    """The columns asked for, else the source's own, else the only numeric one."""
    asked = config.target
    possible = [n for n in dataset.numeric_columns if n not in dataset.bookkeeping]
    listed = ", ".join(possible) or "none is numeric"
    for name in asked:
        if name in dataset.source_columns:
            continue
        if name in dataset_names(cache):
            raise InputError(
                f"{name!r} is a dataset, not a column of {dataset.name}",
                remedy=f"put the name first: python -m jaxreg.train {name} --target …",
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
    """The space and columns asked for, else those of the dataset's last extract."""
    space = cache.find_space(config.features) if config.features else dataset.space
    last = dataset.columns
    taps = config.taps or tuple(dict.fromkeys(column.tap for column in last))
    pools = (config.pool,) if config.pool else tuple(dict.fromkeys(c.pool for c in last))
    columns = tuple(Column(tap=tap, pool=pool) for tap in taps for pool in pools)
    there = cache.columns(space)
    for column in (dataclasses.replace(c, view=view) for view in config.views for c in columns):
        if column not in there:
            raise InputError(
                f"{space} has no {column.name} features",
                expected=f"one of its columns: {', '.join(c.name for c in there) or 'none'}",
                remedy=_how_to_have(cache, dataset, config, space, column, there),
            )
    return space, columns


def _how_to_have(
    cache: Cache,
    dataset: Dataset,
    config: TrainConfig,
    space: str,
    column: Column,
    there: Sequence[Column],
) -> str:
    """The tap that was meant, a column of a space that was chosen, or the command for this one."""
    if meant := tap_meant(cache.recipe(space).backbone, column.tap, there):
        return f"--taps {meant}"
    if space != dataset.space and there:
        return f"--taps {there[0].tap} --pool {there[0].pool}"
    views = config.views if len(config.views) > 1 else None
    return changed_command(
        dataset.extract_command, taps=(column.tap,), pool=column.pool, views=views
    )


def numbers(dataset: Dataset, name: str) -> np.ndarray:
    """One target as float32, NaN where it is missing."""
    column = dataset.table[name]
    if name not in dataset.numeric_columns:
        raise InputError(
            f"the target {name} holds {column.type}, not numbers{_first_text(dataset, column)}",
            expected=f"one of: {', '.join(dataset.numeric_columns) or 'none is numeric'}",
        )
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise InputError(f"the target {name} is infinite in {dataset.ids[row]}")
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    if largest > LARGEST_TARGET:
        raise InputError(
            f"the target {name} reaches {largest:.3g}",
            expected=f"at most {LARGEST_TARGET:g}, whose square float32 can hold",
            remedy="another unit, or take out what is not a measurement",
        )
    return values.astype(np.float32)


def _first_text(dataset: Dataset, column: pa.ChunkedArray) -> str:
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return ""
    for row, text in enumerate(column.to_pylist()):
        try:
            float(text or "nan")
        except ValueError:
            return f": {text!r} in {dataset.ids[row]}"
    return ""
