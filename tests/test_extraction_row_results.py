"""Digests and failures in a few bytes a row are the lists that they stand for."""

import pickle

import numpy as np
import pytest

from jaxreg.extraction.row_results import Digests, Failures, with_copies

ROWS = ["a", None, "b", "a", "c", "b", None, "a"]


def test_digests_are_the_list():
    digests = Digests(ROWS[:3])
    digests.append("a")
    digests += ROWS[4:]
    assert digests == ROWS
    assert digests != ROWS[:-1]
    assert (digests[-1], digests[1], digests[2:5]) == ("a", None, ["b", "a", "c"])
    with pytest.raises(IndexError):
        digests[8]
    assert [digests.count(value) for value in ("a", None, "d")] == [3, 2, 0]
    assert digests.rows_of({"b", "d"}).tolist() == [2, 5]
    assert digests.tally(lambda digest: digest != "b") == (4, 2)  # a a a c
    fewer = digests.without(np.array([0, 4]))
    assert fewer == [None, None, "b", "a", None, "b", None, "a"]
    assert fewer.tally(lambda digest: True) == (4, 2)
    assert digests == ROWS
    assert pickle.loads(pickle.dumps(digests)) == ROWS
    assert Digests() == []
    later = Digests.absent(3)
    later[1] = "a"
    assert later == [None, "a", None]
    assert Digests().tally(bool) == (0, 0)


def test_copies_of_a_broken_image_fail_too():
    failed = Failures([(1, "no such file"), (6, "no such file"), (5, "it is cut off")])
    assert failed == [(1, "no such file"), (6, "no such file"), (5, "it is cut off")]
    digests, every = with_copies(Digests(ROWS), failed, {"b": "it is cut off", "x": "never seen"})
    reason = "it is cut off"
    assert every == [(1, "no such file"), (2, reason), (5, reason), (6, "no such file")]
    assert digests == ["a", None, None, "a", "c", None, None, "a"]
    assert with_copies(Digests(["a"]), Failures(), {}) == (["a"], [])


def test_a_row_takes_a_few_bytes():
    digests = Digests(f"{row % 10:064d}" for row in range(100_000))
    assert len(pickle.dumps(digests)) < 5 * 100_000
