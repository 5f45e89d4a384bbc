"""Ridges on other columns of the cache, against scikit-learn's on the same rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.experiment.arrays import Experiment, load_experiment
from jaxreg.experiment.column_ridges import (
    cached_columns,
    held_out_by_ridge,
    left_out_by_ridge,
    read_column,
)
from jaxreg.experiment.resolve import resolve
from jaxreg.head import scaling
from jaxreg.head.ridge import ALPHAS

OTHER = Column(layer="mixed3", pool="grid:2x4")


def experiment_of(cache: Path, **asked: Any) -> Experiment:
    store = Cache(cache)
    given = {"target": ("angle",), **asked}
    return load_experiment(resolve(store, read_dataset(store, "planted"), given))


@pytest.fixture
def two_columns(planted: Path) -> Path:
    """The planted cache with a second column of 16 numbers, which knows less of the angle."""
    store = Cache(planted)
    dataset = read_dataset(store, "planted")
    first = store.read(dataset.feature_set, [Column()], dataset.digests)
    rng = np.random.default_rng(0)
    second = np.concatenate([first[:, :2], rng.normal(size=(240, 14))], axis=1)
    second += 0.3 * rng.normal(size=second.shape)
    store.add(dataset.feature_set, OTHER, dataset.digests, second.astype(np.float32))
    some = dataset.digests[:100]  # a column of some rows alone is no column of this dataset
    third = Column(layer="mixed5")
    store.add(dataset.feature_set, third, some, np.ones((100, 3), np.float32))
    mirrored = Column(layer="mixed3", view="mirror")
    store.add(dataset.feature_set, mirrored, dataset.digests, second.astype(np.float32))
    return planted


def refit(x: np.ndarray, y: np.ndarray, alpha: float, fit: np.ndarray, on: np.ndarray) -> Any:
    """scikit-learn's ridge of the rows `fit`, on the rows `on`."""
    return Ridge(alpha).fit(x[fit], y[fit]).predict(x[on])


def test_columns_are_those_that_have_every_row(two_columns: Path) -> None:
    found = list(cached_columns(experiment_of(two_columns)))
    assert [(one.word, one.width) for one in found] == [("mixed10.avg", 12), ("mixed3.grid2x4", 16)]


def test_held_out_rows_are_predicted_as_by_the_head_ridge(two_columns: Path) -> None:
    for asked in ({"split": "blocks"}, {"split": "blocks", "folds": 3}):
        run = experiment_of(two_columns, **asked)
        other = next(one for one in cached_columns(run) if one.word == "mixed3.grid2x4")
        x = read_column(run, other.features)
        assert x.shape == (240, 16)
        found = held_out_by_ridge(run, x)
        as_head = experiment_of(two_columns, **asked, head="ridge", columns=("mixed3.grid2x4",))
        expected = held_out_by_ridge(as_head, np.asarray(as_head.x))
        np.testing.assert_array_equal(found, expected)
        rows = run.rows("validation")  # with folds that is every row
        assert np.flatnonzero(~np.isnan(found[:, 0])).tolist() == rows.tolist()
    # the last one by scikit-learn: fold 0 by the ridge of all rows outside it and its gap
    own = run.fold(0)
    fit = np.flatnonzero(np.isin(own.split.labels, ["train", "validation"]))
    scaler = scaling.feature_scaler(x[own.rows("train")])
    z, held = scaling.scale_rows(scaler, x).astype(np.float64), own.rows("test")
    each = [refit(z, run.y[:, 0], alpha, fit, held) for alpha in ALPHAS]
    assert min(np.abs(one - found[held, 0]).max() for one in each) < 1e-4


def test_rows_left_out_with_their_block_are_predicted_by_refits(two_columns: Path) -> None:
    run = experiment_of(two_columns, split="blocks:6")
    other = next(one for one in cached_columns(run) if one.word == "mixed3.grid2x4")
    x, rows = read_column(run, other.features), np.flatnonzero(run.usable)
    found = left_out_by_ridge(run, x, rows)
    groups = run.groups(rows)
    assert groups is not None
    assert len(groups) == 12  # six blocks of each of two sequences
    z = scaling.scale_rows(scaling.feature_scaler(x), x).astype(np.float64)
    errors = []
    for alpha in ALPHAS:
        each = np.full(240, np.nan)
        for group in groups:
            fit = np.setdiff1d(np.arange(240), group.rows)
            each[group.rows[group.scored]] = refit(
                z, run.y[:, 0], alpha, fit, group.rows[group.scored]
            )
        errors.append((np.square(each - run.y[:, 0]).mean(), each))
    best = min(errors, key=lambda one: one[0])[1]
    np.testing.assert_allclose(found[:, 0], best, atol=1e-4)


def test_without_groups_each_row_is_left_out_alone(two_columns: Path) -> None:
    run = experiment_of(two_columns, split="hash")
    rows = np.arange(0, 240, 4)
    x = np.asarray(run.x)
    found = left_out_by_ridge(run, x, rows)
    z = scaling.scale_rows(scaling.feature_scaler(x[rows]), x).astype(np.float64)
    errors = []
    for alpha in ALPHAS:
        alone = [
            refit(z, run.y[:, 0], alpha, np.setdiff1d(rows, row), np.array([row]))[0]
            for row in rows
        ]
        errors.append((np.square(alone - run.y[rows, 0]).mean(), alone))
    np.testing.assert_allclose(found[:, 0], min(errors)[1], atol=1e-4)
