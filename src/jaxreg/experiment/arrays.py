"""From a dataset in the cache and the settings to arrays: targets, features, who trains on what."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxreg.cache.datasets import Dataset
from jaxreg.cache.lazy_features import Features, PartFeatures, read_pieces
from jaxreg.cache.parts import DamagedPart
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.common.memory import give_back_freed
from jaxreg.errors import InputError
from jaxreg.experiment.placement import Placement, measure, place
from jaxreg.experiment.resolve import choose_features, choose_targets, numbers
from jaxreg.metrics import runs_of_rows
from jaxreg.splits.folds import split_folds
from jaxreg.splits.held_out_groups import HeldOutGroup, training_groups
from jaxreg.splits.sides import Split
from jaxreg.splits.split import split_rows
from jaxreg.train_config import TrainConfig


class View(NamedTuple):
    """All rows as another view shows them."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Experiment:
    """All that training looks at, row by row of the dataset."""

    dataset: Dataset
    recipe: Recipe
    columns: tuple[Column, ...]
    targets: tuple[str, ...]
    x: Features  # (rows, features) float32 or float16, in memory or in the cache's parts
    y: np.ndarray  # (rows, targets) float32, NaN where the source has none
    views: tuple[View, ...]  # what training may draw for a row instead of x and y
    split: Split  # its labels cover all rows; those without a target are left out
    folds: tuple[Split, ...]  # with --folds: of each, its test rows being the fold; else empty
    without_target: tuple[str, ...]  # ids
    placement: Placement  # where x is kept

    def rows(self, label: str) -> np.ndarray:
        """The row numbers of one side of the split."""
        return np.flatnonzero(self.split.labels == label)

    @property
    def least_training(self) -> int:
        """How many rows train, in the smallest of the trainings."""
        splits = self.folds or (self.split,)
        return min(int((split.labels == "train").sum()) for split in splits)

    def fold(self, number: int) -> "Experiment":
        """The same with the split of one fold."""
        return dataclasses.replace(self, split=self.folds[number], folds=())

    @property
    def fold_of_row(self) -> np.ndarray:
        """Which fold holds out each row, -1 for rows without a target."""
        held_out = np.stack([fold.labels == "test" for fold in self.folds])
        return np.where(held_out.any(axis=0), held_out.argmax(axis=0), -1)

    @property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Which sequence each row belongs to, as a number, and its place in that."""
        table = self.dataset.table
        order = table["order"].to_numpy()
        if "group" not in table.column_names:
            return np.zeros(len(order), np.int64), order
        groups = table["group"].combine_chunks().dictionary_encode("encode")
        return groups.indices.to_numpy().astype(np.int64), order

    def runs_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Which of these rows are neighbours in time, as numbers of runs; None: none are."""
        if not self.dataset.sequential:
            return None
        sequence, order = self.places
        return runs_of_rows(sequence[rows], order[rows])

    def groups(self, rows: np.ndarray, gap: float) -> list[HeldOutGroup] | None:
        """What a choice made within these training rows is judged on; None: each row alone."""
        usable = np.flatnonzero(~np.isnan(self.y).any(axis=1))
        return training_groups(
            self.split.kind,
            np.searchsorted(usable, rows),
            gap=gap,
            sequential=self.dataset.sequential,
            **_places(self.dataset.rows(usable)),
        )

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
    targets = choose_targets(cache, dataset, config)
    y = np.stack([numbers(dataset, name) for name in targets], axis=1)
    feature_set, columns = choose_features(cache, dataset, config)
    recipe = cache.recipe(feature_set)
    kind = config.split or ("blocks" if dataset.sequential else "hash")
    usable = np.asarray(~np.isnan(y).any(axis=1))
    if not usable.any():
        raise InputError(f"no row of {dataset.name} has a number for {', '.join(targets)}")
    split, folds = _split(dataset, usable, kind, config)
    with _remedies(dataset):
        size = measure(cache, feature_set, columns, dataset.digests)
    size = size._replace(row=len(config.views) * size.row)
    placement = place(config, size, resumed=resumed, window=window)
    if len(config.views) > 1 and placement.kind == "parts":
        raise InputError(
            "features of several views are drawn from memory, and they are too large for it",
            remedy="a larger --memory-limit, or --views identity",
        )
    if placement.kind != "device":
        give_back_freed()
    with _remedies(dataset):
        x = _read(cache, dataset, feature_set, columns, placement)
        broken = _not_finite(x)
        views = _read_views(cache, dataset, feature_set, columns, config, targets, y)
        for view in views:
            broken = np.union1d(broken, _not_finite(view.x))
    if len(broken):
        raise InputError(
            f"the features of {len(broken)} images are not finite, first {dataset.ids[broken[0]]}",
            remedy="check the weights; with --dtype float16, extract again as float32",
        )
    return Experiment(
        dataset=dataset,
        recipe=recipe,
        columns=columns,
        targets=targets,
        x=x,
        y=y,
        views=views,
        split=split,
        folds=folds,
        without_target=tuple(np.array(dataset.ids, dtype=object)[~usable]),
        placement=placement,
    )


