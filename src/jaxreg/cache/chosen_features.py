"""The columns that a run trains on, of one feature set or of several, and reading them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, Self

import numpy as np

from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.embeddings import AnyRecipe, Embeddings
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache


class Wanted(NamedTuple):
    """Columns of one feature set, for some rows."""

    feature_set: str
    columns: Sequence[Column]
    digests: Sequence[str]  # one per row


@dataclass(frozen=True)
class ChosenFeatures:
    """Columns of the view identity, in the order in which they are concatenated."""

    columns: tuple[tuple[str, Column], ...]  # feature set, column
    recipes: Mapping[str, AnyRecipe]  # of these feature sets

    @classmethod
    def parse(
        cls, feature_set: str, names: Iterable[str], recipes: Mapping[str, AnyRecipe]
    ) -> Self:
        """From `feature_set` and `names` as a run's settings have them."""
        columns = []
        for name in names:
            other, _, column = name.rpartition("/")
            columns.append((other or feature_set, Column.parse(column)))
        return cls(tuple(columns), recipes)

    @property
    def feature_set(self) -> str:
        """The feature set of the first column."""
        return self.columns[0][0]

    @property
    def feature_sets(self) -> list[str]:
        """All feature sets, that of the first column first."""
        return list(dict.fromkeys(feature_set for feature_set, _ in self.columns))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns as settings have them: FEATURE_SET/COLUMN where it is not the first set."""
        return tuple(
            column.name if feature_set == self.feature_set else f"{feature_set}/{column.name}"
            for feature_set, column in self.columns
        )

    @property
    def recipe(self) -> AnyRecipe:
        """The recipe of the first column."""
        return self.recipes[self.feature_set]

    @property
    def networks(self) -> list[Recipe]:
        """The recipes that have a network."""
        every = (self.recipes[name] for name in self.feature_sets)
        return [recipe for recipe in every if isinstance(recipe, Recipe)]

    @property
    def embeddings(self) -> list[Embeddings]:
        """The recipes of given vectors."""
        every = (self.recipes[name] for name in self.feature_sets)
        return [recipe for recipe in every if isinstance(recipe, Embeddings)]

    @property
    def embeddings_words(self) -> list[str]:
        """The option of `predict` for vectors of new rows, as words; none without embeddings."""
        names = [one.name for one in self.embeddings]
        files = ["FILE"] if len(names) == 1 else [f"{name}=FILE" for name in names]
        return ["--embeddings", *files] if names else []

    @property
    def random_seed(self) -> int | None:
        """The seed of random weights that columns come from; None if every network is trained."""
        seeds = (network.random_seed for network in self.networks)
        return next((seed for seed in seeds if seed is not None), None)

    @property
    def range(self) -> tuple[float, float] | None:
        """The range that the images of the first network were read with."""
        return self.networks[0].range if self.networks else None

    @property
    def digest_columns(self) -> list[str]:
        """The columns of a dataset with the digests of what the features are of."""
        names = (self.recipes[name].digest_column for name in self.feature_sets)
        return list(dict.fromkeys(names))

    def columns_of(self, feature_set: str) -> tuple[Column, ...]:
        """The columns of one feature set."""
        return tuple(column for name, column in self.columns if name == feature_set)

    def wanted(self, dataset: Dataset, view: str = "identity") -> list[Wanted]:
        """What must be read for the rows of a dataset, in the order of concatenation."""
        tables = {name: dataset.table[name].to_pylist() for name in self.digest_columns}
        return [
            Wanted(
                name,
                tuple(replace(column, view=view) for _, column in some),
                tables[self.recipes[name].digest_column],
            )
            for name, some in groupby(self.columns, itemgetter(0))
        ]

    def fingerprint(self, dataset: Dataset) -> str:
        """64 hex digits: of the rows of a dataset that have all the features, and their values."""
        return dataset.having(self.digest_columns).fingerprint_of(self.digest_columns)

    def row_digests(self, dataset: Dataset) -> list[str]:
        """A text for each row that is equal where all features of two rows come from the same."""
        each = [dataset.table[name].to_pylist() for name in self.digest_columns]
        return each[0] if len(each) == 1 else list(map(" ".join, zip(*each, strict=True)))


def read_wanted(
    cache: Cache, wanted: Sequence[Wanted], beside: np.ndarray | None = None
) -> np.ndarray:
    """The features (rows, all columns) in the order of `wanted`; errors as of `Cache.read`.

    The columns of `beside` (rows, others) follow them.
    """
    room = 0 if beside is None else beside.shape[1]
    features = _read(cache, wanted, room)
    if room:
        features[:, -room:] = beside
    return features


def _read(cache: Cache, wanted: Sequence[Wanted], room: int) -> np.ndarray:
    if len(wanted) == 1:
        return cache.read(*wanted[0], room=room)
    layouts = [[cache.layout(w.feature_set, c, w.digests) for c in w.columns] for w in wanted]
    ends = np.cumsum([sum(layout.size for layout in some) for some in layouts])
    dtype = np.result_type(*(layout.dtype for some in layouts for layout in some))
    if room:
        dtype = np.result_type(dtype, np.float32)
    features = np.empty((len(wanted[0].digests), ends[-1] + room), dtype)
    for one, end, begin in zip(wanted, ends, [0, *ends], strict=False):
        features[:, begin:end] = cache.read(*one)
    return features
