"""Gaps and weights beside views, side columns, types of targets, folds, parts and --resume.

Expected numbers are made by NumPy and scikit-learn from predictions.parquet and the dataset.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import Ridge

import jaxreg
from cache_files import part_paths
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.errors import Stopped
from jaxreg.experiment.arrays import load_experiment
from jaxreg.experiment.members import make_members
from jaxreg.experiment.resolve import resolve
from jaxreg.trained_run import TrainedRun
from planted_runs import QUICK, edit_dataset, history_of, run_quick

ROWS = 240
RNG = np.random.default_rng(5)
WEIGHTS = np.where(np.arange(ROWS) % 7 == 0, 0.0, RNG.uniform(0.1, 4, ROWS))
ALTITUDE = RNG.normal(500, 90, ROWS)
PERIOD = 360.0
ALL = {
    "target": ("heading", "speed", "share"),
    "target_type": ("circular:360", "plain", "bounded:0:1"),
    "weight_column": "w",
    "side_columns": ("altitude", "camera"),
    "split": "hash",
}
PLAIN = {**ALL, "target": ("angle", "speed"), "target_type": "plain"}


def of(dataset: Any, name: str) -> np.ndarray:
    return np.asarray(dataset.table[name].to_numpy(), np.float64).copy()


@pytest.fixture
def beside(planted: Path) -> Path:
    """`planted` with 500 columns of noise, in 20 parts, and with a mirror view.

    Targets have gaps, and there are weights. Fewer columns fit in any memory limit that is allowed.
    """
    cache = Cache(planted)
    dataset = read_dataset(cache, "planted")
    x = np.asarray(cache.read(dataset.feature_set, [Column()], dataset.digests))
    noise = np.random.default_rng(4).normal(size=(ROWS, 500)).astype(np.float32)
    x = np.concatenate([x, noise], axis=1)
    for part in part_paths(cache, dataset.feature_set, Column()):
        part.unlink()
    digests = dataset.digests
    for rows in np.array_split(np.random.default_rng(3).permutation(ROWS), 20):
        cache.add(dataset.feature_set, Column(), [digests[row] for row in rows], x[rows])
    cache.add(dataset.feature_set, Column(view="mirror"), digests, -x)
    heading = np.degrees(1.5 * x[:, 0].astype(np.float64)) % PERIOD
    columns = {
        "angle": of(dataset, "angle"),
        "speed": of(dataset, "speed") + (ALTITUDE - 500) / 30,
        "heading": heading,
        "share": 1 / (1 + np.exp(-2.0 * x[:, 1])),
        "w": WEIGHTS,
        "altitude": np.where(np.arange(ROWS) % 20 == 0, np.nan, ALTITUDE),
    }
    for number, name in enumerate(("angle", "speed", "heading", "share")):
        columns[name][number :: 3 + number] = np.nan
    table = dataset.table.append_column("camera", pa.array(["front", None, "left"] * 80))
    for name, values in columns.items():
        column = pa.array(values, pa.float64(), from_pandas=True)
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, column)
        else:
            table = table.append_column(name, column)
    edit_dataset(planted, table=table)
    return planted


def apart(name: str, a: Any, b: Any) -> np.ndarray:
    """a − b; of angles the shorter way around, by complex numbers."""
    if name != "heading":
        return np.asarray(a - b)
    turn = np.exp(2j * np.pi * np.asarray(a) / PERIOD) / np.exp(2j * np.pi * np.asarray(b) / PERIOD)
    return np.angle(turn) * PERIOD / 2 / np.pi


def center(name: str, y: np.ndarray, weights: np.ndarray) -> float:
    if name != "heading":
        return float(np.average(y, weights=weights))
    point = np.average(np.exp(2j * np.pi * y / PERIOD), weights=weights)
    return float(np.angle(point) * PERIOD / 2 / np.pi)


def read(run: TrainedRun, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, predictions and sides of all rows, from predictions.parquet."""
    table = run.predictions
    y, pred = (
        np.array(table[f"{kind}.{name}"].to_pylist(), float) for kind in ("target", "prediction")
    )
    return y, pred, np.array(table["split"])


