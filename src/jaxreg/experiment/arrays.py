"""A resolved run with its features read: the arrays that training looks at."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from jaxreg.cache.chosen_features import read_wanted
from jaxreg.cache.lazy_features import Features, PartFeatures, read_pieces
from jaxreg.common.memory import give_back_freed
from jaxreg.errors import InputError
from jaxreg.experiment.choose_side import side_values
from jaxreg.experiment.choose_split import places
from jaxreg.experiment.resolve import ResolvedRun, remedies
from jaxreg.metrics import runs_of_rows
from jaxreg.splits.group_column import group_names
from jaxreg.splits.held_out_groups import HeldOutGroup, training_groups
from jaxreg.target_types import around, center_and_std
from jaxreg.train_config import THRESHOLDS


class View(NamedTuple):
    """All rows as another view shows them."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Experiment(ResolvedRun):
    """A resolved run and its features, row by row of the dataset."""

    #: (rows, features and side columns) float32 or float16, in memory or in the cache's parts
    x: Features
    views: tuple[View, ...]  # what training may draw for a row instead of x and y

    def fold(self, number: int) -> "Experiment":
        """The same with the split of one fold, and thresholds by its training rows."""
        split = self.folds[number]
        _, std = center_and_std(self.types, self.y[split.labels == "train"])
        names = [n for n in THRESHOLDS if self.asked.get(n) is None]
        config = replace(self.config, **dict.fromkeys(names)).with_thresholds(std.tolist())
        return replace(self, config=config, split=split, folds=())

    @property
    def fold_of_row(self) -> np.ndarray:
        """Which fold holds out each row, -1 for rows without a target."""
        held_out = np.stack([fold.labels == "test" for fold in self.folds])
        return np.where(held_out.any(axis=0), held_out.argmax(axis=0), -1)

    @property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """The sequence of each row, as a number, and the row's place in it."""
        table = self.dataset.table
        order = table["order"].to_numpy()
        if not self.has_sequences:
            return np.zeros(len(order), np.int64), order
        groups = table["group"].combine_chunks().dictionary_encode("encode")
        return groups.indices.to_numpy().astype(np.int64), order

    @property
    def has_sequences(self) -> bool:
        """Whether the dataset names the sequence of each row, as a recording of several."""
        return "group" in self.dataset.table.column_names

    @property
    def group_column(self) -> str | None:
        """The column whose values are groups: that of the split, else the dataset's groups."""
        kind, _, column = self.split.kind.partition(":")
        if kind == "group":
            return column
        return "group" if self.has_sequences else None

    def group_names(self, column: str) -> list[str]:
        """The value of such a column in each row, as text."""
        where = places(self.dataset)
        return group_names(column, where["columns"], where["group"])

    def runs_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Which of these rows are neighbours in time, as numbers of runs; None: none are."""
        if not self.dataset.sequential:
            return None
        sequence, order = self.places
        return runs_of_rows(sequence[rows], order[rows])

    def groups(self, rows: np.ndarray) -> list[HeldOutGroup] | None:
        """The groups for a choice made within these training rows; None: each row alone."""
        usable = np.flatnonzero(self.usable)
        return training_groups(
            self.split.kind,
            np.searchsorted(usable, rows),
            gap=self.config.gap,
            sequential=self.dataset.sequential,
            **places(self.dataset.rows(usable)),
        )


def load_experiment(resolved: ResolvedRun) -> Experiment:
    """Read the features of a resolved run, where its placement keeps them.

    Raises:
        InputError: a part is damaged, features are missing or not finite.
    """
    if resolved.placement.kind != "device":
        give_back_freed()
    dataset = resolved.dataset
    with remedies(dataset, resolved.features):
        side = side_values(dataset, resolved.side)
        wanted = resolved.features.wanted(dataset)
        x: Features
        if resolved.placement.kind == "parts":
            x = PartFeatures(resolved.cache, wanted, side, resolved.placement.ahead)
        else:
            x = read_wanted(resolved.cache, wanted, side)
        views = _read_views(resolved, side)
        every = [x, *(view.x for view in views)]
        width = resolved.stored.width
        broken = np.unique(np.concatenate([_not_finite(some, width) for some in every]))
    if len(broken):
        raise InputError(
            f"the features of {len(broken)} rows are not finite, first {dataset.ids[broken[0]]}",
            remedy="check the weights, or extract again with --dtype float32",
        )
    return Experiment(**vars(resolved), x=x, views=views)


def _read_views(resolved: ResolvedRun, side: np.ndarray) -> tuple[View, ...]:
    """The views that training may draw instead of identity, with their targets.

    Their side columns are those of the row.
    """
    config, y = resolved.config, resolved.y
    signs = np.where(np.isin(config.target, config.mirror_targets), -1.0, 1.0)
    views = []
    for view in (view for view in config.views if view != "identity"):
        x = read_wanted(resolved.cache, resolved.features.wanted(resolved.dataset, view), side)
        shown = around(resolved.types, y * signs[None, :]) if view == "mirror" else y
        views.append(View(x, shown))
    return tuple(views)


def _not_finite(x: Features, width: int) -> np.ndarray:
    """The rows with a number among their first `width` that is not finite."""
    pieces = read_pieces(x, np.arange(x.shape[0]))
    return np.concatenate([rows[~np.isfinite(x[:, :width]).all(axis=1)] for rows, x in pieces])
