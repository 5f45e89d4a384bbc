"""--weight-column and targets with gaps, from the table to the scores of a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics
from sklearn.dummy import DummyRegressor

from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.metrics import Loss, constant_baselines, scores
from planted_runs import edit_dataset, run_quick

ROWS = 240
WEIGHTS = np.random.default_rng(3).uniform(0.1, 4, ROWS)
SEVERAL = {"target": ("angle", "speed"), "split": "hash"}


def add_column(planted: Path, name: str, values: np.ndarray) -> None:
    table = read_dataset(Cache(planted), "planted").table
    column = pa.array(values, pa.float64(), from_pandas=True)
    if name in table.column_names:
        table = table.set_column(table.column_names.index(name), name, column)
    else:
        table = table.append_column(name, column)
    edit_dataset(planted, table=table)


def with_gaps(planted: Path, name: str, every: int) -> None:
    values = read_dataset(Cache(planted), "planted").table[name].to_numpy().copy()
    values[::every] = np.nan
    add_column(planted, name, values)


def side_of(run: Any, side: str, *names: str) -> list[np.ndarray]:
    """Columns of predictions.parquet; with a place in the dataset as the last."""
    table = run.predictions
    rows = np.flatnonzero(np.array(table["split"]) == side)
    return [*(np.array(table[name].to_pylist(), float)[rows] for name in names), rows]


@pytest.mark.parametrize("targets", [1, 2])
def test_weighted_scores_are_scikit_learns(targets: int) -> None:
    rng = np.random.default_rng(0)
    y, pred = rng.normal(size=(2, 50, targets))
    weights = rng.uniform(0, 3, (50, targets))
    weights[:5] = 0
    found = scores(y, pred, Loss(np.full(targets, 0.7), np.ones(targets)), weights)
    if targets == 2:
        columns = zip(y.T, pred.T, weights.T, strict=True)
        each = [metrics.r2_score(*pair, sample_weight=w) for *pair, w in columns]
        assert found["r2"] == pytest.approx(np.mean(each))
        return
    one: dict[str, Any] = {"sample_weight": weights[:, 0]}
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(y, pred, **one))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, pred, **one))
    assert found["r2"] == pytest.approx(metrics.r2_score(y, pred, **one))
    assert found["spearman"] is None
    error = np.abs(y - pred)[:, 0]
    huber = np.where(error <= 0.7, error**2 / 2, 0.7 * error - 0.7**2 / 2)  # the formula
    assert found["huber"] == pytest.approx(np.average(huber, weights=weights[:, 0]))


def test_a_target_is_scored_on_the_rows_that_have_it() -> None:
    y, pred = np.random.default_rng(0).normal(size=(2, 50, 2))
    y[::3, 0] = np.nan
    loss = Loss(np.array([0.5, 0.5]), np.ones(2))
    r2 = metrics.r2_score(y[~np.isnan(y[:, 0]), 0], pred[~np.isnan(y[:, 0]), 0])
    both = scores(y, pred, loss)["r2"]
    assert both == pytest.approx((r2 + metrics.r2_score(y[:, 1], pred[:, 1])) / 2)
    y[:, 0] = np.nan
    assert scores(y, pred, loss)["r2"] is None
    assert set(scores(y[:, :1], pred[:, :1], loss.of_target(0)).values()) == {None}


def test_constant_baselines_are_dummy_regressors() -> None:
    rng = np.random.default_rng(0)
    y, weights = rng.normal(size=(41, 1)) + 1e6, rng.uniform(0.1, 3, (41, 1))
    for name in ("mean", "median"):
        for its in (None, weights):
            dummy = DummyRegressor(strategy=name)
            dummy.fit(y, y, sample_weight=None if its is None else its[:, 0])
            found = constant_baselines(y, 1, its)[name]
            np.testing.assert_allclose(found, np.asarray(dummy.predict(y[:1]))[:, None], rtol=1e-12)


def test_a_run_has_weighted_scores_and_baselines(planted: Path) -> None:
    add_column(planted, "w", 1000 * WEIGHTS)
    run = run_quick(planted, target="angle", weight_column="w", head="ridge", split="hash")
    y, pred, rows = side_of(run, "validation", "target.angle", "prediction.angle")
    for name, score in [("mae", metrics.mean_absolute_error), ("r2", metrics.r2_score)]:
        assert run.summary["metrics"][name] == pytest.approx(score(y, pred))
        weighted = score(y, pred, sample_weight=WEIGHTS[rows])
        assert run.summary["weighted"][name] == pytest.approx(weighted)
    assert run.summary["by_target"]["angle"]["weighted"] == run.summary["weighted"]
    assert set(run.summary["weighted"]) == {"mae", "rmse", "r2", "huber"}
    train, trained = side_of(run, "train", "target.angle")
    dummy = DummyRegressor(strategy="mean").fit(train, train, sample_weight=WEIGHTS[trained])
    expected = metrics.mean_absolute_error(y, dummy.predict(y))
    assert run.summary["baselines"]["mean"]["mae"] == pytest.approx(expected, rel=1e-6)
    assert "weighted by w" in run.report.read_text()
    plain = run_quick(planted, target="angle", head="ridge", split="hash")
    assert plain.summary["weighted"] is None
    assert "weighted" not in plain.summary["by_target"]["angle"]


def test_the_unit_of_the_weights_does_not_matter(planted: Path) -> None:
    add_column(planted, "w", WEIGHTS)
    add_column(planted, "w2", 1024 * WEIGHTS)
    one, other = (
        run_quick(planted, target="angle", weight_column=name, epochs=3) for name in ("w", "w2")
    )
    assert one.summary["metrics"] == other.summary["metrics"]


def test_a_row_without_weight_does_not_train(planted: Path) -> None:
    weights = np.ones(ROWS)
    weights[::4] = 0
    add_column(planted, "w", weights)
    run = run_quick(planted, target="angle", weight_column="w", split="hash", epochs=3)
    sides = np.array(run.predictions["split"])
    assert not (sides[::4] == "train").any()
    assert (sides[::4] == "validation").any()
    assert run.summary["notes"][-1] == "60 rows have a weight of 0 (w), so no training uses them"
    # the same as a table without their targets, but for the validation rows that are scored
    angle = read_dataset(Cache(planted), "planted").table["angle"].to_numpy().copy()
    angle[(sides != "validation") & (weights == 0)] = np.nan
    add_column(planted, "angle", angle)
    again = run_quick(planted, target="angle", weight_column="w", split="hash", epochs=3)
    assert again.summary["metrics"] == run.summary["metrics"]


@pytest.mark.parametrize("head", ["ridge", "blend"])
def test_a_gap_in_one_target_leaves_the_other_as_it_is(planted: Path, head: str) -> None:
    with_gaps(planted, "speed", every=2)
    run = run_quick(planted, head=head, **SEVERAL, epochs=60)
    assert run.summary["rows"]["left-out"] == 0
    speed = run.predictions["target.speed"].to_pylist()
    assert speed[::2] == [None] * 120
    assert None not in run.predictions["prediction.speed"].to_pylist()
    for name in ("angle", "speed"):
        y, pred, _ = side_of(run, "validation", f"target.{name}", f"prediction.{name}")
        known = ~np.isnan(y)
        mae = metrics.mean_absolute_error(y[known], pred[known])
        assert run.summary["by_target"][name]["mae"] == pytest.approx(mae)
        assert run.summary["by_target"][name]["healthy"]
    if head == "ridge":  # each target is the ridge of that target alone
        alone = run_quick(planted, target="angle", head="ridge", split="hash")
        mae = run.summary["by_target"]["angle"]["mae"]
        assert alone.summary["metrics"]["mae"] == pytest.approx(mae, rel=1e-5)


def test_a_fold_need_not_hold_out_every_target(planted: Path) -> None:
    values = read_dataset(Cache(planted), "planted").table["speed"].to_numpy().copy()
    values[:120] = np.nan  # the first blocks lack it
    add_column(planted, "speed", values)
    folds = {"split": "blocks:6", "folds": 3, "weight_column": "w"}
    add_column(planted, "w", WEIGHTS)
    run = run_quick(planted, head="blend", target=("angle", "speed"), **folds, epochs=60)
    assert run.summary["by_target"]["speed"]["mae"] < 3
    assert run.summary["by_target"]["speed"]["weighted"]["mae"] > 0
    assert run.summary["verdict"]["healthy"], run.summary["verdict"]


def test_gaps_and_weights_wherever_the_features_are(planted: Path) -> None:
    with_gaps(planted, "speed", every=3)
    add_column(planted, "w", WEIGHTS)
    options = {**SEVERAL, "weight_column": "w", "epochs": 4}
    device, host = (run_quick(planted, **options, memory_limit=limit) for limit in (None, "40kB"))
    assert device.summary["metrics"] == host.summary["metrics"]
    with np.errstate(all="raise"):
        assert device.history.to_pylist()[-1]["val_loss"] > 0


BAD = [
    (np.where(np.arange(ROWS) == 9, -1.0, 1.0), r"w is below 0 in row-9 \(-1\)\n  expected: a num"),
    (np.where(np.arange(ROWS) == 7, np.nan, 1.0), "the weight column w has no number in row-7"),
    (
        np.where(np.arange(ROWS) > 7, np.inf, 1.0),
        r"above 1e\+30 in row-8 \(inf\), and in 231 more",
    ),
    (np.zeros(ROWS), r"no training row has a weight above 0 in w[\s\S]*leave --weight-column out"),
]


@pytest.mark.parametrize(("values", "message"), BAD)
def test_bad_weights_name_the_column_and_a_row(
    planted: Path, values: np.ndarray, message: str
) -> None:
    add_column(planted, "w", values)
    with pytest.raises(InputError, match=message):
        run_quick(planted, target="angle", weight_column="w")
    assert not list((planted.parent / "ckpts").glob("*"))


def test_a_column_that_cannot_be_weights(planted: Path) -> None:
    for name, message in [
        ("angle", "--weight-column angle, which is a target of the run"),
        ("sped", r"no column 'sped'[\s\S]*try: --weight-column speed"),
        ("mode", "the weight column mode holds string, not numbers"),
    ]:
        with pytest.raises(InputError, match=message):
            run_quick(planted, target="angle", weight_column=name)


def test_a_weight_is_no_default_target_and_is_needed_only_with_one(planted: Path) -> None:
    table = read_dataset(Cache(planted), "planted").table
    edit_dataset(planted, table=table.drop_columns(["speed", "angle", "nothing"]), targets=())
    weights = WEIGHTS.copy()
    weights[0] = np.nan  # as `gaps`
    add_column(planted, "w", weights)
    run = run_quick(planted, weight_column="w", head="ridge")
    assert run.targets == ("gaps",)


def test_a_side_without_a_target_is_named(planted: Path) -> None:
    values = read_dataset(Cache(planted), "planted").table["speed"].to_numpy().copy()
    values[200:] = np.nan
    add_column(planted, "speed", values)
    with pytest.raises(InputError, match="no validation row has a number for speed"):
        run_quick(planted, target=("angle", "speed"), split="tail", validation=0.1)
