"""Whole ways through the program on real input; minutes each, so `make test-slow` runs them."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

import jaxreg
from jaxreg import predict
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("weights", ["trained", "random"])
def test_a_real_recording(tub: Path, trained_weights: Path, tmp_path: Path, weights: str) -> None:
    chosen = str(trained_weights) if weights == "trained" else "random"
    cache = tmp_path / "cache"
    done = jaxreg.extract_features(tub, weights=chosen, cache=cache)
    assert (done.images, done.failed) == (1000, 0)
    run = jaxreg.train_head(
        "tub", cache=cache, ckpts=tmp_path, target=("user/angle",), split="blocks"
    )
    mae = run.summary["metrics"]["mae"]
    assert mae < 0.8 * run.summary["baselines"]["median"]["mae"]
    assert run.summary["verdict"]["healthy"]
    assert (run.features.random_seed is None) == (weights == "trained")
    out = tmp_path / "all.parquet"
    assert predict.main([str(run.path), str(tub), "--out", str(out)]) == 0
    told = pq.read_table(out)
    kept = pq.read_table(run.path / "predictions.parquet")
    assert told["prediction.user/angle"].to_pylist() == kept["prediction.user/angle"].to_pylist()


@pytest.mark.parametrize("weights", ["trained", "random"])
def test_the_road_is_a_real_problem(
    request: pytest.FixtureRequest, tmp_path: Path, weights: str
) -> None:
    """A ridge on mixed10 reaches an R² between 0.6 and 0.95 on blocks; scikit-learn says so."""
    trained = weights == "trained"
    chosen = str(request.getfixturevalue("trained_weights")) if trained else "random"
    cache = Cache(tmp_path / "cache")
    jaxreg.extract_features("road:2000", weights=chosen, cache=cache.root)
    run = jaxreg.train_head("road", cache=cache.root, ckpts=tmp_path, epochs=1)
    dataset = read_dataset(cache, "road")
    x = cache.read(dataset.feature_set, dataset.columns, dataset.digests).astype(np.float64)
    y = dataset.table["steering"].to_numpy()
    split = np.array(pq.read_table(run.path / "predictions.parquet")["split"])
    train, validation = split == "train", split == "validation"
    std = x[train].std(axis=0)
    z = (x - x[train].mean(axis=0)) / np.maximum(std, 0.01 * std.max())
    z = z.clip(-4, 4)
    ridge = RidgeCV(np.logspace(0, 6, 25)).fit(z[train], y[train])
    assert 0.6 < r2_score(y[validation], ridge.predict(z[validation])) < 0.95


def test_five_thousand_drawn_frames(tmp_path: Path) -> None:
    done = jaxreg.extract_features(
        "road:5000", weights="random", size=(150, 150), cache=tmp_path / "cache"
    )
    assert done.images == 5000
    run = jaxreg.train_head("road", cache=tmp_path / "cache", ckpts=tmp_path)
    assert run.summary["metrics"]["r2"] > 0.6
    assert run.summary["verdict"]["healthy"]
