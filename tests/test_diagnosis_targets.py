"""The diagnosis of a run with several targets: no answer averages their units."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import mean_absolute_error

from faults.made import TUNING, photos, train
from jaxreg.diagnosis import pictures, run_diagnosis, trials
from jaxreg.diagnosis.learning_curve import learning_curve
from jaxreg.verdict.catalogue import CAUSES
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.small_ridge import small_ridge
from planted_runs import run_quick


@pytest.fixture(scope="module")
def both() -> Observed:
    """A target, and the same with other noise in units 1,000 times as large."""
    made = photos(TUNING, 100).set(epochs=3)
    noise = 0.1 * np.random.default_rng(0).normal(size=made.y.shape)
    y = np.concatenate([made.y, 1000 * (made.y + noise)], axis=1)
    return train(made.but(y=y.astype(np.float32), targets=("angle", "speed")))


def test_the_best_column_is_named_for_each_target(both: Observed) -> None:
    read = {"all": both.x, "some": both.x[:, :8]}.__getitem__
    trial = trials.columns(both, ["all", "some"], read)
    assert trial is not None
    rows, asked = both.sample_train, both.sample_validation
    y = both.sample_y.astype(np.float64)
    ridge = small_ridge(both.x[rows], y[rows], both.x[asked])
    own = [mean_absolute_error(y[asked, i], ridge[:, i]) for i in range(2)]
    for i, name in enumerate(both.targets):
        assert trial.numbers["by_target"][name]["all"] == pytest.approx(own[i], rel=1e-3)
        assert f"all for {name} (MAE {own[i]:.3g})" in trial.answer
    std = both.y[both.train].astype(np.float64).std(axis=0)
    assert trial.numbers["mae"]["all"] == pytest.approx(np.mean(own / std), rel=1e-3)
    assert "std (the mean over the targets)" in trial.answer


def test_errors_of_the_tests_do_not_hang_on_the_unit_of_a_target(both: Observed) -> None:
    bench = trials.bench_of(both)
    found = trials.seeds(bench)
    assert found.unit == trials.STD
    # the two targets are alike in std, and each std is the error of a constant, more or less
    assert 0.1 < max(found.numbers["mae"]) < 1.5
    curve = learning_curve(bench, both)
    assert curve is not None
    assert 0.1 < min(curve.numbers["mae"]) < max(curve.numbers["mae"]) < 1.5
    noise = trials.noise(both)
    alone = trials.noise(replace(both.each[0], whole=None))
    assert noise is not None
    assert alone is not None
    assert noise.numbers["nearest"] == pytest.approx(
        alone.numbers["nearest"] / both.std[0], rel=0.2
    )


def test_the_page_of_a_run_with_folds_says_that_it_shows_one_training(planted: Path) -> None:
    both = {"target": ("angle", "speed"), "head": "ridge", "folds": 3}
    run = run_quick(planted, run="folds", **both)
    told: list[str] = []
    found = run_diagnosis.diagnose(
        str(run.path), cache=None, ckpts=planted.parent, images=None, say=told.append
    )
    assert "diagnosing the first of its 3 trainings" in told
    assert "<dd>the first of 3</dd>" in Path(found["page"]).read_text()
    assert found["tests"]["columns"]["numbers"]["by_target"].keys() == {"angle", "speed"}


def test_a_finding_shows_the_picture_of_its_target(both: Observed) -> None:
    both.__dict__["probe"] = None
    drawn = {}
    for name in both.targets:
        drawn[name] = pictures.of_finding({"code": "stuck-at-median", "targets": (name,)}, both)
        assert Image.open(io.BytesIO(drawn[name])).format == "PNG"
    assert drawn["angle"] != drawn["speed"]
    for cause in CAUSES:  # none raises where a finding is about all targets
        pictures.of_finding({"code": cause.code}, both)


def test_a_table_compares_columns_for_each_target() -> None:
    table = run_diagnosis._columns_table
    one = trials.Trial("columns", "?", "it", {"mae": {"a": 0.5, "b": 0.25}})
    assert table([one]) == {"heads": ["MAE"], "lines": [("a", [0.5]), ("b", [0.25])]}
    own = {"angle": {"a": 0.1, "b": 0.2}, "speed": {"a": 30.0, "b": 40.0}}
    two = trials.Trial("columns", "?", "it", {"mae": {"a": 0.5, "b": 0.6}, "by_target": own})
    lines = [("a", [0.1, 30.0]), ("b", [0.2, 40.0])]
    assert table([two]) == {"heads": ["angle", "speed"], "lines": lines}
    alone = trials.Trial("columns", "?", "it", {"mae": {"a": 0.5}})
    assert table([alone]) is None
    assert table([]) is None
