"""What `jaxreg predict` says of its predictions; tests/test_commands.py runs the command."""

import datetime
import decimal
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import mean_absolute_error, r2_score

from jaxreg.errors import InputError
from jaxreg.new_source import refuse_source
from jaxreg.predict import target_text
from jaxreg.prediction_table import write_table
from jaxreg.sources import open_source

PREDICTED = [1.25, None, 3.5, 2.0, -4.0]


def text(target: pa.Array | None, predicted: pa.Array | None = None) -> str:
    columns = {"prediction.angle": pa.array(PREDICTED) if predicted is None else predicted}
    if target is not None:
        columns["target.angle"] = target
    return target_text("angle", pa.table(columns))


def test_the_range_and_the_median_of_the_predictions_are_told() -> None:
    # by hand: -4, 1.25, 2, 3.5 are predicted
    assert text(None) == "angle: -4 to 3.5, median 1.625"
    assert text(pa.nulls(5, pa.float64())) == "angle: -4 to 3.5, median 1.625"
    assert text(None, pa.nulls(5, pa.float64())) == ""
    assert text(None, pa.array([None, 2.5, None, None, None])) == "angle: 2.5"


@pytest.mark.parametrize(
    "kind", [pa.float64(), pa.float32(), pa.int16(), pa.decimal128(5, 1)], ids=str
)
def test_predictions_are_scored_where_the_source_has_numbers(kind: pa.DataType) -> None:
    numbers = pa.array([1.0, 7.0, None, 3.0, -2.0]).cast(pa.float64()).cast(kind)
    true, predicted = [1.0, 3.0, -2.0], [1.25, 2.0, -4.0]  # the rows that have both
    mae, r2 = mean_absolute_error(true, predicted), r2_score(true, predicted)
    expected = f"; MAE {mae:.3g}, R² {r2:.3g} on the 3 rows that have a number"
    assert text(numbers).endswith(expected)


def test_scores_are_of_float64() -> None:
    """A northing of 5.4 million ± 0.3, of which float32 keeps half metres."""
    true = 5_400_000 + np.array([0.1, 0.2, 0.3, 0.4, 0.6])
    predicted = pa.array(true + 0.01)
    assert "MAE 0.01, " in text(pa.array(true), predicted)
    assert "5400000.11 to 5400000.61" in text(pa.array(true), predicted)


def test_one_row_has_no_r2_and_text_is_no_number() -> None:
    one = pa.array([1.0, None, None, None, None])
    assert text(one).endswith("; MAE 0.25 on the row that has a number")
    words = pa.array(["left", None, "2", "3", "4"])
    assert text(words).endswith("; not scored: the source has string there, not numbers")
    assert "inf" not in text(pa.array([np.inf, np.nan, 3.5, 2.0, -4.0]))


def test_the_source_is_never_the_output(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,y\na.png,1\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    examples = open_source(tmp_path / "a.csv")
    for out in ("a.csv", "link.csv"):
        with pytest.raises(InputError, match=r"is the source itself[\s\S]*-predictions\.csv"):
            refuse_source(tmp_path / out, str(tmp_path / "a.csv"), examples)
    refuse_source(tmp_path / "b.csv", str(tmp_path / "a.csv"), examples)


def test_lines_of_json_hold_what_json_can(tmp_path: Path) -> None:
    day = datetime.date(2026, 1, 2)
    values = {"a": [math.inf, 1.5], "b": [decimal.Decimal("1.50"), None], "c": [day, day]}
    write_table(tmp_path / "t.jsonl", pa.table(values))
    strict = [
        json.loads(line, parse_constant=pytest.fail)
        for line in (tmp_path / "t.jsonl").read_text().splitlines()
    ]
    assert strict == [
        {"a": None, "b": "1.50", "c": "2026-01-02"},
        {"a": 1.5, "b": None, "c": "2026-01-02"},
    ]
