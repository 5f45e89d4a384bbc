"""A step that lasts is named; a short one is not."""

import threading

import pytest

from jaxreg.common import long_steps
from jaxreg.common.long_steps import long_step


def test_a_step_that_lasts_is_named_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_steps, "AFTER", 0.0)
    said, told = threading.Event(), list[str]()

    def say(text: str) -> None:
        told.append(text)
        said.set()

    with long_step("solving the ridge", say):
        assert said.wait(60)  # within the block
    assert told == ["solving the ridge …"]


def test_a_short_step_or_one_that_fails_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    monkeypatch.setattr(long_steps, "AFTER", 3600.0)
    told: list[str] = []
    with pytest.raises(KeyError), long_step("compiling", told.append):
        raise KeyError
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(60)  # it was cancelled, so it ends at once
    assert threading.active_count() <= before
    assert told == []
