"""The verdict's rule for healthy, and what its headline claims."""

import dataclasses

import numpy as np
import pytest

from jaxreg.verdict import Measurements, judge

GOOD = Measurements(
    mae=0.11,
    median_mae=0.30,
    gain=0.19,
    gain_error=0.01,
    ridge_mae=None,
    output_activation="linear",
    targets=np.array([[-1.0], [1.0], [2.0], [3.0]]),
    finite=True,
    epochs=20,
    learning_rate=1e-4,
    random_seed=None,
)


def told(**changes: object) -> dict:
    return judge(dataclasses.replace(GOOD, **changes))


def test_a_clear_gain_is_learning() -> None:
    verdict = told()
    assert verdict["healthy"]
    # 0.19 of 0.30 is 63%, by hand
    assert verdict["headline"] == "learning: MAE 0.11, 63% below the median predictor (0.3)"
    assert verdict["findings"] == []


@pytest.mark.parametrize(("error", "healthy"), [(0.094, True), (0.096, False)])
def test_healthy_wants_a_gain_of_more_than_twice_its_error(error: float, healthy: bool) -> None:
    verdict = told(gain_error=error)
    assert verdict["healthy"] is healthy
    assert ("within twice the error" in verdict["headline"]) is not healthy


def test_worse_than_the_median_says_no_more_than_that() -> None:
    verdict = told(mae=0.5, gain=-0.2, gain_error=0.01)  # 0.2 of 0.3 is 67%, by hand
    assert not verdict["healthy"]
    assert verdict["headline"] == "not learning: MAE 0.5, 67% above the median predictor (0.3)"


def test_a_bounded_output_is_an_error_even_where_it_learns() -> None:
    verdict = told(output_activation="relu")
    assert not verdict["healthy"]
    assert verdict["headline"].startswith(
        "learning, but held back: the output relu cannot go below"
    )
    assert "25% of the training targets" in verdict["findings"][0]["evidence"]  # one of four


def test_a_relu_over_targets_of_one_sign_is_no_fault() -> None:
    assert told(output_activation="relu", targets=np.array([[0.0], [2.0]]))["findings"] == []


def test_a_loss_that_was_not_finite_comes_first() -> None:
    verdict = told(mae=None, finite=False, gain=np.nan, gain_error=np.inf, output_activation="relu")
    assert [finding["code"] for finding in verdict["findings"]] == ["non-finite", "output-bounded"]
    assert verdict["headline"].startswith("not learning: the loss was not finite in epoch 20")


def test_random_weights_are_a_note_and_no_fault() -> None:
    verdict = told(random_seed=0)
    assert verdict["healthy"]
    assert [(f["code"], f["severity"]) for f in verdict["findings"]] == [("random-weights", "note")]


def test_the_ridge_is_the_bar_beside_it() -> None:
    assert told(ridge_mae=0.134)["headline"] == (
        "learning: MAE 0.11, 63% below the median predictor (0.3), ridge reaches 0.134"
    )


@pytest.mark.parametrize(
    ("mae", "median", "text"),
    [(3.0, 0.3, "MAE 3, 10 times that of the median predictor (0.3)"),
     (0.2, 0.0, "MAE 0.2, against the median predictor (0)")],
)  # fmt: skip
def test_a_share_is_only_given_where_it_says_something(
    mae: float, median: float, text: str
) -> None:
    assert text in told(mae=mae, median_mae=median, gain=median - mae)["headline"]
