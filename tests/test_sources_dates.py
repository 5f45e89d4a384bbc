"""What orders rows: numbers, dates and clock times; a note where the text decides."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jaxreg.errors import InputError
from jaxreg.sources import SourceOptions, open_source
from jaxreg.sources.text_order import text_ranks
from tables import csv, parquet, png


@pytest.mark.parametrize(
    "names",
    [
        ["01/12/2024", "02/01/2024", "03/05/2024"],
        ["01-12-2024", "02-01-2024"],
        ["01/12/24", "02/01/24"],
        ["31/12/24", "01/01/25"],  # or in 2031 and 2001
        ["01/12/2024 9:30", "02/01/2024"],
    ],
)
def test_dates_of_two_meanings_are_refused_where_the_orders_differ(names: list[str]) -> None:
    with pytest.raises(InputError, match="day or the month first"):
        text_ranks(names)


@pytest.mark.parametrize(
    "in_order",
    [
        ["01/12/2024", "02/01/2024", "03/15/2024"],
        ["31/01/2024", "01/02/2024"],
        ["01/01/2024", "02/02/2024"],  # both readings agree
        ["31.12.24", "01.01.25"],
        ["1/1/24", "2/2/24"],
        ["2 Jan 2024", "10 Jan 2024", "1 Feb 2024"],
        ["2-Jan-24", "10-Jan-24", "1-Feb-24"],
        ["Jan 5, 2024", "Feb 1, 2024", "March 1, 2024 9:30", "March 1, 2024 10:30"],
        ["January", "February", "March", "September"],
        ["Feb 29", "Mar 1", "Sept 30"],
        ["Jan 2023", "Dec 2023", "Feb 2024"],
        ["Tue, 2 Jan 2024", "Mon, 1 Apr 2024"],
        ["12/2023", "01/2024"],
        ["9:30", "9:30:15", "9:30:15.25", "9:30:15.5", "10:30"],
        ["9:59:59,999", "10:00:00,000"],
        ["12:05 AM", "9:30 AM", "12:05 PM", "1:00 PM"],
        ["9 am", "1 pm"],
        ["9:30", "23:59:59", "24:00:00", "99:00:00"],
        ["31/12/2024", "31/12/2024 23:10", "01/01/2025"],
        ["2024-01-02T09:30:00Z", "2024-01-02T10:30:00+00:30", "2024-01-02 10:30"],
        ["28/Feb/2024:23:59:59 +0000", "01/Mar/2024:00:00:01 +0000"],
        ["-2", "-1.5", "-1.25", "0", "1.25", "1.5", "1e1", "20"],
        ["20000000000000000001", "20000000000000000002.5"],
        ["frame_2", "frame_10"],
        ["1_9", "1_10", "2_1"],  # two numbers, not one
        ["a", "b"],
        ["5" * 5000, "6" * 5000, "1" * 5001],
    ],
)
def test_text_is_in_the_order_of_what_it_means(in_order: list[str]) -> None:
    ranks, note = text_ranks(in_order[::-1])
    assert ranks.tolist() == list(range(len(in_order)))[::-1]
    assert note == ""


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["9:30", "10:30", "noon"], ["'noon' in row 2", "as '9:30' in row 0"]),
        (["01/02/2024", "31/01/2024", "2024-02-05"], ["'2024-02-05' in row 2"]),
        (["31/01/2024", "01/02/2024", "?"], ["'?' in row 2", "'01/02/2024' comes before '31/01"]),
        (["1.5", "1.25", "n/a", "1.75"], ["'n/a' in row 2", "'1.5' comes before '1.25'"]),
        (["3 Jan 2024", "1 Feb 2024", "30 Feb 2024"], ["'30 Feb 2024' in row 2"]),
        (["9:30", "9:61", "10:30"], ["'9:61' in row 1"]),
        (["1", "2", "III", "10"], ["'III' in row 2", "'10' comes before 'III'"]),
    ],
)
def test_a_value_unlike_the_others_is_named(names: list[str], words: list[str]) -> None:
    note = text_ranks(names)[1]
    assert [word for word in words if word not in note] == []


def test_one_of_five_hundred_is_named_with_its_row_in_the_table(tmp_path) -> None:
    times = [f"{hour}:{minute:02d}" for hour in range(10, 20) for minute in range(50)]
    times[1] = ""  # this row is left out
    times[321] = "lunch"
    text = "".join(f"{row}.png,{time}\n" for row, time in enumerate(times))
    table = csv(tmp_path, "image,time\n" + text)
    notes = " ".join(open_source(table, SourceOptions(order_column="time")).notes)
    assert "--order-column time: 'lunch' in row 321" in notes
    fine = csv(tmp_path, "image,time\n" + text.replace("lunch", "16:21"))
    notes = " ".join(open_source(fine, SourceOptions(order_column="time")).notes)
    assert "--order-column" not in notes


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["10:30", "9:30"]),
        pa.array(["10:30", "9:30"]).dictionary_encode(),
        pa.array(["1.5", "1.25"], pa.large_string()),
        pa.array([20, 3], pa.time32("s")),
        pa.array([20, 3], pa.time64("us")),
        pa.array([20, 3], pa.timestamp("ms", "UTC")),
        pa.array([20, 3], pa.date32()),
        pa.array([86_400_000, 0], pa.date64()),
        pa.array([20, 3], pa.duration("s")),
        pa.array([2**64 - 1, 2**64 - 2], pa.uint64()),
        pa.array([0.5, -0.5], pa.float16()),
        pa.array([True, False]),
    ],
)
def test_columns_of_parquet_order_rows(tmp_path, values: pa.Array) -> None:
    file = parquet(tmp_path, {"image": ["a.png", "b.png"], "when": values})
    order = open_source(file, SourceOptions(order_column="when")).order
    assert order is not None
    assert np.argsort(order).tolist() == [1, 0]


@pytest.mark.parametrize("spec", ["", "*.png"])
def test_folders_and_globs_are_in_natural_order(tmp_path, spec: str) -> None:
    names = ["frame_2.png", "frame_10.png", "frame_100.png"]
    for name in names:
        (tmp_path / name).write_bytes(png(1))
    assert list(open_source(str(tmp_path / spec)).ids) == names


def test_rows_that_are_not_in_the_order_of_their_frames_are_a_note(tmp_path) -> None:
    def said(text: str, **options: Any) -> list[str]:
        table = csv(tmp_path, "image,drive,frame\n" + text)
        return [n for n in open_source(table, SourceOptions(**options)).notes if "order" in n]

    shuffled = "a.png,x,1\nb.png,x,10\n,x,11\nd.png,x,9\n"
    assert "row 3 (from 0) has 9 after 10" in said(shuffled)[0]
    assert said(shuffled, order_column="frame") == []
    drives = "a.png,x,1\nb.png,x,2\nc.png,y,1\nd.png,y,2\n"
    assert said(drives, group_column="drive") == []
    assert "--group-column" in said(drives)[0]
    assert said("a.png,x,01/02/2024\nb.png,x,02/01/2024\n") == []  # nobody asked for an order
