"""The scores of labels, compared with cleanlab's."""

import numpy as np
import pytest
from cleanlab.regression.rank import get_label_quality_scores
from scipy.stats import rankdata

from jaxreg import label_scores as module
from jaxreg.label_scores import label_scores
from jaxreg.target_types import TargetType

CIRCLE = TargetType(period=360.0)


def labels(kind: str, rows: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "normal":
        return rng.normal(size=rows)
    if kind == "skewed":
        return 1e6 + 1e4 * rng.exponential(size=rows)
    if kind == "few values":
        return np.round(rng.normal(size=rows))
    return 1e-7 * rng.standard_t(2, size=rows)  # far outliers


@pytest.mark.parametrize("rows", [3, 10, 100, 101, 400])
@pytest.mark.parametrize("kind", ["normal", "skewed", "few values", "outliers"])
def test_the_scores_are_those_of_cleanlab(kind: str, rows: int) -> None:
    rng = np.random.default_rng(rows)
    y = labels(kind, rows, rng)
    predictions = y.mean() + 0.7 * (y - y.mean()) + 0.2 * y.std() * rng.normal(size=rows)
    expected = get_label_quality_scores(y, predictions)
    # above 100 rows scikit-learn subtracts squares, which rounds short distances
    np.testing.assert_allclose(label_scores(y, predictions), expected, rtol=0, atol=1e-8)


def test_labels_that_are_all_alike_and_right_look_usual() -> None:
    ones = np.ones(20)
    assert (label_scores(ones, ones) == 1).all()
    assert (get_label_quality_scores(ones, ones) == 1).all()


def test_rows_without_a_number_have_no_score_and_change_no_other() -> None:
    rng = np.random.default_rng(0)
    y, apart = rng.normal(size=60), 0.3 * rng.normal(size=60)
    predictions = y + apart
    y[5], predictions[7], predictions[9] = np.nan, np.inf, np.nan
    scores = label_scores(y, predictions)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [5, 7, 9]
    kept = ~np.isnan(scores)
    expected = get_label_quality_scores(y[kept], predictions[kept])
    np.testing.assert_allclose(scores[kept], expected, atol=1e-8)
    assert np.isnan(label_scores(np.full(3, np.nan), np.zeros(3))).all()


def test_around_a_circle_only_the_distance_counts() -> None:
    """cleanlab gets angles that lie around 0, where no difference goes over the seam."""
    rng = np.random.default_rng(1)
    half = rng.uniform(0, 40, 100)
    y = np.concatenate([half, -half])  # its circular mean is its mean
    predictions = y + 5 * rng.normal(size=200)
    expected = get_label_quality_scores(y, predictions)
    for turn in (0.0, 90.0, 177.0, 359.0):
        around = (y + turn) % 360, (predictions + turn) % 360
        np.testing.assert_allclose(label_scores(*around, CIRCLE), expected, atol=1e-8)
    seam = label_scores(y % 360, predictions % 360)  # as plain numbers the seam tears rows apart
    assert np.abs(seam - expected).max() > 0.1


def test_of_many_rows_a_sample_gives_nearly_the_same_order(monkeypatch) -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=900)
    predictions = y + 0.5 * rng.standard_t(3, size=900)
    expected = get_label_quality_scores(y, predictions)
    monkeypatch.setattr(module, "MOST_ROWS", 450)
    found = label_scores(y, predictions)
    ranks = rankdata(found), rankdata(expected)
    assert np.corrcoef(*ranks)[0, 1] > 0.99  # Spearman
    worst = [set(np.argsort(scores)[:60]) for scores in (found, expected)]
    assert len(worst[0] & worst[1]) >= 52
    assert np.array_equal(found, label_scores(y, predictions))  # the seed is fixed
