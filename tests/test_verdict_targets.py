"""The verdict of a run with several targets: each has its own errors, units and findings."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error

from faults.made import TUNING, photos, train
from jaxreg.verdict.finding import Compared, Finding
from jaxreg.verdict.headline import headline
from jaxreg.verdict.judge import conclude, find, judge, verdict_of_one
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.short_training import FACTORS, Probe
from jaxreg.verdict.small_ridge import small_ridge


@pytest.fixture(scope="module")
def both() -> Observed:
    """A run that learns `angle`; `noise`, in units a thousand times as large, cannot be learned."""
    made = photos(TUNING, 100)
    noise = 1000 * np.random.default_rng(0).normal(size=made.y.shape).astype(np.float32)
    y = np.concatenate([made.y, noise], axis=1)
    return train(made.but(y=y, targets=("angle", "noise")))


def test_a_gain_that_may_be_chance_is_not_called_no_learning() -> None:
    """`speed` is 79% below the median predictor, but on two drives; the error is about another."""
    compared = {
        "steering": Compared(0.45, 0.44, None, gain=-0.01, gain_error=0.002),
        "speed": Compared(0.08, 0.36, None, gain=0.28, gain_error=0.18),
    }
    error = Finding("stuck-at-median", "error", "…", "…", {}, targets=("steering",))
    healthy = dict.fromkeys(compared, False)
    found = headline(compared, healthy, error, {"steering"})
    assert found.title == "not learning steering, not clearly learning speed"
    assert found.line.startswith(f"{found.title}: steering MAE 0.45, 2% above the median")


def test_a_target_that_is_not_learned_does_not_hide_behind_one_that_is(both: Observed) -> None:
    verdict = verdict_of_one(both)
    assert verdict.healthy == {"angle": True, "noise": False}
    assert not verdict.to_json()["healthy"]
    assert verdict.headline.line.startswith("not learning noise: ")
    assert verdict.headline.title == "not learning noise"
    rows = both.validation
    for number, name in enumerate(both.targets):
        y, predictions = both.y[rows, number], both.predictions[rows, number]
        usual = np.full(len(rows), np.median(both.y[both.train, number]))
        mae, median = mean_absolute_error(y, predictions), mean_absolute_error(y, usual)
        assert f"{name} MAE {mae:.3g}, " in verdict.headline.line
        assert f"the median predictor ({median:.3g})" in verdict.headline.line
    [error] = [finding for finding in verdict.findings if finding.severity == "error"]
    assert (error.code, error.targets) == ("labels-unrelated", ("noise",))
    assert error.evidence.startswith("for noise, a ridge reaches")


def test_the_unit_of_one_target_changes_no_word_about_the_other(both: Observed) -> None:
    y, predictions = both.y.copy(), both.predictions.copy()
    y[:, 1] *= 1e6
    predictions[:, 1] *= 1e6
    ridge = None if both.ridge is None else both.ridge * [1, 1e6]
    other = replace(both, y=y, predictions=predictions, ridge=ridge)
    assert verdict_of_one(other).healthy == verdict_of_one(both).healthy
    assert other.each[0].compared == both.each[0].compared
    np.testing.assert_allclose(other.errors, both.errors, rtol=1e-6)


def test_errors_of_several_targets_are_not_averaged(both: Observed) -> None:
    for name in ("mae", "train_mae", "median_mae", "ridge_mae", "gain", "compared"):
        with pytest.raises(ValueError, match="2 targets: errors of several have no common unit"):
            getattr(both, name)
    assert both.each[1].whole is both
    assert both.each[1].standard is both.standard


def test_one_target_is_judged_as_if_the_other_were_not_there(both: Observed) -> None:
    alone, train = replace(both.each[1], whole=None), both.sample_train
    asked = both.x[both.sample_validation]
    ridge = small_ridge(both.x[train], both.sample_y[train, 1:], asked)
    np.testing.assert_allclose(both.each[1].sample_ridge, ridge, rtol=1e-4, atol=1e-2)
    alone.__dict__["probe"] = None
    [finding] = [f for f in judge(alone)["findings"] if f["severity"] == "error"]
    assert finding["code"] == "labels-unrelated"
    assert "targets" not in finding


GOOD = Compared(mae=0.1, median_mae=0.4, ridge_mae=None, gain=0.3, gain_error=0.01)
BAD = Compared(mae=60.0, median_mae=50.0, ridge_mae=52.0, gain=-10.0, gain_error=1.0)
CLOSE = Compared(mae=4.9, median_mae=5.0, ridge_mae=None, gain=0.1, gain_error=0.2)


def headline_of(both: Observed, compared: dict[str, Compared], *findings: Finding, **settings):
    return _conclude(both, compared, findings, **settings).headline.line


def _conclude(both: Observed, compared: dict[str, Compared], findings: Sequence[Finding], **s):
    return conclude(compared, findings, replace(both, config=replace(both.config, **s)))


def test_the_headline_names_every_target_that_is_not_healthy(both: Observed) -> None:
    assert headline_of(both, {"a": GOOD, "b": GOOD}) == (
        "learning: a MAE 0.1, 75% below the median predictor (0.4); "
        "b MAE 0.1, 75% below the median predictor (0.4)"
    )
    assert headline_of(both, {"a": GOOD, "b": BAD}) == (
        "not learning: b MAE 60, 20% above the median predictor (50), ridge reaches 52. "
        "Learning: a MAE 0.1, 75% below the median predictor (0.4)"
    )
    many = {f"bad{i}": BAD for i in range(9)} | {f"good{i}": GOOD for i in range(9)}
    numbered = headline_of(both, many)
    assert [f"{name} MAE" in numbered for name in many] == [True] * 15 + [False] * 3
    assert numbered.endswith("; and 3 more")


def test_chance_asks_for_folds_only_where_there_are_none(both: Observed) -> None:
    found = _conclude(both, {"a": CLOSE}, [])
    assert found.headline.line == (
        "not clearly learning: MAE 4.9, 2% below the median predictor (5); this difference may be "
        "chance (0.1 ± 0.2)"
    )
    assert (
        found.headline.title == "not clearly learning: MAE 4.9, 2% below the median predictor (5)"
    )
    assert "may be chance (0.1 ± 0.2)" in found.headline.text
    assert found.remedy.startswith("jaxreg train made ")
    assert "--folds 5" in found.remedy
    folded = _conclude(both, {"a": CLOSE}, [], folds=3).remedy
    assert folded == f"add more images, then: {both.extract}"
    # `train` refuses folds of a tail, and folds beside test rows
    tail = _conclude(both, {"a": CLOSE}, [], split="tail", test=0.1).remedy
    assert "--split blocks" in tail
    assert "--folds 5" in tail
    # and more folds than units, or fewer than 3: one part trains and one is watched
    few = replace(both, units=4)
    assert "--folds 4" in conclude({"a": CLOSE}, [], few).remedy
    assert "--folds" not in conclude({"a": CLOSE}, [], replace(both, units=2)).remedy
    assert _conclude(both, {"a": GOOD}, []).remedy == ""


def test_the_title_is_short_and_says_what_learns(both: Observed) -> None:
    found = _conclude(both, {"a": GOOD, "b": BAD, "c": CLOSE, "d": GOOD}, []).headline
    assert found.title == "not learning b; not clearly learning c; learning a, d"
    # by hand: 0.1 of 0.4, 60 of 50, 4.9 of 5
    assert found.text == (
        "the MAE of each target: b 20% above the median predictor; c 2% below the median "
        "predictor; a 75% below the median predictor; d 75% below the median predictor. "
        "The difference to the median predictor may be chance (c 0.1 ± 0.2)"
    )
    many = {f"good{i}": GOOD for i in range(9)}
    title = _conclude(both, many, []).headline.title
    assert title == f"learning {', '.join(f'good{i}' for i in range(6))} and 3 more"


def test_a_finding_about_one_target_leaves_the_others_healthy(both: Observed) -> None:
    about_a = Finding("output-bounded", "error", "the output relu is 0", "", targets=("a",))
    found = _conclude(both, {"a": GOOD, "b": GOOD}, [about_a])
    assert found.healthy == {"a": False, "b": True}
    assert found.headline.title == "learning, but held back in a"
    assert found.headline.line.startswith("learning, but held back in a: a MAE 0.1")
    assert found.headline.text == "the output relu is 0"
    about_all = replace(about_a, targets=())
    found = _conclude(both, {"a": GOOD, "b": BAD}, [about_all])
    assert found.healthy == {"a": False, "b": False}
    assert found.headline.title == "not learning b, held back in a"


def test_what_is_the_same_for_all_targets_is_said_once(both: Observed) -> None:
    each = [Finding("overfit", "note", "the loss rises", "", targets=(name,)) for name in "ab"]
    [finding] = _conclude(both, {"a": GOOD, "b": GOOD}, each).findings
    assert (finding.evidence, finding.targets) == ("the loss rises", ())
    three = {"a": GOOD, "b": GOOD, "c": GOOD}
    [finding] = _conclude(both, three, each).findings
    assert finding.evidence == "for a, b, the loss rises"


def test_a_symptom_is_removed_by_what_removes_its_cause(both: Observed) -> None:
    relu = replace(both.each[0].config, output_activation="relu")
    still = np.zeros_like(both.predictions[:, :1])
    obs = replace(both.each[0], whole=None, config=relu, predictions=still)
    obs.__dict__.update(gain=0.0, mae=0.4, probe=None, ridge_mae=None, train_mae=0.4)
    findings = {finding["code"]: finding for finding in judge(obs)["findings"]}
    assert findings["stuck-at-median"]["remedy"] == findings["output-bounded"]["remedy"]
    assert findings["stuck-at-median"]["remedy"].startswith("jaxreg train made")


def test_a_constant_target_is_left_out_by_the_remedy(both: Observed) -> None:
    y = both.y.copy()
    y[:, 1] = 3
    obs = replace(both, y=y)
    obs.__dict__["probe"] = None
    verdict = judge(obs)
    found = {finding["code"]: finding for finding in verdict["findings"]}
    assert "labels-unrelated" not in found
    assert found["target-constant"]["evidence"] == (
        f"for noise, the target is 3 for all {len(obs.train)} training rows"
    )
    assert found["target-constant"]["remedy"].endswith(" --target angle")
    assert verdict["title"] == "not learning noise"
    assert verdict["text"].startswith("the target is 3 for all")
    assert verdict["remedy"] == found["target-constant"]["remedy"]
    y[:, 0] = 0
    found = {finding["code"]: finding for finding in judge(replace(obs, y=y))["findings"]}
    assert found["target-constant"]["remedy"] == "jaxreg train made --target COLUMN"


def test_a_rate_is_no_error_of_a_target_that_it_does_not_help(both: Observed) -> None:
    """Few small steps: more of them help `angle`, and nothing helps `noise`."""
    rates = np.array(FACTORS)
    loss = np.where(rates == 10, 0.05, 0.2)
    maes = np.where(rates[:, None] == 10, [0.1, 1000.0], [0.6, 1000.0])
    probe = Probe(loss, np.ones(7), np.zeros(7), 0.2, maes, np.array([0.6, 1000.0]))
    severities = {}
    for name, learned in [("angle", ("noise",)), ("noise", ("angle",))]:
        obs = replace(both)
        obs.__dict__["probe"] = probe
        for one in obs.each:
            one.__dict__["compared"] = GOOD if one.targets[0] in learned else BAD
        found = {finding.code: finding for finding in find(obs)}
        severities[name] = found["learning-rate-low"].severity, found["learning-rate-low"].targets
    assert severities == {"angle": ("error", ("angle",)), "noise": ("warning", ())}
