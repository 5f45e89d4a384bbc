"""The units of rows: blocks and groups, and the column `unit` of predictions.parquet.

The dataset `planted` has 240 consecutive frames in two sequences of 120, `a` and `b`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from planted_runs import edit_dataset, run_quick, with_column


def rows_of(planted: Path, **options) -> Any:  # a DataFrame, whose types pandas says loosely
    run = run_quick(planted, **{"head": "ridge", "run": f"r{len(options)}", **options})
    return run.predictions.to_pandas()


@pytest.mark.parametrize("options", [{}, {"folds": 3}, {"target": ("gaps",)}], ids=str)
def test_a_unit_is_a_block_that_the_split_holds_out_whole(planted: Path, options: dict) -> None:
    table = rows_of(planted, split="blocks:6", **options)
    target = "target.gaps" if "target" in options else "target.angle"
    has = table[table[target].notna()]
    assert table[table[target].isna()]["unit"].isna().all()
    # by hand: np.array_split of each sequence
    for sequence, own in has.groupby(has.index // 120):
        parts = np.array_split(own["unit"].to_numpy(), 6)
        names = [f"{'ab'[int(sequence)]} block {number}" for number in range(1, 7)]
        assert [set(part) for part in parts] == [{name} for name in names]
    held_out = has["fold"] if "folds" in options else has["split"] == "validation"
    assert (held_out.groupby(has["unit"]).nunique() == 1).all()


def test_a_single_sequence_has_no_name(planted: Path) -> None:
    edit_dataset(planted, table=lambda known: known.table.drop_columns("group").slice(0, 60))
    assert sorted(set(rows_of(planted)["unit"])) == sorted(f"block {n}" for n in range(1, 11))


def test_units_are_numbered_by_time_not_by_their_place(planted: Path) -> None:
    def back(known) -> pa.Table:
        table = known.table.drop_columns("group")
        return with_column(table, "order", pa.array(range(240)[::-1], pa.int64()))

    edit_dataset(planted, table=back)
    assert rows_of(planted)["unit"].iloc[-1] == "block 1"


def test_a_unit_is_a_group_by_its_own_name(planted: Path) -> None:
    frames = pa.array([f"place {row % 12}" for row in range(240)])
    edit_dataset(planted, table=lambda known: with_column(known.table, "mixed", frames))
    table = rows_of(planted, split="group:mixed")
    assert table["unit"].tolist() == frames.to_pylist()
    assert (table.groupby("unit")["split"].nunique() == 1).all()


def test_rows_alone_have_no_unit_but_that_of_their_dataset(planted: Path) -> None:
    assert rows_of(planted, split="hash")["unit"].nunique() == 20
    edit_dataset(planted, sequential=False)
    groups = rows_of(planted, split="hash", run="groups")["unit"]
    assert groups.tolist() == ["a"] * 120 + ["b"] * 120
    edit_dataset(planted, table=lambda known: known.table.drop_columns("group"))
    assert rows_of(planted, split="hash", run="alone")["unit"].isna().all()
