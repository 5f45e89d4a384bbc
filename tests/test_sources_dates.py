"""Text that orders rows: dates that fit two readings are never ordered by a guess."""

import pytest

from jaxreg.errors import InputError
from jaxreg.sources.as_written import text_ranks


def test_dates_of_two_meanings_are_refused_where_the_orders_differ() -> None:
    with pytest.raises(InputError, match="day or the month first"):
        text_ranks(["01/12/2024", "02/01/2024", "03/05/2024"])
    with pytest.raises(InputError, match="day or the month first"):
        text_ranks(["01-12-2024", "02-01-2024"])


def test_dates_of_one_meaning_are_ordered_by_time() -> None:
    assert text_ranks(["01/12/2024", "02/01/2024", "03/15/2024"]).tolist() == [0, 1, 2]
    assert text_ranks(["31/01/2024", "01/02/2024"]).tolist() == [0, 1]
    assert text_ranks(["1 Feb 2024", "2 Jan 2024", "10 Jan 2024"]).tolist() == [2, 0, 1]
    assert text_ranks(["01/01/2024", "02/02/2024"]).tolist() == [0, 1]  # both readings agree
