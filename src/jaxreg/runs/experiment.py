"""From a dataset in the cache and the settings to arrays: targets, features, who trains on what."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from jaxreg.config import TrainConfig
from jaxreg.errors import InputError, nearest
from jaxreg.features.cache import Cache
from jaxreg.features.datasets import Dataset, dataset_names
from jaxreg.features.parts import DamagedPart
from jaxreg.features.recipe import Column, Recipe, tap_meant
from jaxreg.features.streaming import Features, PartFeatures, read_pieces
from jaxreg.memory import give_back_freed
from jaxreg.runs.placement import Placement, measure, place
from jaxreg.splits import Split, split_rows

LARGEST_TARGET = 1e18


@dataclass(frozen=True)
class Experiment:
    """All that training looks at, row by row of the dataset."""

    dataset: Dataset
    recipe: Recipe
    columns: tuple[Column, ...]
    targets: tuple[str, ...]
    x: Features  # (rows, features) float32 or float16, in memory or in the cache's parts
    y: np.ndarray  # (rows, targets) float32, NaN where the source has none
    split: Split  # its labels cover all rows; those without a target are left out
    without_target: tuple[str, ...]  # ids
    placement: Placement  # where x is kept

    def rows(self, label: str) -> np.ndarray:
        """The row numbers of one side of the split."""
        return np.flatnonzero(self.split.labels == label)

    @property
    def notes(self) -> list[str]:
        """Sentences about the rows: what the split did, and which ones have no target."""
        notes, missing = list(self.split.notes), self.without_target
        if missing:
            first = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            notes.append(
                f"{len(missing)} rows have no number for the target and are left out: {first}"
            )
        return notes


def load_experiment(
    cache: Cache,
    dataset: Dataset,
    config: TrainConfig,
    *,
    resumed: bool = False,
    window: int | None = None,
) -> Experiment:
    """Features where they fit, as `placement.place` decides; `resumed` and `window` are for it.

    Raises:
        InputError: a target, column, split, part or memory limit that cannot be used.
    """
    targets = choose_targets(cache, dataset, config.target)
    y = np.stack([_numbers(dataset, name) for name in targets], axis=1)
    space, columns = choose_features(cache, dataset, config)
    recipe = cache.recipe(space)
    kind = config.split or ("blocks" if dataset.sequential else "hash")
    usable = ~np.isnan(y).any(axis=1)
    if not usable.any():
        raise InputError(f"no row of {dataset.name} has a number for {', '.join(targets)}")
    kept = dataset.rows(np.flatnonzero(usable))
    split = split_rows(
        kind,
        digests=kept.digests,
        ids=kept.ids,
        order=kept.table["order"].to_numpy(),
        group=kept.table["group"].to_pylist() if "group" in kept.table.column_names else None,
        columns=kept.table,
        validation=config.validation,
        test=config.test,
        gap=config.gap,
        seed=config.seed,
    )
    labels = np.full(len(dataset), "left-out", dtype=object)
    labels[usable] = split.labels
    with _remedies(dataset):
        size = measure(cache, space, columns, dataset.digests)
    placement = place(config, size, resumed=resumed, window=window)
    if placement.kind != "device":
        give_back_freed()
    with _remedies(dataset):
        x = _read(cache, dataset, space, columns, placement)
        broken = _not_finite(x)
    if len(broken):
        raise InputError(
            f"the features of {len(broken)} images are not finite, first {dataset.ids[broken[0]]}",
            remedy="check the weights; with --store float16, extract again as float32",
        )
    return Experiment(
        dataset=dataset,
        recipe=recipe,
        columns=columns,
        targets=targets,
        x=x,
        y=y,
        split=Split(labels, split.kind, split.notes),
        without_target=tuple(np.array(dataset.ids, dtype=object)[~usable]),
        placement=placement,
    )


def check_head(experiment: Experiment, config: TrainConfig) -> None:
    """Raise InputError for a head that these rows cannot have, before anything is computed."""
    rows, columns = len(experiment.rows("train")), experiment.x.shape[1]
    needs_all = config.head == "ridge" or config.components is not None
    if needs_all and not isinstance(experiment.x, np.ndarray):
        raise InputError(
            "a ridge and components need all features in memory, and they are too large for it",
            remedy="a larger --memory-limit, or --head mlp without --components",
        )
    if config.components is not None and config.components > min(rows, columns):
        raise InputError(
            f"--components {config.components}, but there are {rows} training rows of {columns} "
            "columns",
            expected=f"at most {min(rows, columns)}",
        )


def choose_targets(cache: Cache, dataset: Dataset, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The columns asked for, else the source's own, else the only numeric one."""
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
    for column in columns:
        if column not in there:
            names = ", ".join(c.name for c in there) or "none"
            raise InputError(
                f"{space} has no {column.name} features",
                expected=f"one of its columns: {names}",
                remedy=f"--taps {meant}"
                if (meant := tap_meant(cache.recipe(space).backbone, column.tap, there))
                else f"{dataset.extract_command} (with --taps {column.tap} --pool {column.pool})",
            )
    return space, columns


@contextmanager
def _remedies(dataset: Dataset) -> Iterator[None]:
    """Whatever the cache lacks, the dataset's own command makes."""
    try:
        yield
    except DamagedPart as error:
        raise InputError(
            error.found, remedy=f"{dataset.extract_command} # computes only it"
        ) from error
    except InputError as error:
        raise InputError(error.found, remedy=dataset.extract_command) from error


def _read(
    cache: Cache, dataset: Dataset, space: str, columns: tuple[Column, ...], placement: Placement
) -> Features:
    if placement.kind == "parts":
        return PartFeatures(cache, space, columns, dataset.digests)
    return cache.read(space, columns, dataset.digests)


def _not_finite(x: Features) -> np.ndarray:
    """The rows with a number that is not finite, in order."""
    pieces = read_pieces(x, np.arange(x.shape[0]))
    return np.sort(np.concatenate([rows[~np.isfinite(some).all(axis=1)] for rows, some in pieces]))


def _numbers(dataset: Dataset, name: str) -> np.ndarray:
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
