"""A dataset as arrays for scikit-learn, pandas or a program of your own."""

from typing import NamedTuple

import numpy as np

from jaxreg.cache.chosen_features import read_wanted
from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.store import Cache
from jaxreg.experiment.choose import choose_targets, numbers
from jaxreg.experiment.choose_features import choose_features, rows_with
from jaxreg.experiment.resolve import remedies
from jaxreg.experiment.row_units import row_units
from jaxreg.train_config import TrainConfig


class LoadedFeatures(NamedTuple):
    """The rows of a dataset that have the features."""

    X: np.ndarray  # (rows, features) float32 or float16, as the cache holds them
    y: np.ndarray | None  # (rows,) or (rows, targets) float64, NaN where there is no number
    ids: np.ndarray  # (rows,) text
    groups: np.ndarray | None  # (rows,) int64; rows of one number belong together


def load_arrays(
    cache: Cache, dataset: Dataset, config: TrainConfig, group: str | None
) -> LoadedFeatures:
    """The features and targets that `config` names; errors as of `jaxreg.load_features`."""
    possible = config.target or dataset.targets or dataset.numeric_columns
    targets = choose_targets(cache, dataset, config) if possible else ()
    features = choose_features(cache, dataset, config)
    dataset, _ = rows_with(dataset, features)
    y = np.stack([numbers(dataset, name) for name in targets], axis=1) if targets else None
    with remedies(dataset, features):
        x = read_wanted(cache, features.wanted(dataset))
    y = y[:, 0] if y is not None and y.shape[1] == 1 else y
    return LoadedFeatures(x, y, np.array(dataset.ids), _groups(dataset, group))


def _groups(dataset: Dataset, group: str | None) -> np.ndarray | None:
    """Of a column; else of blocks in time; else of the source's own groups; else none."""
    units = row_units(dataset, "" if group is None else f"group:{group}")
    return None if units is None else units.numbers