def _split(
    dataset: Dataset, usable: np.ndarray, kind: str, config: TrainConfig
) -> tuple[Split, tuple[Split, ...]]:
    """The split of all rows; with folds every usable row is one that validates, in its fold."""
    kept = dataset.rows(np.flatnonzero(usable))
    common: dict[str, Any] = {
        "digests": kept.digests,
        "ids": kept.ids,
        **_places(kept),
        "validation": config.validation,
        "gap": config.gap,
        "seed": config.seed,
    }

    def all_rows(split: Split) -> Split:
        labels = np.full(len(dataset), "left-out", dtype=object)
        labels[usable] = split.labels
        return Split(labels, split.kind, split.notes)

    if config.folds is None:
        return all_rows(split_rows(kind, test=config.test, **common)), ()
    folds = split_folds(config.folds, kind, **common)
    sizes = [int((fold.labels == "test").sum()) for fold in folds]
    note = (
        f"{len(folds)} folds of {min(sizes)} to {max(sizes)} rows: each is scored by a head that "
        "neither trained on it nor was stopped by it."
    )
    whole = Split(np.full(len(kept), "validation"), folds[0].kind, (note,))
    return all_rows(whole), tuple(map(all_rows, folds))


def _places(dataset: Dataset) -> dict[str, Any]:
    """Where each row stands, as `splits` takes it."""
    table = dataset.table
    group = table["group"].to_pylist() if "group" in table.column_names else None
    return {"order": table["order"].to_numpy(), "group": group, "columns": table}


def settled(experiment: Experiment, config: TrainConfig) -> TrainConfig:
    """With what the settings leave to the data: the components of a blend."""
    rows, columns = experiment.least_training, experiment.x.shape[1]
    return dataclasses.replace(config, components=config.components_of(rows, columns))


def check_head(experiment: Experiment, config: TrainConfig) -> None:
    """Raise InputError for a head that these rows cannot have, before anything is computed."""
    rows, columns = experiment.least_training, experiment.x.shape[1]
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


@contextmanager
def _remedies(dataset: Dataset) -> Iterator[None]:
    """Whatever the cache lacks, the dataset's own command makes."""
    try:
        yield
    except DamagedPart as error:
        raise InputError(
            error.found, remedy=f"{dataset.extract_command()} # computes only it"
        ) from error
    except InputError as error:
        raise InputError(error.found, remedy=dataset.extract_command()) from error


def _read(
    cache: Cache,
    dataset: Dataset,
    feature_set: str,
    columns: tuple[Column, ...],
    placement: Placement,
) -> Features:
    if placement.kind == "parts":
        return PartFeatures(cache, feature_set, columns, dataset.digests)
    return cache.read(feature_set, columns, dataset.digests)


def _read_views(
    cache: Cache,
    dataset: Dataset,
    feature_set: str,
    columns: tuple[Column, ...],
    config: TrainConfig,
    targets: tuple[str, ...],
    y: np.ndarray,
) -> tuple[View, ...]:
    """The views that training may draw instead of identity, with their targets."""
    others = [view for view in config.views if view != "identity"]
    signs = np.where(np.isin(targets, config.mirror_targets), -1, 1).astype(np.float32)
    views = []
    for view in others:
        shown = tuple(dataclasses.replace(column, view=view) for column in columns)
        x = cache.read(feature_set, shown, dataset.digests)
        views.append(View(x, y * signs[None, :] if view == "mirror" else y))
    return tuple(views)


def _not_finite(x: Features) -> np.ndarray:
    """The rows with a number that is not finite, in order."""
    pieces = read_pieces(x, np.arange(x.shape[0]))
    return np.sort(np.concatenate([rows[~np.isfinite(some).all(axis=1)] for rows, some in pieces]))
