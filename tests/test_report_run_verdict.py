"""The verdict of a run of several trainings: which of them a finding names, and what it decides."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from jaxreg.experiment.members import Member
from jaxreg.report.run_verdict import Judged, join
from jaxreg.verdict.finding import Finding, Severity
from planted_runs import edit_dataset, run_quick

LEARNS = {"angle": True}


def judged(number: int, *severities: Severity, learns: bool = True) -> Judged:
    """The training of one fold, with one finding of each severity."""
    member = Member(number, 7, cast(Any, None), None)
    found = [Finding(severity, severity, f"seen in {number}", "") for severity in severities]
    return Judged(member, {"angle": learns}, found)


def five(*bad: Judged) -> list[Judged]:
    return [*bad, *(judged(number) for number in range(len(bad), 5))]


def test_an_error_of_one_fold_that_does_not_learn_is_a_warning_and_names_the_fold() -> None:
    [found] = join(five(judged(0), judged(1, "error", learns=False)), LEARNS)
    assert found.severity == "warning"
    assert found.evidence == "seen in 1 (1 of 5 trainings: fold 1 seed 7)"


@pytest.mark.parametrize(
    ("bad", "learns"),
    [
        ([judged(0, "error", learns=False)], False),  # the whole run does not learn
        ([judged(0, "error")], True),  # a score that cannot be believed
        ([judged(n, "error", learns=False) for n in range(3)], True),  # most of them
    ],
)  # fmt: skip
def test_other_errors_stay_and_name_their_folds(bad: list[Judged], learns: bool) -> None:
    [found] = join(five(*bad), {"angle": learns})
    assert found.severity == "error"
    for one in bad:
        assert f"fold {one.member.fold} seed 7" in found.evidence


def test_a_warning_needs_half_of_the_trainings() -> None:
    assert join(five(judged(0, "warning"), judged(1, "warning")), LEARNS) == []
    [found] = join([judged(n, "warning") for n in range(3)], LEARNS)
    numbers = "the numbers are those of fold 0 seed 7"
    assert found.evidence == f"seen in 0 (all 3 trainings; {numbers})"


def test_what_all_trainings_say_alike_is_said_as_it_is() -> None:
    same = Finding("random-weights", "note", "random weights", "")
    of_all = [Judged(judged(number).member, LEARNS, [same]) for number in range(3)]
    assert [found.evidence for found in join(of_all, LEARNS)] == ["random weights"]


def test_one_target_that_a_fold_does_not_learn_leaves_the_other_alone() -> None:
    """`speed` fails in one fold, and the pooled predictions learn both."""
    error = Finding("labels-unrelated", "error", "chance", "", targets=("speed",))
    learns = {"angle": True, "speed": True}
    bad = Judged(judged(0).member, {"angle": True, "speed": False}, [error])
    good = [Judged(judged(number).member, learns, []) for number in range(1, 5)]
    [found] = join([bad, *good], learns)
    assert (found.severity, found.targets) == ("warning", ("speed",))
    [found] = join([bad, *good], {"angle": True, "speed": False})
    assert found.severity == "error"


def test_one_bad_fold_of_five_is_named_and_a_run_that_learns_stays_healthy(planted: Path) -> None:
    photo = np.repeat(np.arange(5), [56, 56, 56, 16, 56])

    def changed(dataset) -> pa.Table:
        angle = dataset.table["angle"].to_numpy().copy()
        angle[photo == 3] = 3 - angle[photo == 3]
        at = dataset.table.column_names.index("angle")
        table = dataset.table.set_column(at, "angle", pa.array(angle))
        return table.append_column("photo", pa.array([f"IMG_{number}" for number in photo]))

    edit_dataset(planted, table=changed)
    run = run_quick(planted, head="ridge", folds=5, split="group:photo")
    verdict, maes = run.summary["verdict"], [m["metrics"]["mae"] for m in run.summary["members"]]
    fold = int(np.argmax(maes))
    assert maes[fold] > 5 * np.median(maes)
    assert run.summary["metrics"]["mae"] < 0.7 * run.summary["baselines"]["median"]["mae"]
    assert verdict["healthy"]
    [shift] = [found for found in verdict["findings"] if found["code"] == "validation-shift"]
    assert shift["severity"] == "warning"
    assert f"fold {fold}" in shift["evidence"]
    assert "--split" not in shift["remedy"]
