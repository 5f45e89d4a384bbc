"""The catalogue of planted faults, and runs with nothing wrong.

`python -m faults.scoring` (with `PYTHONPATH=src:tests`) prints the table of the slow test.
"""

import numpy as np
import pytest

from faults.healthy import HEALTHY, healthy
from faults.kinds import KINDS, Kind
from faults.made import HELD_OUT, TUNING, Made, train
from faults.scoring import SEEDS, STRENGTHS, Outcome, outcome, outcomes, table
from jaxreg.arguments import parse
from jaxreg.config_io import fields_of, from_json
from jaxreg.train import TrainArguments
from jaxreg.train_config import TrainConfig
from jaxreg.verdict.judge import judge
from jaxreg.verdict.observation import Observed

SEED = SEEDS["held-out"][0]
QUICK = (
    "rate-high", "rate-low", "features-vanish", "black-images", "target-tiny",
    "targets-with-outliers", "labels-shuffled", "another-camera", "min-delta-large",
    "angle-in-degrees", "share-cut-at-its-bounds",
    "target-is-linear", "images-far-out", "side-column-is-a-code-of-the-target",
)  # fmt: skip
HIDES_ALL = {  # at every strength
    "labels-of-another-drive", "black-images", "images-almost-black", "target-constant",
    "copies-across-the-split", "relu-dead-from-the-start", "question",
}  # fmt: skip


def test_there_are_enough_kinds_and_a_cause_for_each() -> None:
    assert len(KINDS) >= 24


@pytest.mark.parametrize("name", QUICK)
def test_the_planted_cause_is_named_first(name: str) -> None:
    one = outcome(KINDS[name], 2, SEED, HELD_OUT)
    assert one.codes[0] == KINDS[name].cause, one.headline


def test_the_programs_two_faults_are_both_named() -> None:
    one = outcome(KINDS["question"], 1, SEED, HELD_OUT)  # relu, and a rate of 0.1
    assert {"output-bounded", "learning-rate-high"} <= set(one.codes[:2]), one.codes


@pytest.mark.parametrize(
    "name",
    [
        "photos",
        "mostly zero",
        "uniform target",
        "clipped steering",
        "side columns",
    ],
)
def test_nothing_is_found_where_nothing_is_wrong(name: str) -> None:
    _assert_healthy(healthy(name, TUNING, 100))


@pytest.mark.parametrize(
    "name", ["angle as circular", "counts", "share as bounded", "uniform target"]
)
def test_no_type_is_suggested_where_none_is_missing(name: str) -> None:
    verdict = judge(train(healthy(name, TUNING, 100)))
    codes = {finding["code"] for finding in verdict["findings"]}
    assert verdict["healthy"], verdict["headline"]
    assert not codes & {"targets-at-both-ends", "targets-at-bound", "predictions-out-of-range"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS["held-out"])
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_runs_of_many_kinds(name: str, seed: int) -> None:
    _assert_healthy(healthy(name, HELD_OUT, seed))


@pytest.mark.slow
def test_the_whole_catalogue() -> None:
    # nothing is asked of a fault at its weakest, unless it hides all there is to learn
    def strengths(kind: Kind) -> range:
        return range(0 if kind.name in HIDES_ALL else 1, STRENGTHS)

    results = list(outcomes("held-out", strengths=strengths))
    print("\n" + table(results))
    great = [one for one in results if one.strength]
    assert np.mean([one.first for one in great]) >= 0.9
    called_healthy = [one for one in results if one.healthy and cannot_learn(one)]
    assert not called_healthy, [(one.kind.name, one.strength, one.seed) for one in called_healthy]


def cannot_learn(one: Outcome) -> bool:
    """Whether, by what was planted, there is nothing that could be learned, or no way to do so."""
    strongest = {"labels-shuffled", "labels-out-of-step", "frames-of-a-video-shuffled", "rate-high",
                 "rate-high-on-video", "rate-low", "features-overflow"}  # fmt: skip
    return one.kind.name in HIDES_ALL or (one.kind.name in strongest and one.strength == 2)


def _assert_healthy(made: Made) -> None:
    """No error, and each warning's remedy helps."""
    obs = train(made)
    verdict = judge(obs)
    assert verdict["healthy"], verdict["headline"]
    for finding in verdict["findings"]:
        if finding["severity"] == "warning":
            assert _follow(made, finding["remedy"]) < _error(obs), finding


def _follow(made: Made, remedy: str) -> float:
    """The error with the settings of a remedy."""
    words = remedy.split()
    assert words[:2] == ["jaxreg", "train"], remedy
    _, given = parse("train", TrainArguments, [TrainConfig], words[2:])
    settings = fields_of(TrainConfig, from_json(TrainConfig, given))
    assert settings["split"] == made.config.split, remedy  # another split is another experiment
    return _error(train(made.set(**settings)))


def _error(obs: Observed) -> float:
    """The MAE over the median predictor's, mean over the targets; infinite if one diverged."""
    errors = [np.inf if one.mae is None else one.mae for one in obs.each]
    return float(np.mean([e / one.median_mae for e, one in zip(errors, obs.each, strict=True)]))
