"""The verdict of a run with very few rows, and the commands that it gives."""

from pathlib import Path

import pyarrow as pa
import pytest

from planted_runs import edit_dataset, run_quick


def first_rows(planted: Path, rows: int) -> None:
    edit_dataset(planted, table=lambda dataset: dataset.table.slice(0, rows))


@pytest.mark.parametrize("rows", [2, 3, 5, 20])
def test_few_consecutive_frames_have_a_verdict(planted: Path, rows: int) -> None:
    first_rows(planted, rows)
    run = run_quick(planted, split="tail", epochs=3)
    assert run.summary["rows"]["validation"] == max(1, rows // 5)
    codes = {finding["code"] for finding in run.summary["verdict"]["findings"]}
    if rows <= 5:  # one validation row has no std, and any order of it is the best one
        assert not codes & {"stuck-at-median", "labels-unrelated"}


@pytest.mark.parametrize(
    ("rows", "sequential", "known"),
    [(3, False, False), (4, False, True), (20, True, False), (21, True, True)],
)
def test_chance_is_asked_only_where_enough_orders_differ(
    rows: int, sequential: bool, known: bool
) -> None:
    """4 rows have 24 orders, and 21 frames 20 rotations: the best has a chance of 5% or less."""
    from jaxreg.verdict.checks.label_signal import _can_tell

    assert _can_tell(rows, in_time=sequential) is known


def test_random_weights_have_the_whole_command_as_their_remedy(planted: Path) -> None:
    findings = run_quick(planted, epochs=1).summary["verdict"]["findings"]
    [note] = [finding for finding in findings if finding["code"] == "random-weights"]
    assert note["remedy"] == (
        f"jaxreg extract planted.csv --name planted --cache {planted} --weights imagenet"
    )


def test_a_remedy_that_diagnoses_names_the_cache(planted: Path) -> None:
    def mixed(dataset) -> pa.Table:
        table = dataset.table
        angle = pa.array(table["angle"].to_numpy()[::-1].copy())
        return table.set_column(table.column_names.index("angle"), "angle", angle)

    edit_dataset(planted, table=mixed, sequential=False)
    findings = run_quick(planted, split="hash").summary["verdict"]["findings"]
    [found] = [finding for finding in findings if finding["code"] == "labels-unrelated"]
    assert found["remedy"].endswith(f"jaxreg diagnose planted --cache {planted}")
