"""What the verdict says of the predictions that the score is of, from predictions made by hand."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from faults.made import TUNING, photos, train
from jaxreg import train as train_command
from jaxreg.verdict.catalogue import CAUSES
from jaxreg.verdict.checks import held_out
from jaxreg.verdict.judge import find
from jaxreg.verdict.observation import Observed
from planted_runs import edit_dataset, run_quick, with_column, words


@pytest.fixture(scope="module")
def good() -> Observed:
    return train(photos(TUNING, 100))


def over(good: Observed, y: np.ndarray, predictions: np.ndarray, **changes) -> Observed:
    """The run with other targets and predictions (rows,)."""
    column = {"y": y[:, None].astype("f"), "predictions": predictions[:, None].astype("f")}
    return dataclasses.replace(good, **column, **changes)


def with_errors(good: Observed, head: np.ndarray, ridge: np.ndarray) -> Observed:
    """The run with these errors (rows,) of the head and of its ridge."""
    y = good.y.astype(np.float64)
    found = {"predictions": y + head[:, None], "ridge": y + ridge[:, None]}
    return dataclasses.replace(good, **found)


def elsewhere(good: Observed, errors: np.ndarray) -> np.ndarray:
    """The same errors on other validation rows."""
    moved = errors.copy()
    moved[good.validation] = np.random.default_rng(9).permutation(errors[good.validation])
    return moved


def test_a_ridge_that_is_better_is_found_with_its_bootstrap_error(good: Observed) -> None:
    error = 0.2 * np.random.default_rng(0).normal(size=len(good.y))
    obs = with_errors(good, error, 0.86 * error)  # 14% below
    found = held_out.linear_is_better(obs)
    assert found is not None
    size = np.abs(error[good.validation])
    assert found.numbers["head"] == pytest.approx(size.mean(), rel=1e-5)
    assert found.numbers["gain"] == pytest.approx(0.14 * size.mean(), rel=1e-5)
    # the standard error of a mean of independent rows
    by_hand = 0.14 * size.std(ddof=1) / np.sqrt(len(size))
    assert found.numbers["gain_error"] == pytest.approx(by_hand, rel=0.1)
    assert "14% below" in found.sentence
    # both err alike: their mean is worse than the ridge
    assert found.remedy == {
        "head": "ridge", "components": None, "scale_features": True, "seeds": 1,
    }  # fmt: skip


def test_a_blend_is_offered_where_head_and_ridge_err_apart(good: Observed) -> None:
    head = 0.2 * np.random.default_rng(0).normal(size=len(good.y))
    obs = with_errors(good, head, 0.75 * elsewhere(good, head))  # their mean errs 0.625 times
    found = held_out.linear_is_better(obs)
    assert found is not None
    assert isinstance(found.remedy, dict)
    assert found.remedy["head"] == "blend"
    blend = dataclasses.replace(obs, config=dataclasses.replace(obs.config, head="blend"))
    found = held_out.linear_is_better(blend)
    assert found is not None
    assert found.remedy == held_out.AS_BASELINE


def test_the_better_ridge_has_no_relu_where_targets_lie_below_0(good: Observed) -> None:
    head = 0.2 * np.random.default_rng(0).normal(size=len(good.y))
    config = dataclasses.replace(good.config, output_activation="relu")
    obs = dataclasses.replace(with_errors(good, head, 0.5 * head), config=config)
    assert (good.y[good.train] < 0).any()
    found = held_out.linear_is_better(obs)
    assert found is not None
    assert isinstance(found.remedy, dict)
    assert found.remedy["output_activation"] == "linear"


def test_a_constant_target_is_no_matter_for_a_ridge(good: Observed) -> None:
    """The ridge and the median are perfect: the difference says nothing of the features."""
    error = 0.01 * np.random.default_rng(0).normal(size=(len(good.y), 1))
    y = np.full(good.y.shape, 0.1)
    obs = dataclasses.replace(good, y=y, predictions=y + error, ridge=y)
    assert held_out.linear_is_better(obs) is None
    assert held_out.predictions_out_of_range(obs) is None


def test_a_ridge_that_may_be_better_by_chance_is_not_found(good: Observed) -> None:
    head = 0.2 * np.random.default_rng(0).normal(size=len(good.y))
    apart = 0.92 * elsewhere(good, head)  # 8% below, and unrelated
    assert held_out.linear_is_better(with_errors(good, head, apart)) is None
    assert held_out.linear_is_better(with_errors(good, head, 0.92 * head)) is not None
    assert held_out.linear_is_better(with_errors(good, head, 0.96 * head)) is None  # 4%
    assert held_out.linear_is_better(with_errors(good, 30 * head, 20 * head)) is None  # no use
    for changes in ({"ridge": None}, {"config": dataclasses.replace(good.config, head="ridge")}):
        obs = dataclasses.replace(with_errors(good, head, 0.5 * head), **changes)
        assert held_out.linear_is_better(obs) is None


def degrees(rows: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 360, rows)


def test_a_prediction_that_turns_back_at_both_ends_is_found(good: Observed) -> None:
    """What a smooth function of the image does at 0 and 360: it goes through 180."""
    angle = degrees(len(good.y))
    near = np.maximum(0, 1 - np.minimum(angle, 360 - angle) / 25)  # 1 at the ends, 0 from 25 on
    predictions = angle + near * (180 - angle)
    found = held_out.targets_at_both_ends(over(good, angle, predictions))
    assert found is not None
    error = (predictions - angle)[good.validation]
    place = np.argsort(angle[good.validation])
    few = round(0.05 * len(place))
    assert found.numbers["low"] == pytest.approx(error[place[:few]].mean(), rel=1e-3)
    assert found.numbers["high"] == pytest.approx(error[place[-few:]].mean(), rel=1e-3)
    assert found.remedy == {"target_type": ("circular:360",)}


@pytest.mark.parametrize("unit", [1 / 360, 2 * np.pi / 360, 1e7])
@pytest.mark.parametrize("start", [0.0, -180.0])
def test_the_unit_and_the_start_of_an_angle_do_not_matter(
    good: Observed, unit: float, start: float
) -> None:
    angle = degrees(len(good.y))
    near = np.maximum(0, 1 - np.minimum(angle, 360 - angle) / 25)
    predictions = angle + near * (180 - angle)
    y, predictions = (unit * (values + start) for values in (angle, predictions))
    assert held_out.targets_at_both_ends(over(good, y, predictions)) is not None


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.3, 0.6, 0.9, 1.0])
def test_a_prediction_that_shrinks_to_the_mean_is_not_found(good: Observed, kept: float) -> None:
    """As a head of R² `kept` predicts: the shrunken target, and an error of its own."""
    rng, y = np.random.default_rng(2), degrees(len(good.y))
    own = np.sqrt(kept * (1 - kept)) * y.std() * rng.normal(size=len(y))
    assert held_out.targets_at_both_ends(over(good, y, 180 + kept * (y - 180) + own)) is None
    one_end = np.where(y < 20, 200, y) + own  # an error at one end is another fault
    assert held_out.targets_at_both_ends(over(good, y, one_end)) is None


@pytest.mark.parametrize("sides", ["two", "pooled folds"])
def test_a_step_that_noise_hides_is_found_by_a_ridge_of_directions(good: Observed, sides) -> None:
    rng, y = np.random.default_rng(3), degrees(len(good.y))
    if sides != "two":
        labels = np.where(good.labels == "train", "validation", good.labels)
        good = dataclasses.replace(good, labels=labels)
    shrunk = 180 + 0.3 * (y - 180) + 40 * rng.normal(size=len(y))
    radians = np.radians(y)[good.sampled]
    circle = np.c_[np.cos(radians), np.sin(radians)] + 0.2 * rng.normal(size=(len(radians), 2))
    found = held_out.targets_at_both_ends(over(good, y, shrunk, x=circle.astype("f")))
    assert found is not None
    assert found.remedy == {"target_type": ("circular:360",)}
    # by hand: a noise of 0.2 beside a radius of 1 turns the direction by 0.2 radians
    expected = np.degrees(0.2) * np.sqrt(2 / np.pi)
    assert found.numbers["ridge_around"] == pytest.approx(expected, rel=0.25)
    line = (y[good.sampled] + 90 * rng.normal(size=len(radians)))[:, None]  # a number, no angle
    for x in (line, np.c_[line, line**2, line**3], rng.normal(size=circle.shape)):
        assert held_out.targets_at_both_ends(over(good, y, shrunk, x=x.astype("f"))) is None


def test_a_prediction_is_out_of_range_by_more_than_the_std(good: Observed) -> None:
    train, row = good.y[good.train, 0].astype(float), int(good.validation[3])
    high, low, std = train.max(), train.min(), train.std()
    for far, is_found in [(high + 0.99 * std, False), (high + 1.01 * std, True),
                          (low - 0.99 * std, False), (low - 1.01 * std, True)]:  # fmt: skip
        predictions = good.y.copy()
        predictions[row] = far
        obs = dataclasses.replace(good, predictions=predictions)
        found = held_out.predictions_out_of_range(obs)
        assert (found is not None) is is_found
        if found is not None:
            assert found.numbers["rows"] == 1
            assert found.numbers["farthest"] == pytest.approx(far, rel=1e-5)
            assert f"row {row} " in found.sentence
    training_row = good.y.copy()
    training_row[good.train[0]] = high + 9 * std
    obs = dataclasses.replace(good, predictions=training_row)
    assert held_out.predictions_out_of_range(obs) is None


def test_a_prediction_that_is_not_finite_is_another_finding(good: Observed) -> None:
    broken = np.full_like(good.y, np.nan)
    obs = dataclasses.replace(good, predictions=broken)
    for check in (held_out.linear_is_better, held_out.targets_at_both_ends,
                  held_out.predictions_out_of_range):  # fmt: skip
        assert check(obs) is None


def test_folds_are_judged_by_their_pooled_predictions(planted: Path, capsys) -> None:
    def noisy(dataset) -> pa.Table:  # no head is so far behind that its rates are examined
        noise = np.random.default_rng(0).normal(size=240)
        angle = pa.array(dataset.table["angle"].to_numpy() + noise)
        return with_column(dataset.table, "angle", angle)

    edit_dataset(planted, table=noisy)
    assert train_command.main([*words(planted), "--folds", "3", "--run", "folds"]) == 0
    told = capsys.readouterr().err
    run = run_quick(planted, folds=3, run="folds", resume=True)
    [found] = [f for f in run.summary["verdict"]["findings"] if f["code"] == "linear-is-better"]
    assert found["severity"] == "warning"
    assert run.summary["verdict"]["healthy"]
    metrics, baselines = run.summary["metrics"], run.summary["baselines"]
    assert found["numbers"]["head"] == pytest.approx(metrics["mae"], rel=1e-5)
    assert found["numbers"]["ridge"] == pytest.approx(baselines["ridge"]["mae"], rel=1e-5)
    assert "--folds 3" in found["remedy"]
    assert "--head" in found["remedy"]
    # the terminal says it, before the headline
    lines = told.splitlines()
    warned = lines.index(f"warning: {found['evidence']} (try: {found['remedy']})")
    assert warned < lines.index(run.summary["verdict"]["headline"])


def test_each_target_has_its_own_ridge_and_a_blend_serves_both(good: Observed) -> None:
    """The ridge is better for the first of two targets, and worse for the second."""
    error = 0.2 * np.random.default_rng(0).normal(size=(len(good.y), 1))
    y = np.concatenate([good.y, 1000 * good.y], axis=1).astype(np.float64)
    target = good.state.scalers.target
    two = target._replace(mean=np.tile(target.mean, 2), std=np.tile(target.std, 2))
    obs = dataclasses.replace(
        good,
        targets=("angle", "speed"),
        y=y,
        weights=np.ones(y.shape),
        predictions=y + error * [1.0, 1000.0],
        ridge=y + error * [0.8, 1300.0],
        state=good.state._replace(scalers=good.state.scalers._replace(target=two)),
    )
    both = [cause for cause in CAUSES if cause.code == "linear-is-better"]
    [found] = find(obs, both)
    assert found.targets == ("angle",)
    assert "--head blend" in found.remedy
    blend = dataclasses.replace(obs, config=dataclasses.replace(obs.config, head="blend"))
    [found] = find(blend, both)
    assert "--head ridge" in found.remedy
    assert "--target angle" in found.remedy
