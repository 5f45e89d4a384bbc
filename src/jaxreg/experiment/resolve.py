"""From what was asked to a run in which nothing is left to decide."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.store import Cache
from jaxreg.config_io import from_json
from jaxreg.errors import InputError
from jaxreg.experiment.choose import as_kept, choose_targets, passed_over
from jaxreg.experiment.choose_features import choose_features, rows_with
from jaxreg.experiment.choose_side import choose_side, learn_side, side_notes
from jaxreg.experiment.choose_split import choose_split, unused_split_columns
from jaxreg.experiment.choose_weights import check_sides, choose_weights
from jaxreg.experiment.finalists import Finalist, checked_finalists, number_of_members
from jaxreg.experiment.head_limits import check_head
from jaxreg.experiment.placement import Placement, Size, measure, place
from jaxreg.experiment.typed_targets import taken_around, typed_targets
from jaxreg.merge_settings import merge
from jaxreg.metrics import Loss
from jaxreg.side_columns import SideColumns
from jaxreg.splits import Split
from jaxreg.target_numbers import check_range, number_type
from jaxreg.target_types import TargetType, center_and_std
from jaxreg.train_config import DELTA, TrainConfig


@dataclass(frozen=True)
class ResolvedRun:
    """A run in which nothing is left to decide; rows are those of the dataset."""

    asked: Mapping[str, Any]  # the settings that somebody said
    config: TrainConfig  # all settings, final: targets, columns, split, components …
    cache: Cache
    dataset: Dataset  # its rows that have all the features
    features: ChosenFeatures
    lacking: tuple[str, ...]  # sentences on the rows of the dataset that lack some of them
    y: np.ndarray  # (rows, targets) float64, NaN where the source has none
    weights: np.ndarray  # (rows, targets) float64 as `entry_weights`
    split: Split  # its labels cover all rows; those without a target are left out
    folds: tuple[Split, ...]  # with --folds: of each, its test rows being the fold; else empty
    placement: Placement  # where the features are kept, and their size, with side columns
    stored: Size  # of the features in the cache
    side: SideColumns  # the columns that follow the features
    finalists: tuple[Finalist, ...]  # by which the heads of each fold differ; else empty

    @property
    def targets(self) -> tuple[str, ...]:
        return self.config.target

    @property
    def dataset_sha256(self) -> str:
        """The fingerprint of the rows, and of what their features are of."""
        return self.features.fingerprint(self.dataset)

    @property
    def types(self) -> tuple[TargetType, ...]:
        """The type of each target."""
        return self.config.target_types(len(self.targets))

    def rows(self, label: str) -> np.ndarray:
        """The row numbers of one side of the split."""
        return np.flatnonzero(self.split.labels == label)

    @property
    def loss(self) -> Loss:
        """The Huber loss that scores use. Its std is that of the training rows; with folds, of all.

        A constant target has the std 1, as in the scaler of a head. With another loss the delta is
        the default of the Huber loss.
        """
        rows = self.usable if self.folds else self.split.labels == "train"
        _, std = center_and_std(self.types, self.y[rows])
        units = np.where(std == 0, 1.0, std)
        delta, _ = self.config.thresholds
        return Loss(DELTA * units if delta is None else np.array(delta), units, self.types)

    @property
    def usable(self) -> np.ndarray:
        """(rows,) bool: whether a row has a number for a target."""
        return np.asarray(~np.isnan(self.y).all(axis=1))

    @property
    def notes(self) -> list[str]:
        """Sentences about the rows: changed sources, what the split did, missing targets."""
        default = not self.asked.get("target") and not self.dataset.targets
        others = passed_over(self.dataset) if default else []
        passed = [
            f"the target is {self.targets[0]}. {name} has numbers too, but it is named like an "
            f"index, an order or a time: --target {name} uses it"
            for name in others
        ]
        unused = [] if self.asked.get("split") else unused_split_columns(self.dataset)
        return [
            *self.dataset.stale,
            *passed,
            *unused,
            *taken_around(self.dataset, self.targets, self.types),
            *self.split.notes,
            *self.lacking,
            *self._missing(),
            *side_notes(self.dataset, self.side, self.rows("validation")),
        ]

    def _missing(self) -> list[str]:
        """How many rows lack each target or a weight, and which rows are left out for that."""
        lacks, missing = np.isnan(self.y), np.flatnonzero(~self.usable)
        notes = []
        if len(self.targets) > 1 and lacks.any():
            counts = zip(self.targets, lacks.sum(axis=0).tolist(), strict=True)
            each = [f"{_rows(count, 'lacks', 'lack')} {name}" for name, count in counts if count]
            notes.append(f"{', '.join(each)}. Each target is learned from the rows that have it")
        if len(missing):
            have = _rows(len(missing), "has", "have")
            which = "the target" if len(self.targets) == 1 else "any target"
            are = "is" if len(missing) == 1 else "are"
            notes.append(f"{have} no number for {which} and {are} left out: {self._first(missing)}")
        if (none := np.flatnonzero(self.usable & ~(self.weights > 0).any(axis=1))).size:
            have = _rows(len(none), "has", "have")
            column = self.config.weight_column
            notes.append(f"{have} a weight of 0 ({column}), so no training uses them")
        return notes

    def _first(self, rows: np.ndarray) -> str:
        ids = self.dataset.ids
        return ", ".join(ids[row] for row in rows[:5]) + (", …" if len(rows) > 5 else "")


def _rows(count: int, has: str, have: str) -> str:
    """`1 row has`, `2 rows have`."""
    return f"1 row {has}" if count == 1 else f"{count} rows {have}"


def resolve(
    cache: Cache,
    dataset: Dataset,
    asked: Mapping[str, Any],
    resumed: Mapping[str, Any] | None = None,
) -> ResolvedRun:
    """Decide all that `asked` leaves open.

    Args:
        cache: where the features are.
        dataset: what is trained on.
        asked: the settings that somebody said: fields of `TrainConfig`.
        resumed: config.json of a run that goes on. Its settings take the place of the defaults.

    Raises:
        InputError: a setting, target, column, split, part or memory limit that cannot be used.
    """
    before = resumed or {}
    config = from_json(TrainConfig, merge(resumed=before.get("settings"), given=asked))
    targets = choose_targets(cache, dataset, config)
    mirrored = tuple(as_kept(dataset, name) for name in config.mirror_targets)
    beside = choose_side(dataset, config, targets)
    config = replace(config, target=targets, mirror_targets=mirrored, side_columns=beside)
    features = choose_features(cache, dataset, config)
    dataset, lacking = rows_with(dataset, features)
    y, words = typed_targets(dataset, config)
    config = replace(config, target_type=words)
    weights = choose_weights(dataset, y, config)
    split, folds = choose_split(dataset, y, config, weights)
    check_sides(weights, folds or (split,), config)
    config = replace(config, folds=len(folds) or None)  # a column of folds has their number
    config = _with_thresholds(config, y, split)
    with remedies(dataset, features):
        size = measure(cache, features.wanted(dataset), len(config.views))
    side = _side(before, dataset, beside, split, folds)
    placement = place(
        config, size.beside(side.width), resumed=resumed is not None, window=before.get("window")
    )
    if len(config.views) > 1 and placement.kind == "parts":
        raise InputError(
            "the features of several views must fit in memory, and these do not",
            remedy="use a larger --memory-limit, or --views identity",
        )
    rows = min(len(_trained(one)) for one in folds or (split,))
    final = replace(
        config,
        feature_set=features.feature_set,
        layers=(),
        pool=None,
        columns=features.names,
        split=split.kind,
        components=config.components_of(rows, size.width),
    )
    finalists = checked_finalists(final, before.get("finalists", ()))
    members = number_of_members(final, finalists)
    check_head(final, placement, rows, size.width, members)
    return ResolvedRun(
        asked=merge(file=before.get("asked"), given=asked),
        config=final,
        cache=cache,
        dataset=dataset,
        features=features,
        lacking=lacking,
        y=y,
        weights=weights,
        split=split,
        folds=folds,
        placement=placement,
        stored=size,
        side=side,
        finalists=finalists,
    )


def _side(
    before: Mapping[str, Any],
    dataset: Dataset,
    names: tuple[str, ...],
    split: Split,
    folds: tuple[Split, ...],
) -> SideColumns:
    """The side columns of a run that goes on, or as its training rows teach them."""
    known = SideColumns.from_json(before.get("side"))
    if known.names == names:
        return known
    rows = np.unique(np.concatenate([_trained(one) for one in folds or (split,)]))
    return learn_side(dataset, names, rows)


def _trained(split: Split) -> np.ndarray:
    """The numbers of the rows that train."""
    return np.flatnonzero(split.labels == "train")


def _with_thresholds(config: TrainConfig, y: np.ndarray, split: Split) -> TrainConfig:
    """The settings with thresholds for these targets; InputError if float32 cannot hold them.

    The training rows decide; with folds, all rows that a fold holds out.
    """
    trained = y[split.labels == ("train" if config.folds is None else "validation")]
    types = config.target_types(len(config.target))
    mean, std = center_and_std(types, trained)
    check_range(config.target, y, mean, std, scaled=config.scale_target)
    for number, name in enumerate(config.target):
        # The scaler is that of the rows as they are, so the mirror moves a row by two means.
        mirrored = float(np.nanmax(np.abs(trained[:, number] + mean[number])))
        needs_64 = number_type(mirrored, std[number]) is np.float64
        if name in config.mirror_targets and needs_64 and not types[number].circular:
            raise InputError(
                f"--mirror-targets {name}, whose mean is {mean[number]:.6g} and whose std is "
                f"{std[number]:.2g}: its mirrored values are too far away",
                expected="a target that is 0 in the middle, such as a steering angle",
                remedy=f"leave {name} out of --mirror-targets",
            )
    return config.with_thresholds(std.tolist())


@contextmanager
def remedies(dataset: Dataset, features: ChosenFeatures) -> Iterator[None]:
    """Name the command of the dataset as the remedy, whatever the cache lacks."""
    try:
        yield
    except InputError as error:
        lacks = features.recipes.get(getattr(error, "feature_set", ""), features.recipe)
        raise InputError(error.found, remedy=dataset.command_into(lacks)) from error
