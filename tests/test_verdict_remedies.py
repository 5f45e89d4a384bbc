"""No remedy of the verdict weakens the split, whatever it is and whatever was found."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from faults.kinds import KINDS
from faults.made import TUNING, train
from jaxreg.verdict.catalogue import CAUSES
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed
from test_splits import assert_not_weaker

FAULTS = ("another-camera", "copies-across-the-split", "frames-of-a-video-shuffled")


@pytest.fixture(scope="module")
def faulty() -> dict[str, Observed]:
    """One run for each fault of the split."""
    found = {}
    for name in FAULTS:
        kind = KINDS[name]
        found[name] = train(kind.plant(kind.base(TUNING, 100), 2, np.random.default_rng(0)))
    return found


def evidence(fault: str, obs: Observed, **changes: Any) -> Evidence | None:
    """What the check of that fault says of the run, if its split were another one."""
    code = KINDS[fault].cause
    [check] = [cause.check for cause in CAUSES if cause.code == code]
    assert check is not None
    return check(dataclasses.replace(obs, **changes))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("split", ["tail", "hash", "blocks:10", "group:patient"])
def test_no_remedy_weakens_the_split(faulty: dict[str, Observed], fault: str, split: str) -> None:
    seen, found = faulty[fault], 0
    for sequential, groups, folds, units in itertools.product((0, 1), (1, 60), (None, 5), (2, 50)):
        evidenced = evidence(
            fault,
            seen,
            split=split,
            units=units,
            sequential=bool(sequential),
            sequence=np.arange(len(seen.y)) * groups // len(seen.y),
            config=dataclasses.replace(seen.config, folds=folds),
        )
        if evidenced is None:
            continue
        found += 1
        if isinstance(evidenced.remedy, str):
            assert "--" not in evidenced.remedy.replace("--group-column", "")
            continue
        assert set(evidenced.remedy) <= {"split", "folds"}
        assert_not_weaker(split, f"--split {evidenced.remedy.get('split', split)}")
        if "folds" in evidenced.remedy:
            assert folds is None
            assert evidenced.remedy["folds"] <= units
    assert found


@pytest.mark.parametrize(
    ("sequential", "groups", "where"),
    [(True, 60, "in time"), (False, 60, "of the same group"), (False, 1, "in the table")],
)
def test_neighbours_are_in_time_only_where_rows_are_a_sequence(
    faulty: dict[str, Observed], sequential: bool, groups: int, where: str
) -> None:
    fault = "frames-of-a-video-shuffled"
    seen = faulty[fault]
    sequence = np.arange(len(seen.y)) * groups // len(seen.y)
    order = np.arange(len(seen.y))
    found = evidence(fault, seen, sequential=sequential, sequence=sequence, order=order)
    assert found is not None
    assert f"% of the validation rows are next to a training row {where}, " in found.sentence
    assert ("time, " in found.sentence) == sequential


def test_a_shift_offers_folds_of_the_same_split(faulty: dict[str, Observed]) -> None:
    seen = faulty["another-camera"]
    config = dataclasses.replace(seen.config, split="group:patient", test=0.1)
    found = evidence("another-camera", seen, split="group:patient", units=4, config=config)
    assert found is not None
    # --folds excludes --test
    assert found.remedy == {"folds": 4, "test": 0.0}


def test_a_tail_that_is_unlike_the_rest_is_cured_by_blocks(faulty: dict[str, Observed]) -> None:
    found = evidence("another-camera", faulty["another-camera"], split="tail")
    assert found is not None
    assert found.remedy == {"split": "blocks"}
