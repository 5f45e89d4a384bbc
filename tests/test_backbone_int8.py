"""What int8 was calibrated on, and what is unlike it."""

import numpy as np
import pytest

from jaxreg.backbone.int8 import measure, read_range, some, write_range
from jaxreg.cache.object_store import LocalStore
from jaxreg.sources import open_source
from jaxreg.sources.pixels import thumbnail


@pytest.fixture
def limits(tmp_path):
    write_range(LocalStore(tmp_path), "x.json", [decoded(frame) for frame in frames(0, 400, 5)])
    return read_range(LocalStore(tmp_path), "x.json")


def frames(start: int, stop: int, step: int = 1) -> list:
    """Drawn views of two drives."""
    images = open_source("road:400").images
    return [images[i] for i in range(start, stop, step)]


def decoded(frame) -> np.ndarray:
    from jaxreg.sources.pixels import decode

    return decode(frame)


def test_measures_of_a_thumbnail() -> None:
    grey = np.full((20, 30, 3), 77, np.uint8)
    np.testing.assert_allclose(measure(thumbnail(grey)), [77, 77, 77, 0, 0, 0, 0], atol=1)
    half = np.zeros((16, 32, 3), np.uint8)
    half[:, 16:, 0] = 200  # black beside red: mean 100, std 100, one step in 31
    got = measure(thumbnail(half))
    np.testing.assert_allclose(got, [100, 0, 0, 100, 0, 0, 200 / 3 / 31], atol=12)


def test_more_of_the_same_is_within(limits) -> None:
    assert limits.warning(thumbnail(decoded(f)) for f in frames(1, 400, 3)) is None


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("dark", lambda rgb: rgb // 8),
        ("bright", lambda rgb: 255 - (255 - rgb) // 8),
        ("noise", lambda rgb: np.random.default_rng(0).integers(0, 256, rgb.shape, np.uint8)),
        ("one colour", lambda rgb: rgb * np.array([1, 0, 0], np.uint8)),
    ],
)
def test_other_images_are_not(limits, kind, change) -> None:
    others = [thumbnail(change(decoded(frame))) for frame in frames(0, 20)]
    told = limits.warning(others)
    assert told is not None
    assert told.startswith("20 of 20 images are unlike those that int8 was calibrated on (")
    assert "--precision bfloat16" in told


def test_few_among_many_are_not_worth_saying(limits) -> None:
    usual = [thumbnail(decoded(frame)) for frame in frames(0, 20)]
    black = thumbnail(np.zeros((80, 160, 3), np.uint8))
    assert limits.warning([*usual * 5, black]) is None
    assert limits.warning([*usual * 5, black, black]) is not None


def test_a_network_without_a_range_is_not_judged(tmp_path) -> None:
    assert read_range(LocalStore(tmp_path), "none.json") is None
    (tmp_path / "half.json").write_text('{"detail": [1')
    assert read_range(LocalStore(tmp_path), "half.json") is None


def test_at_most_so_many_are_looked_at() -> None:
    assert some([]) == []
    assert some(["a", "b"]) == ["a", "b"]
    chosen = some([str(i) for i in range(2000)])
    assert (len(chosen), chosen[0], chosen[-1]) == (500, "0", "1999")
