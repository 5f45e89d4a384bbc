"""The verdict's rule for healthy, what its headline claims, and the table behind it."""

import dataclasses
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from faults.made import TUNING, photos, train
from jaxreg.verdict.catalogue import CAUSES, EVERY_CAUSE
from jaxreg.verdict.judge import judge
from jaxreg.verdict.observation import Observed

DOCS = Path(__file__).parents[1] / "docs"
document = runpy.run_path(str(DOCS / "verdict_page.py"))["document"]


@pytest.fixture(scope="module")
def good() -> Observed:
    return train(photos(TUNING, 100))


def verdict_with(good: Observed, **changes: object) -> dict:
    """The verdict of a run with these errors on the validation rows."""
    known = {"mae": 0.11, "median_mae": 0.3, "gain_error": 0.01, "probe": None, "ridge_mae": None}
    known |= {name: changes.pop(name) for name in set(changes) & {*known, "gain"}}
    known.setdefault("gain", np.nan if known["mae"] is None else known["median_mae"] - known["mae"])
    return judge(with_known(dataclasses.replace(good, **changes), known))


def with_known(obs: Observed, known: dict[str, object]) -> Observed:
    """The observation with some of its cached properties set."""
    obs.__dict__.update(known)
    return obs


def test_a_clear_gain_is_learning(good: Observed) -> None:
    verdict = verdict_with(good)
    assert verdict["healthy"]
    # 0.19 of 0.30 is 63%, by hand
    assert verdict["headline"] == "learning: MAE 0.11, 63% below the median predictor (0.3)"
    assert verdict["findings"] == []


@pytest.mark.parametrize(("error", "healthy"), [(0.094, True), (0.096, False)])
def test_healthy_wants_a_gain_of_more_than_twice_its_error(
    good: Observed, error: float, healthy: bool
) -> None:
    verdict = verdict_with(good, gain_error=error)
    assert verdict["healthy"] is healthy
    assert ("may be chance" in verdict["headline"]) is not healthy


def test_worse_than_the_median_says_no_more_than_that(good: Observed) -> None:
    verdict = verdict_with(good, mae=0.5)  # 0.2 of 0.3 is 67%, by hand
    assert not verdict["healthy"]
    assert verdict["headline"] == "not learning: MAE 0.5, 67% above the median predictor (0.3)"


def test_a_bounded_output_is_an_error_even_where_it_learns(good: Observed) -> None:
    relu = dataclasses.replace(good.config, output_activation="relu")
    verdict = verdict_with(good, config=relu)
    assert not verdict["healthy"]
    below = (good.y[good.train] < 0).mean()
    short = "learning, but held back: MAE 0.11, 63% below the median predictor (0.3)"
    assert verdict["headline"] == verdict["title"] == short
    assert verdict["text"] == (
        f"the output relu cannot go below 0, and {below:.0%} of the training targets do"
    )
    remedy = verdict["findings"][0]["remedy"]
    assert verdict["remedy"] == remedy
    assert remedy.startswith("jaxreg train made ")
    assert "relu" not in remedy
    assert "--learning-rate 0.001" in remedy  # the run's own settings are kept


def test_a_relu_over_targets_of_one_sign_is_no_fault(good: Observed) -> None:
    relu = dataclasses.replace(good.config, output_activation="relu")
    above = {"y": np.abs(good.y), "predictions": np.abs(good.predictions)}
    assert verdict_with(good, config=relu, **above)["findings"] == []


def test_a_loss_that_was_not_finite_comes_first(good: Observed) -> None:
    relu = dataclasses.replace(good.config, output_activation="relu")
    lost = good.state._replace(finite=np.array(False))
    verdict = verdict_with(good, mae=None, state=lost, config=relu, gain_error=np.inf)
    assert [finding["code"] for finding in verdict["findings"]][:2] == [
        "non-finite", "output-bounded",
    ]  # fmt: skip
    assert verdict["headline"] == verdict["title"] == "not learning"  # it has no MAE
    start = f"the loss was not finite in epoch {good.epochs}, at a learning rate of"
    assert verdict["text"].startswith(start)


def test_random_weights_are_a_note_and_no_fault(good: Observed) -> None:
    verdict = verdict_with(good, random_seed=0)
    assert verdict["healthy"]
    assert [(f["code"], f["severity"]) for f in verdict["findings"]] == [("random-weights", "note")]


def test_the_ridge_is_compared_too(good: Observed) -> None:
    assert verdict_with(good, ridge_mae=0.134)["headline"] == (
        "learning: MAE 0.11, 63% below the median predictor (0.3), ridge reaches 0.134"
    )


@pytest.mark.parametrize(
    ("mae", "median", "text"),
    [(3.0, 0.3, "MAE 3, 10 times that of the median predictor (0.3)"),
     (0.2, 0.0, "MAE 0.2, against the median predictor (0)"),
     (0.3, 0.3, "MAE 0.3, no better than the median predictor (0.3)")],
)  # fmt: skip
def test_a_share_is_only_given_where_it_says_something(
    good: Observed, mae: float, median: float, text: str
) -> None:
    assert text in verdict_with(good, mae=mae, median_mae=median)["headline"]


def test_what_the_errors_ask_for_is_asked_for_at_once(good: Observed) -> None:
    """Mending one of two faults would not make it learn."""
    both = dataclasses.replace(good.config, output_activation="relu", scale_features=False)
    verdict = verdict_with(good, config=both, state=_unscaled(good), x=good.x * 1e4, gain=0.0)
    codes = [f["code"] for f in verdict["findings"] if f["severity"] == "error"]
    assert codes[:2] == ["output-bounded", "inputs-unscaled"]
    assert verdict["remedy"] == verdict["findings"][0]["remedy"]
    for finding in verdict["findings"][:2]:
        assert "--output-activation relu" not in finding["remedy"]
        assert "--no-scale-features" not in finding["remedy"]


def _unscaled(good: Observed):
    from jaxreg.head import scaling

    plain = scaling.identity_scaler(good.x.shape[1])
    return good.state._replace(scalers=good.state.scalers._replace(features=plain))


def test_codes_are_kebab_case_and_once_each() -> None:
    codes = [cause.code for cause in EVERY_CAUSE]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


def test_errors_that_the_design_fixes_are_errors() -> None:
    fixed = {"output-bounded", "learning-rate-high", "labels-unrelated", "inputs-identical",
             "non-finite"}  # fmt: skip
    assert {cause.severity for cause in CAUSES if cause.code in fixed} == {"error"}


def test_the_page_of_findings_is_up_to_date() -> None:
    remedy = "python docs/verdict_page.py > docs/verdict.md"
    assert (DOCS / "verdict.md").read_text() == document(), remedy


def test_the_page_is_what_the_command_prints() -> None:
    command = [sys.executable, DOCS / "verdict_page.py"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == document()


def test_a_ridge_is_offered_without_the_seeds_that_it_cannot_have(good: Observed) -> None:
    asked = {**good.asked, "folds": 2, "seeds": 3}
    known = {"mae": 0.11, "median_mae": 0.3, "gain": 0.19, "gain_error": 0.01, "probe": None}
    known |= {"ridge_mae": 0.05, "train_mae": 0.01}
    obs = with_known(dataclasses.replace(good, asked=asked), known)
    [remedy] = [f["remedy"] for f in judge(obs)["findings"] if f["code"] == "overfit"]
    assert "--head ridge" in remedy
    assert "--folds 2" in remedy
    assert "--seeds" not in remedy
