"""Rows that are left out together: the split's own blocks with their gap, its groups, or none."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jaxreg.splits import split_rows
from jaxreg.splits import units as module
from jaxreg.splits.units import training_units

ROWS = 200


def rows_of(**changed: Any) -> dict[str, Any]:
    """Two sequences of 120 and 80 frames, in a shuffled order."""
    group = np.repeat(["a", "b"], [120, 80])
    order = np.r_[np.arange(120), np.arange(80)]
    place = np.random.default_rng(0).permutation(ROWS)
    table = pa.table({"driver": [f"d{i}" for i in order[place] % 7]})
    told = {"order": order[place], "group": list(group[place]), "columns": table, "gap": 0.02}
    return told | {"sequential": True} | changed


def training(kind: str, told: dict[str, Any]) -> np.ndarray:
    names = [str(i) for i in range(ROWS)]
    split = split_rows(
        kind, digests=names, ids=names, validation=0.2, test=0.0, seed=0,
        **{name: told[name] for name in ("order", "group", "columns", "gap")},
    )  # fmt: skip
    return np.flatnonzero(split.labels == "train")


def test_units_are_the_blocks_that_the_split_did_not_hold_out() -> None:
    told = rows_of()
    rows = training("blocks:10", told)
    units = training_units("blocks:10", rows, **told)
    assert units is not None
    assert len(units) == 16  # 8 of each sequence's 10
    judged = np.concatenate([unit.rows[unit.scored] for unit in units])
    assert sorted(judged) == list(range(len(rows)))  # each row once
    group, order = np.array(told["group"])[rows], told["order"][rows]
    for unit in units:
        scored = unit.rows[unit.scored]
        assert len(set(group[unit.rows])) == 1
        first, last = order[scored].min(), order[scored].max()
        reach = {"a": 3, "b": 2}[group[scored[0]]]  # ceil(0.02 × moments)
        near = (group == group[scored[0]]) & (order >= first - reach) & (order <= last + reach)
        # a block's edge may have gone to the gap of a held-out one: then less lies beside it
        assert set(unit.rows) <= set(np.flatnonzero(near))
        inside = near & (order >= first) & (order <= last)
        assert set(scored) == set(np.flatnonzero(inside))
        others = set(unit.rows) - set(scored)
        assert others <= set(np.flatnonzero(near & ~inside))
        assert all(order[row] < first or order[row] > last for row in others)


def test_long_blocks_are_judged_in_pieces_and_many_at_even_distances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LONGEST", 5)
    told = rows_of()
    rows = training("blocks:4", told)
    units = training_units("blocks:4", rows, **told)
    assert units is not None
    assert max(int(unit.scored.sum()) for unit in units) == 5
    assert sorted(np.concatenate([u.rows[u.scored] for u in units])) == list(range(len(rows)))
    monkeypatch.setattr(module, "MOST", sum(len(unit.rows) ** 2 for unit in units) // 3)
    fewer = module.some_of(units)
    assert fewer is not None
    assert len(units) // 5 < len(fewer) <= len(units) // 3
    monkeypatch.setattr(module, "MOST", 10)  # not even two
    assert module.some_of(units) is None


def test_groups_are_left_out_whole_and_images_alone() -> None:
    told = rows_of()
    rows = training("group:driver", told)
    units = training_units("group:driver", rows, **told)
    assert units is not None
    drivers = np.array(told["columns"]["driver"].to_pylist())[rows]
    assert len(units) == len(set(drivers))
    for unit in units:
        assert unit.scored.all()
        assert set(unit.rows) == set(np.flatnonzero(drivers == drivers[unit.rows[0]]))
    assert training_units("hash", rows, **told) is None
    assert training_units("tail", rows, **rows_of(sequential=False)) is None
    assert training_units("tail", rows, **told) is not None


def test_the_gap_is_left_out_and_not_judged() -> None:
    told = rows_of(group=None, order=np.arange(ROWS), gap=0.05)
    units = training_units("blocks:10", np.arange(ROWS), **told)
    assert units is not None
    middle = units[4]
    np.testing.assert_array_equal(middle.rows, np.arange(70, 110))  # ten on each side
    np.testing.assert_array_equal(middle.rows[middle.scored], np.arange(80, 100))
    assert units[0].rows[0] == 0  # nothing before the first
