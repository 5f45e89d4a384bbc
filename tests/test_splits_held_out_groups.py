"""Rows that are left out together: the split's own blocks with their gap, its groups, or none."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jaxreg.splits import held_out_groups as module
from jaxreg.splits.held_out_groups import training_groups
from jaxreg.splits.split import split_rows

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


@pytest.mark.parametrize(("rows", "groups"), [(2, None), (3, None), (4, 4), (9, 9)])
def test_no_group_leaves_nothing_to_fit_on(rows: int, groups: int | None) -> None:
    """A frame with one beside it on each side is all of 3 frames, and 3 of 4."""
    told = {"order": np.arange(rows), "group": None, "columns": pa.table({}), "gap": 0.01}
    found = training_groups("tail", np.arange(rows), **told, sequential=True)
    assert (found if found is None else len(found)) == groups


def test_groups_are_the_blocks_that_the_split_did_not_hold_out() -> None:
    told = rows_of()
    rows = training("blocks:10", told)
    groups = training_groups("blocks:10", rows, **told)
    assert groups is not None
    assert len(groups) == 16  # 8 of each sequence's 10
    judged = np.concatenate([group.rows[group.scored] for group in groups])
    assert sorted(judged) == list(range(len(rows)))  # each row once
    sequence, order = np.array(told["group"])[rows], told["order"][rows]
    for group in groups:
        scored = group.rows[group.scored]
        assert len(set(sequence[group.rows])) == 1
        first, last = order[scored].min(), order[scored].max()
        reach = {"a": 3, "b": 2}[str(sequence[scored[0]])]  # ceil(0.02 × moments)
        near = (
            (sequence == sequence[scored[0]]) & (order >= first - reach) & (order <= last + reach)
        )
        # a block's edge may have gone to the gap of a held-out one: then less lies beside it
        assert set(group.rows) <= set(np.flatnonzero(near))
        inside = near & (order >= first) & (order <= last)
        assert set(scored) == set(np.flatnonzero(inside))
        others = set(group.rows) - set(scored)
        assert others <= set(np.flatnonzero(near & ~inside))
        assert all(order[row] < first or order[row] > last for row in others)


def test_long_blocks_are_judged_in_pieces_and_many_at_even_distances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LONGEST", 5)
    told = rows_of()
    rows = training("blocks:4", told)
    groups = training_groups("blocks:4", rows, **told)
    assert groups is not None
    assert max(int(group.scored.sum()) for group in groups) == 5
    assert sorted(np.concatenate([u.rows[u.scored] for u in groups])) == list(range(len(rows)))
    monkeypatch.setattr(module, "MOST", sum(len(group.rows) ** 2 for group in groups) // 3)
    fewer = module.some_of(groups)
    assert fewer is not None
    assert len(groups) // 5 < len(fewer) <= len(groups) // 3
    monkeypatch.setattr(module, "MOST", 10)  # not even two
    assert module.some_of(groups) is None


def test_groups_are_left_out_whole_and_images_alone() -> None:
    told = rows_of()
    rows = training("group:driver", told)
    groups = training_groups("group:driver", rows, **told)
    assert groups is not None
    drivers = np.array(told["columns"]["driver"].to_pylist())[rows]
    assert len(groups) == len(set(drivers))
    for group in groups:
        assert group.scored.all()
        assert set(group.rows) == set(np.flatnonzero(drivers == drivers[group.rows[0]]))
    assert training_groups("hash", rows, **told) is None
    assert training_groups("tail", rows, **rows_of(sequential=False)) is None
    assert training_groups("tail", rows, **told) is not None


def test_the_gap_is_left_out_and_not_judged() -> None:
    told = rows_of(group=None, order=np.arange(ROWS), gap=0.05)
    groups = training_groups("blocks:10", np.arange(ROWS), **told)
    assert groups is not None
    middle = groups[4]
    np.testing.assert_array_equal(middle.rows, np.arange(70, 110))  # ten on each side
    np.testing.assert_array_equal(middle.rows[middle.scored], np.arange(80, 100))
    assert groups[0].rows[0] == 0  # nothing before the first
