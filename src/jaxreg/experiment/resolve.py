"""From what was asked to a run in which nothing is left to decide."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.store import Cache
from jaxreg.common.memory import bytes_text, free_memory
from jaxreg.config_io import from_json
from jaxreg.entry_weights import entry_weights
from jaxreg.errors import InputError
from jaxreg.experiment.choose import as_kept, choose_targets, numbers, passed_over
from jaxreg.experiment.choose_features import choose_features, rows_with
from jaxreg.experiment.choose_side import choose_side, learn_side, side_notes
from jaxreg.experiment.choose_split import choose_split, unused_split_columns
from jaxreg.experiment.placement import Placement, Size, measure, place
from jaxreg.merge_settings import merge
from jaxreg.metrics import Loss
from jaxreg.side_columns import SideColumns
from jaxreg.splits import Split
from jaxreg.target_numbers import check_range, mean_and_std, number_type
from jaxreg.train_config import TrainConfig


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

    @property
    def targets(self) -> tuple[str, ...]:
        return self.config.target

    @property
    def dataset_sha256(self) -> str:
        """The fingerprint of the rows, and of what their features are of."""
        return self.features.fingerprint(self.dataset)

    def rows(self, label: str) -> np.ndarray:
        """The row numbers of one side of the split."""
        return np.flatnonzero(self.split.labels == label)

    @property
    def loss(self) -> Loss:
        """The loss that scores use. Its std is that of the training rows; with folds, of all rows.

        A constant target has the std 1, as in the scaler of a head.
        """
        rows = self.usable if self.folds else self.split.labels == "train"
        _, std = mean_and_std(self.y[rows])
        return Loss(np.array(self.config.thresholds[0]), np.where(std == 0, 1.0, std))

    @property
    def usable(self) -> np.ndarray:
        """(rows,) bool: whether a row has a number for every target."""
        return np.asarray(~np.isnan(self.y).any(axis=1))

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
            *self.split.notes,
            *self.lacking,
            *self._missing(),
            *side_notes(self.dataset, self.side, self.rows("validation")),
        ]

    def _missing(self) -> list[str]:
        """How many rows lack each target, and which rows are left out for that."""
        lacks, missing = np.isnan(self.y), np.flatnonzero(~self.usable)
        if not len(missing):
            return []
        ids = self.dataset.ids
        first = ", ".join(ids[row] for row in missing[:5]) + (", …" if len(missing) > 5 else "")
        are, left_out = "is" if len(missing) == 1 else "are", f"left out: {first}"
        if len(self.targets) == 1:
            have = _rows(len(missing), "has", "have")
            return [f"{have} no number for the target and {are} {left_out}"]
        counts = zip(self.targets, lacks.sum(axis=0).tolist(), strict=True)
        each = [f"{_rows(count, 'lacks', 'lack')} {name}" for name, count in counts if count]
        partly = int((~lacks[missing]).any(axis=1).sum())
        lack = _rows(len(missing), "lacks", "lack")
        text = f"{lack} at least one target and {are} {left_out}"
        if partly:
            has = f"{partly} of them {'has' if partly == 1 else 'have'}"
            text += f". {has} another target; a run with one --target uses such rows"
        return [", ".join(each), text]


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
    y = np.stack([numbers(dataset, name) for name in targets], axis=1)
    split, folds = choose_split(dataset, y, config)
    config = replace(config, folds=len(folds) or None)  # a column of folds has their number
    config = _with_thresholds(config, y, split)
    with remedies(dataset):
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
    _check_head(final, placement, rows, size.width)
    return ResolvedRun(
        asked=merge(file=before.get("asked"), given=asked),
        config=final,
        cache=cache,
        dataset=dataset,
        features=features,
        lacking=lacking,
        y=y,
        weights=entry_weights(y),
        split=split,
        folds=folds,
        placement=placement,
        stored=size,
        side=side,
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
    mean, std = mean_and_std(trained)
    known = y[~np.isnan(y).any(axis=1)]
    check_range(config.target, known, mean, std, scaled=config.scale_target)
    for number, name in enumerate(config.target):
        # The scaler is that of the rows as they are, so the mirror moves a row by two means.
        mirrored = float(np.abs(trained[:, number] + mean[number]).max())
        if name in config.mirror_targets and number_type(mirrored, std[number]) is np.float64:
            raise InputError(
                f"--mirror-targets {name}, whose mean is {mean[number]:.6g} and whose std is "
                f"{std[number]:.2g}: its mirrored values are too far away",
                expected="a target that is 0 in the middle, such as a steering angle",
                remedy=f"leave {name} out of --mirror-targets",
            )
    return config.with_thresholds(std.tolist())


@contextmanager
def remedies(dataset: Dataset) -> Iterator[None]:
    """Name the command of the dataset as the remedy, whatever the cache lacks."""
    try:
        yield
    except InputError as error:
        lacks = getattr(error, "feature_set", None)
        raise InputError(error.found, remedy=dataset.extract_command(lacks)) from error


def _check_head(config: TrainConfig, placement: Placement, rows: int, features: int) -> None:
    """Raise InputError for a head that these rows cannot have, before anything is computed.

    `features` are the columns without side columns.
    """
    needs_all = config.head == "ridge" or config.components is not None
    if needs_all and placement.kind == "parts":
        raise InputError(
            "a ridge and components need all features in memory, and these do not fit",
            remedy="use a larger --memory-limit, or --head mlp without --components",
        )
    members = (config.folds or 1) * config.seeds
    side = placement.size.width - features
    inputs = (config.components or features) + side
    layers = (inputs, *config.hidden_layers, len(config.target))
    weights = sum(map(math.prod, pairwise(layers)))
    # float32: weights, two moments of Adam, best weights; four numbers an epoch
    needed = 4 * 4 * members * (weights + config.epochs)
    if needed > (free := free_memory()):
        trainings = f"{members} trainings" if members > 1 else "the training"
        raise InputError(
            f"{trainings} of {weights:,} weights and {config.epochs:,} epochs would take "
            f"{bytes_text(needed)}, and {bytes_text(free)} are free",
            remedy="use fewer --folds, --seeds or --epochs, a smaller --hidden, or --components",
        )
    most = min(rows, features)
    if config.components is not None and config.components > most:
        raise InputError(
            f"--components {config.components}, but there are {rows} training rows of "
            f"{features} columns",
            expected=f"at most {most}",
        )