def check_scores(run: TrainedRun) -> None:
    """Each target on its own held-out rows, plain and weighted; predictions where they may be."""
    for name in run.targets:
        y, pred, side = read(run, name)
        assert np.isnan(y).sum() >= 40
        assert np.isfinite(pred).all()
        if name == "share":
            assert 0 <= pred.min() < pred.max() <= 1
        if name == "heading":
            assert 0 <= pred.min() < pred.max() < PERIOD
        rows = np.flatnonzero((side == "validation") & ~np.isnan(y))
        own = run.summary["by_target"][name]
        for found, weights in [(own, np.ones(ROWS)[rows]), (own["weighted"], WEIGHTS[rows])]:
            error = apart(name, pred[rows], y[rows])
            spread = apart(name, y[rows], center(name, y[rows], weights))
            r2 = 1 - (weights * error**2).sum() / (weights * spread**2).sum()
            assert found["mae"] == pytest.approx(np.average(abs(error), weights=weights), rel=1e-5)
            assert found["r2"] == pytest.approx(r2, rel=1e-4, abs=1e-6)


def check_history(run: TrainedRun) -> None:
    """val_mae of the best epoch is the weighted mean over rows and targets, in std."""
    total = weight = 0.0
    for name in run.targets:
        y, pred, side = read(run, name)
        train = np.flatnonzero((side == "train") & ~np.isnan(y))
        held_out = np.flatnonzero((side == "validation") & ~np.isnan(y))
        points = y[train]
        if name == "heading":
            points = np.exp(2j * np.pi * points / PERIOD) * PERIOD / 2 / np.pi
        std = np.sqrt((np.abs(points - points.mean()) ** 2).mean())
        its = WEIGHTS[held_out] / WEIGHTS[train].mean()
        total += (its * abs(apart(name, pred[held_out], y[held_out])) / std).sum()
        weight += its.sum()
    found = run.history["val_mae"].to_pylist()[run.summary["best_epoch"] - 1]
    assert found == pytest.approx(total / weight, rel=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {**PLAIN, "views": ("identity", "mirror"), "mirror_targets": ("angle",), "epochs": 3},
        {**ALL, "memory_limit": "300kB", "batch_size": 4, "epochs": 3},
    ],
    ids=["views", "parts"],
)
def test_a_stopped_run_goes_on_to_the_same_bits(beside: Path, options: dict[str, Any]) -> None:
    lines: list[str] = []
    whole = run_quick(beside, run="whole", say=lines.append, **options)
    assert any("in the cache's parts" in line for line in lines) == ("memory_limit" in options)
    with pytest.raises(Stopped):
        run_quick(beside, run="cut", should_stop=lambda: True, **options)
    cut = jaxreg.train_head(cache=beside, run=whole.path.parent / "cut", resume=True)
    assert cut.predictions.equals(whole.predictions)
    assert history_of(cut.path) == history_of(whole.path)
    check_scores(whole)
    check_history(whole)


@pytest.mark.slow
def test_gaps_weights_side_columns_and_types_in_a_blend_of_folds(beside: Path) -> None:
    run = run_quick(beside, **ALL, head="blend", folds=3, epochs=6)
    check_scores(run)
    none = np.all([np.isnan(read(run, name)[0]) for name in run.targets], axis=0)
    assert run.summary["rows"]["left-out"] == none.sum() == 4


@pytest.mark.parametrize("options", [{}, {"folds": 3, "split": "blocks"}], ids=str)
def test_the_ridge_beside_side_columns_is_scikit_learns(beside: Path, options: dict) -> None:
    """Ridge with sample_weight on the rows that have the target, at the alpha of the run."""
    cache = Cache(beside)
    asked = {**QUICK, **PLAIN, "head": "ridge", **options}
    experiment = load_experiment(resolve(cache, read_dataset(cache, "planted"), asked))
    for member in make_members(experiment):
        assert member.baseline is not None
        solved, rows = member.baseline.solved, member.baseline.rows
        scaler = solved.eigen.scaler
        z = (np.asarray(experiment.x, np.float64) - np.asarray(scaler.mean)) / scaler.std
        z = np.clip(z, -4, 4)
        z = np.where(np.isnan(z), np.asarray(scaler.fill), z)
        for number, alpha in enumerate(solved.alphas):
            y = experiment.y[:, number]
            own = rows[~np.isnan(y[rows]) & (WEIGHTS[rows] > 0)]
            its = WEIGHTS[own] / WEIGHTS[own].mean()
            expected = Ridge(alpha).fit(z[own], y[own], sample_weight=its).predict(z)
            found = member.baseline.predictions[:, number]
            np.testing.assert_allclose(found, expected, atol=1e-4 * y[own].std())
