"""What the verdict says of side columns, from predictions made by hand."""

import dataclasses

import numpy as np
import pytest

from faults.made import TUNING, photos, train
from jaxreg.side_columns import SideColumn, SideColumns
from jaxreg.verdict.checks import side_alone
from jaxreg.verdict.judge import judge, verdict_of_one
from jaxreg.verdict.observation import Observed

SIDE = SideColumns((SideColumn("altitude", "number", False), SideColumn("hour", "number", False)))


@pytest.fixture(scope="module")
def good() -> Observed:
    return train(photos(TUNING, 100))


def with_errors(good: Observed, **errors: np.ndarray) -> Observed:
    """The run with these errors (rows,) of what `side_baselines` predicts, and of its ridge."""
    found = {name: good.y + own[:, None] for name, own in errors.items()}
    ridge = found.pop("ridge", good.ridge)
    config = dataclasses.replace(good.config, side_columns=SIDE.names)
    asked = {**good.asked, "side_columns": SIDE.names}
    # the rows of x have no side columns; these checks look at predictions alone
    return dataclasses.replace(
        good, beside=found, ridge=ridge, config=config, asked=asked, side=SIDE
    )


def noise(good: Observed, size: float) -> np.ndarray:
    """Errors of rows, whose mean size on the validation rows is `size`."""
    own = np.random.default_rng(0).normal(size=len(good.y))
    return size * own / np.abs(own[good.validation]).mean()


@pytest.mark.parametrize("better", ["side", "side_tree"])
def test_side_columns_that_reach_the_score_alone(good: Observed, better: str) -> None:
    assert good.mae is not None
    errors = {"side": noise(good, 9.0), "side_tree": noise(good, 9.0), "features": noise(good, 1.0)}
    reach = with_errors(good, **(errors | {better: noise(good, 1.04 * good.mae)}))
    found = side_alone.side_columns_alone(reach)
    assert found is not None
    assert found.numbers[better] == pytest.approx(1.04 * good.mae, rel=1e-5)
    assert found.numbers["run"] == pytest.approx(good.mae)
    word = {"side": "a ridge", "side_tree": "a small tree"}[better]
    assert found.sentence.startswith(f"{word} on the side columns alone (altitude, hour)")
    short = with_errors(good, **(errors | {better: noise(good, 1.06 * good.mae)}))
    assert side_alone.side_columns_alone(short) is None


def test_what_is_no_better_than_the_median_reaches_nothing(good: Observed) -> None:
    """Of a run that learns nothing: its side columns are as good, and give nothing away."""
    rng = np.random.default_rng(1)
    poor = np.broadcast_to(good.median, good.y.shape) + 0.01 * rng.normal(size=good.y.shape)
    useless = (poor - good.y)[:, 0]
    obs = with_errors(good, side=useless, side_tree=useless, features=useless)
    obs = dataclasses.replace(obs, predictions=poor)
    assert side_alone.side_columns_alone(obs) is None


@pytest.mark.parametrize(("share", "helps"), [(0.6, True), (0.999, False), (1.3, False)])
def test_what_they_bring_is_a_note_of_each_run(good: Observed, share: float, helps: bool) -> None:
    features = noise(good, 0.5)
    obs = with_errors(good, features=features, ridge=share * features)
    found = side_alone.side_columns_gain(obs)
    assert found is not None
    numbers = found.numbers
    assert numbers["features"] == pytest.approx(0.5)
    assert numbers["both"] == pytest.approx(0.5 * share)
    assert numbers["gain"] == pytest.approx(0.5 * (1 - share), abs=1e-12)
    assert ("they bring nothing" in found.sentence) == (not helps)
    assert (found.remedy == "") == helps
    if helps:
        assert "40% less" in found.sentence


def test_neither_changes_whether_a_run_is_healthy(good: Observed) -> None:
    own = noise(good, 0.01)
    obs = with_errors(good, side=own, side_tree=own, features=own, ridge=own)
    obs = dataclasses.replace(obs, side=SideColumns(()))  # x of this run has none
    found = judge(obs)
    assert judge(good)["healthy"]
    assert found["healthy"]
    codes = {one["code"]: one for one in found["findings"]}
    assert codes["side-columns-alone"]["severity"] == "warning"
    assert codes["side-columns-gain"]["severity"] == "note"
    words = codes["side-columns-alone"]["remedy"].split()
    assert words[:2] == ["jaxreg", "train"]
    assert "--side-columns" not in words


def test_each_target_has_its_own_finding(good: Observed) -> None:
    """The side columns give the second target away, and not the first."""
    both = np.concatenate([good.y, 100 * good.y], axis=1)
    beside = {
        name: both + np.stack([noise(good, 9.0), noise(good, 0.01)], axis=1)
        for name in ("side", "side_tree", "features")
    }
    state = good.state
    two = state.scalers.target._replace(
        mean=np.zeros(2, "f"), std=np.ones(2, "f"), rest=np.zeros(2, "f")
    )
    obs = dataclasses.replace(
        good, targets=("one", "two"), y=both, weights=np.ones(both.shape),
        beside=beside, ridge=None,
        predictions=both + np.stack([noise(good, 0.2), noise(good, 20.0)], axis=1),
        state=state._replace(scalers=state.scalers._replace(target=two)),
    )  # fmt: skip
    first, second = obs.each
    assert side_alone.side_columns_alone(first) is None
    assert side_alone.side_columns_alone(second) is not None


def test_a_run_without_side_columns_has_neither(good: Observed) -> None:
    codes = [finding.code for finding in verdict_of_one(good).findings]
    assert not [code for code in codes if code.startswith("side")]


def test_rows_without_the_target_do_not_count(good: Observed) -> None:
    features = noise(good, 0.5)
    y = good.y.copy()
    lost = good.validation[:7]
    obs = with_errors(good, features=features, ridge=0.6 * features)
    y[lost] = np.nan
    found = side_alone.side_columns_gain(dataclasses.replace(obs, y=y))
    assert found is not None
    expected = np.abs(features[good.validation[7:]]).mean()
    assert found.numbers["features"] == pytest.approx(expected)
