"""A column that says on which side each row is, given as a column of groups."""

from typing import Any

import pyarrow as pa
import pytest

from jaxreg.errors import InputError
from jaxreg.splits.folds import split_folds
from jaxreg.splits.split import split_rows

TOLD: dict[str, Any] = {"order": None, "group": None, "validation": 0.2, "gap": 0.01, "seed": 0}


def table(**columns) -> dict[str, Any]:
    """The arguments of a split for a table with these columns."""
    rows = len(next(iter(columns.values())))
    ids = [f"r{i}" for i in range(rows)]
    return {**TOLD, "digests": ids, "ids": ids, "columns": pa.table(columns)}


@pytest.mark.parametrize(
    "values",
    [
        ["train", "val", "test"],
        ["Train", "Validation"],
        ["training", "dev"],
        ["train ", "holdout", None],
        ["train", "val", "unused"],
        ["train2017", "val2017"],
    ],
)
@pytest.mark.parametrize("kind", ["group:part", "part"])
def test_a_column_of_sides_is_no_column_of_groups(kind, values):
    given = table(part=values * 10)
    with pytest.raises(InputError, match="on which side each row is") as raised:
        split_rows(kind, test=0.1, **given)
    assert raised.value.remedy == "--split column:part"
    with pytest.raises(InputError, match="on which side each row is"):
        split_folds(2, kind, **given)


def test_the_groups_of_a_dataset_may_be_sides_too():
    given = table(y=[1.0] * 30)
    given["group"] = ["train", "test", "val"] * 10
    with pytest.raises(InputError, match=r"each row is .test, train, val."):
        split_rows("group:group", test=0.1, **given)


def test_a_flag_of_a_side_is_no_column_of_groups():
    with pytest.raises(InputError, match=r"each row is .false, true."):
        split_rows("group:is_valid", test=0.0, **table(is_valid=[True, False] * 10))
    split_rows("group:is_wet", test=0.0, **table(is_wet=[True, False] * 10))


@pytest.mark.parametrize("values", [["train", "tram", "bus"], ["test"] * 2 + ["a"], [1, 2, 3]])
def test_other_values_are_groups(values):
    given = table(part=values * 10)
    assert set(split_rows("group:part", test=0.0, **given).labels) == {"train", "validation"}


def test_a_column_alone_is_offered_as_groups():
    given = table(drive=list("abc") * 10)
    for kind, problem in [("drive", "no split"), ("column:drive", "no side: a, b, c")]:
        with pytest.raises(InputError, match=problem) as raised:
            split_rows(kind, test=0.0, **given)
        assert raised.value.remedy == "--split group:drive"
