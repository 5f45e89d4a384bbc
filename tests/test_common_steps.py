"""Steps: their counts, their speed and the line of a terminal."""

import pytest

from conftest import Clock
from jaxreg.common import steps
from jaxreg.common.steps import BYTES, counted, line, step


def shown(clock: Clock, width: int = 79) -> str:
    return line(steps.running, clock.now, width)


def test_a_step_without_a_count_shows_its_seconds(clock: Clock) -> None:
    with step("converting the network"):
        clock.now += 12.4
        assert shown(clock) == "converting the network (12 s)"
        clock.now += 200
        assert shown(clock) == "converting the network (3 min 32 s)"
    assert steps.running == []


def test_a_count_shows_speed_and_time_left(clock: Clock) -> None:
    with step("computing", 1000, "images") as one:
        clock.now += 40
        assert shown(clock) == "computing: 0/1000 images, 40 s so far"
        one.restart()  # those seconds were a start
        for done in (64, 128, 192, 256):
            clock.now += 4
            one.reach(done)
        # 16 images a second: 744 are left, which take 46.5 s
        assert shown(clock) == "computing: 256/1000 images, 16.0 images/s, 46 s left"
        clock.now += 2
        assert shown(clock) == "computing: 256/1000 images, 16.0 images/s, 44 s left"


def test_an_item_that_takes_longer_than_those_before_slows_the_speed(clock: Clock) -> None:
    with step("testing", 10, "tests") as one:
        for done in range(1, 6):
            clock.now += 1
            one.reach(done)
        clock.now += 15  # the sixth has taken 15 s: 5 tests at most in the 19 s since the first
        assert shown(clock) == "testing: 5/10 tests, 3.8 s/test, 15 s left"


def test_only_the_last_half_minute_counts_for_the_speed(clock: Clock) -> None:
    with step("reading", 10_000, "images") as one:
        for done in range(100, 1100, 100):  # images that the cache has
            clock.now += 0.1
            one.reach(done)
        for _ in range(40):
            clock.now += 1
            one.reach(one.done + 10)
        assert ", 10.0 images/s, " in shown(clock)


def test_a_training_may_end_sooner(clock: Clock) -> None:
    with step("training", 100, "epochs", at_most=True) as one:
        for done in (6, 12, 18):
            clock.now += 2
            one.reach(done, "val_mae 0.1234")
        whole = "training: 18/100 epochs, val_mae 0.1234, 3.0 epochs/s, at most 27 s left"
        assert shown(clock) == whole


def test_bytes_are_counted_beside_files(clock: Clock) -> None:
    with step("checking", 3_000_000_000, BYTES) as one:
        for number in (1, 2, 3):
            clock.now += 5
            one.reach(number * 500_000_000, f"{number}/6 files")
        whole = "checking: 1.5 GB of 3.0 GB, 3/6 files, 100.0 MB/s, 15 s left"
        assert shown(clock) == whole


def test_the_least_needed_parts_go_where_there_is_no_room(clock: Clock) -> None:
    with step("computing", 1000, "images") as one:
        for done in (424, 448):
            clock.now += 1
            one.reach(done)
        assert shown(clock, 59) == "computing: 448/1000 images, 24.0 images/s, 23 s left"
        assert shown(clock, 39) == "computing: 448/1000 images, 23 s left"
        assert shown(clock, 20) == "computing: 448/1000…"


def test_steps_nest(clock: Clock) -> None:
    with step("testing", 7, "tests") as tests:
        for done in (1, 2):
            clock.now += 8
            tests.reach(done)
        with step("learning curve"):
            clock.now += 3
            # 8 s a test, and the third has had 3 s
            assert shown(clock) == "2/7 tests, 37 s left: learning curve (3 s)"
            assert shown(clock, 31) == "2/7 tests: learning curve (3 s)"
            assert shown(clock, 30) == "learning curve (3 s)"
        assert shown(clock).startswith("testing: 2/7 tests")


def test_one_of_one_is_no_count(clock: Clock) -> None:
    for _ in counted("solving the ridge", iter(["a"]), "trainings", 1):
        assert shown(clock) == "solving the ridge (0 s)"


def test_items_are_counted_when_they_are_done(clock: Clock) -> None:
    seen = []
    for item in counted("deleting", "abc", "files"):
        seen.append((item, shown(clock).split(",")[0]))
    assert seen == [
        ("a", "deleting: 0/3 files"),
        ("b", "deleting: 1/3 files"),
        ("c", "deleting: 2/3 files"),
    ]
    assert steps.running == []


def test_a_step_that_fails_has_ended(clock: Clock) -> None:
    with pytest.raises(KeyError), step("compiling"):
        raise KeyError
    assert steps.running == []


def test_a_narrow_line_keeps_the_note_and_the_time_left_of_the_whole(clock: Clock) -> None:
    with step("sweep", 54, "trials") as whole, step("choosing without fold 0", 18, "trials") as one:
        for done in range(1, 15):
            clock.now += 1
            one.reach(done, "best 0.1367")
            whole.reach(18 + done)
        choosing, left = "choosing without fold 0: 14/18 trials", "32/54 trials, 22 s left"
        assert shown(clock, 77) == f"{left}: {choosing}, best 0.1367"
        assert shown(clock, 64) == f"{left}: {choosing}"
