"""What a notebook asks of a dataset and of a run."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GroupKFold, cross_val_score

import jaxreg
from jaxreg import bundle
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from planted_runs import digests_of, edit_dataset, run_quick


def test_features_of_a_dataset_are_the_arrays_of_its_files(planted: Path) -> None:
    """Against the Parquet files themselves, joined by digest with pyarrow alone."""
    X, y, ids, groups = jaxreg.load_features("planted", cache=planted)
    parts = [pq.read_table(path) for path in (planted / "features").rglob("part-*.parquet")]
    features = {
        digest: feature
        for part in parts
        for digest, feature in zip(*part.to_pydict().values(), strict=True)
    }
    np.testing.assert_array_equal(X, [features[digest] for digest in digests_of(planted)])
    table = pq.read_table(planted / "datasets" / "planted.parquet")
    assert y is not None
    np.testing.assert_array_equal(y, table["angle"].to_numpy())
    assert (X.dtype, y.dtype, y.shape) == (np.float32, np.float64, (240,))
    assert ids.tolist() == table["id"].to_pylist()
    # two recordings of 120 moments, each cut into 10 blocks
    assert groups is not None
    assert sorted(np.bincount(groups).tolist()) == [12] * 20
    score = cross_val_score(RidgeCV(), X, y, groups=groups, cv=GroupKFold(4))
    assert score.mean() > 0.9


def test_targets_groups_and_columns_of_choice(planted: Path) -> None:
    _, y, _, groups = jaxreg.load_features(cache=planted, target=["speed", "gaps"], group="mode")
    assert y is not None
    assert y.shape == (240, 2)
    assert np.flatnonzero(np.isnan(y[:, 1])).tolist() == [0, 60, 120, 180]
    assert groups is not None
    assert np.bincount(groups).tolist() == [1, 239]
    edit_dataset(planted, sequential=False)
    groups = jaxreg.load_features(cache=planted).groups
    assert groups is not None
    assert np.bincount(groups).tolist() == [120, 120]
    cache = Cache(planted)
    other = Column(layer="mixed2")
    cache.add(cache.feature_sets()[0], other, digests_of(planted), np.ones((240, 3), np.float16))
    assert jaxreg.load_features(cache=planted, layers="mixed2").X.shape == (240, 3)
    two = jaxreg.load_features(cache=planted, columns=["mixed2.avg", "mixed10.avg"]).X
    assert two.shape == (240, 15)
    assert two[:, :3].min() == 1


def test_a_dataset_without_numbers_or_groups_has_none(planted: Path) -> None:
    edit_dataset(
        planted,
        table=lambda dataset: dataset.table.select(["id", "digest", "order"]),
        targets=(),
        bookkeeping=(),
        sequential=False,
    )
    found = jaxreg.load_features(cache=planted)
    assert (found.y, found.groups) == (None, None)
    assert found.X.shape == (240, 12)
    with pytest.raises(InputError, match="no column 'angle'"):
        jaxreg.load_features(cache=planted, target="angle")


def test_a_run_has_its_scores_tables_and_report(planted: Path) -> None:
    run = run_quick(planted, run="one", hidden=16)
    assert run.settings.hidden == (16,)
    table = run.predictions
    held_out = np.array(table["split"].to_pylist()) == "validation"
    true, predicted = (
        table[name].to_numpy()[held_out] for name in ("target.angle", "prediction.angle")
    )
    assert run.metrics["mae"] == pytest.approx(mean_absolute_error(true, predicted), rel=1e-5)
    assert run.metrics["r2"] == pytest.approx(r2_score(true, predicted), rel=1e-5)
    assert run.history["epoch"].to_pylist() == list(range(1, 13))
    assert run.history["val_mae"].to_numpy().min() < 0.5
    assert "<html" in run.report.read_text()
    text = repr(run)
    assert len(text) < 250
    assert f"r2={run.metrics['r2']:.4g}, healthy=True" in text


def test_a_notebook_shows_the_headline_and_each_target(planted: Path) -> None:
    one = run_quick(planted, run="one", epochs=1)
    assert f"<td>{one.summary['baselines']['median']['mae']:.4g}</td>" in one._repr_html_()
    run = run_quick(planted, run="a<b", target=["angle", "speed"])
    html = run._repr_html_()
    assert "a&lt;b" in html
    assert "<b" not in html.replace("<b>", "")
    for target in ("angle", "speed"):
        scores = run.summary["by_target"][target]
        line = f"<td>{target}</td><td>{scores['mae']:.4g}</td><td>{scores['r2']:.4g}</td>"
        assert line in html


def test_tables_that_are_damaged_or_not_in_a_bundle(planted: Path, tmp_path: Path) -> None:
    run = run_quick(planted, run="one")
    out = tmp_path / "one.zip"
    bundle.main([str(run.path), "--out", str(out)])
    packed = jaxreg.load_run(out)
    assert packed.metrics == run.metrics
    for name in ("history", "predictions", "report"):
        with pytest.raises(InputError, match=r"is a bundle, and only the folder of a run has"):
            getattr(packed, name)
    (run.path / "history.csv").write_text("epoch\n1\n")
    with pytest.raises(InputError, match=r"history\.csv is damaged"):
        _ = run.history
