"""Ridges on other cached columns than those of a run, with its rows, targets, side columns, split.

Each is in closed form, so many columns can be compared in the time of one training.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxreg.cache.chosen_features import ChosenFeatures, read_wanted
from jaxreg.cache.lazy_features import rows_in_place
from jaxreg.cache.parts import LackingFeatures
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.choose_features import choose_features
from jaxreg.experiment.choose_side import side_values
from jaxreg.experiment.members import fit_ridge
from jaxreg.experiment.resolve import ResolvedRun
from jaxreg.head import scaling
from jaxreg.head.target_outputs import decode, encode, of_outputs, target_of_output
from jaxreg.head.target_ridges import left_out, solve_targets
from jaxreg.splits.held_out_groups import HeldOutGroup, some_of


class CachedColumn(NamedTuple):
    """A column that the cache has for every row of a run."""

    features: ChosenFeatures  # this column alone
    width: int  # numbers of a row, without side columns

    @property
    def word(self) -> str:
        """The column for `--columns`, without its feature set."""
        ((_, column),) = self.features.columns
        return column.short_name

    def word_of(self, run: ResolvedRun) -> str:
        """The column for `--columns` of that run, with its feature set where it is another's."""
        config = replace(run.config, feature_set=None, layers=(), pool=None, columns=(self.word,))
        found = choose_features(run.cache, run.dataset, replace(config, views=("identity",)))
        return self.word if found.columns == self.features.columns else self.full_word

    @property
    def full_word(self) -> str:
        """The column for `--columns`, with its feature set."""
        ((feature_set, _),) = self.features.columns
        return f"{feature_set}/{self.word}"


def cached_columns(run: ResolvedRun, most: float = math.inf) -> Iterator[CachedColumn]:
    """The columns of all extractions of the dataset that have every row of the run.

    The newest extraction comes first. Of the views only identity counts. What is in the cache for
    some of the rows is left out, and so is a feature set that is gone.

    Args:
        run: has the rows.
        most: the widest column to look at.

    Raises:
        InputError: a feature set or a part of one is damaged.
    """
    dataset, cache = run.dataset, run.cache
    there = cache.feature_sets()
    for name in (extracted.feature_set for extracted in dataset.extracted):
        if name not in there:
            continue
        recipe = cache.recipe(name)
        if dataset.lacks(recipe.digest_column).any():
            continue
        for column in cache.columns(name):
            if column != column.identity:
                continue
            features = ChosenFeatures(((name, column),), {name: recipe})
            digests = dataset.table[recipe.digest_column].to_pylist()
            with suppress(LackingFeatures):
                layout = cache.layout(name, column, digests)
                if layout.size <= most and set(digests) <= cache.digests(name, column):
                    yield CachedColumn(features, layout.size)


def read_column(run: ResolvedRun, features: ChosenFeatures) -> np.ndarray:
    """(rows, columns) those features of every row of the run, and the run's side columns.

    Raises:
        InputError: a part is damaged, or features are missing.
    """
    side = side_values(run.dataset, run.side)
    return read_wanted(run.cache, features.wanted(run.dataset), side)


def held_out_by_ridge(
    experiment: Experiment, x: Float[np.ndarray, "rows columns"]
) -> Float[np.ndarray, "rows targets"]:
    """Predictions of the rows that the run holds out, in target units; NaN for all other rows.

    They are those of `--head ridge` on x: of the validation rows by a ridge of the training rows,
    or with folds of every row by the ridge of its fold.
    """
    found = np.full(experiment.y.shape, np.nan)
    config = replace(experiment.config, head="ridge", components=None)
    whole = replace(experiment, config=config, x=x, views=())
    for own in [whole.fold(k) for k in range(len(whole.folds))] or [whole]:
        baseline = fit_ridge(own, in_fold=bool(whole.folds), compare_side=False)
        assert baseline is not None  # x is in memory and the head is a ridge
        rows = own.rows("test" if whole.folds else "validation")
        found[rows] = baseline.predictions[rows]
    return found


def left_out_by_ridge(
    experiment: Experiment, x: Float[np.ndarray, "rows columns"], rows: np.ndarray
) -> Float[np.ndarray, "some targets"]:
    """Predictions of `rows` by ridges without the row's block or group, in target units.

    One decomposition of `rows` gives them all. Blocks and groups are those of the split; without
    them each row is left out alone. Alpha is chosen on the same errors.

    Args:
        experiment: has targets, weights and split.
        x: features and side columns of all rows.
        rows: numbers of the rows that are known, rising.
    """
    types = experiment.types
    own = rows_in_place(x, rows)
    y, weights = encode(types, experiment.y[rows]), of_outputs(types, experiment.weights[rows])
    groups = experiment.groups(rows)
    scaler = scaling.feature_scaler(own, experiment.side)
    solved = solve_targets(scaler, own, y, weights, some_of(groups), target_of_output(types))
    each = [HeldOutGroup(np.array([row]), np.array([True])) for row in range(len(rows))]
    return decode(types, left_out(solved, own, y, each if groups is None else groups))
