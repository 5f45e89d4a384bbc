"""The search for a small place that predictions follow, and when such a place is a shortcut."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jaxreg.explanation.lattice import Place
from jaxreg.explanation.place_search import PlaceSearch
from jaxreg.target_types import PLAIN
from jaxreg.verdict.checks.small_place import SMALL, Moved, part_followed, shortcut

HEIGHT, WIDTH, COUNT = 96, 320, 128


class Pictures:
    """Noise, and a head that is the mean brightness of one place of it."""

    def __init__(self, seen: tuple[slice, slice], *, flat: bool = False) -> None:
        rng = np.random.default_rng(0)
        self.seen, self.run = seen, SimpleNamespace(types=(PLAIN,))
        self.target = rng.uniform(20, 235, COUNT)
        self.all = rng.integers(0, 256, (COUNT, HEIGHT, WIDTH, 3)).astype(np.uint8)
        for rgb, target in zip(self.all, self.target, strict=True):
            rgb[... if flat else seen] = round(target)

    def rgb(self, number: int) -> np.ndarray:
        return self.all[number]

    def of(self, rgb: np.ndarray) -> float:
        return float(rgb[self.seen].mean())

    def predict(self, number: int, copies: Any) -> np.ndarray:
        return np.array([[self.of(rgb)] for rgb in copies(self.rgb(number))])


def searched(pictures: Any) -> Any:
    """What is tested in one half of the pictures: the place that was found in the other half."""
    own = np.array([[pictures.of(rgb)] for rgb in pictures.all])
    numbers = list(range(64))
    first, second = (
        PlaceSearch(pictures, half, own[half], 0, lambda: False)
        for half in (numbers[::2], numbers[1::2])
    )
    place = first.find()
    return place and second.test(place, range(COUNT), pictures.target)


@pytest.mark.parametrize(
    "seen",
    [
        (slice(41, 55), slice(153, 167)),  # between four quarters of the picture
        (slice(42, 54), slice(0, 12)),  # at the edge, between two halves
        (slice(84, 96), slice(308, 320)),
        (slice(0, 3), slice(0, WIDTH)),  # a bar
        (slice(20, 21), slice(77, 78)),  # a pixel
    ],
    ids=["middle", "edge", "corner", "bar", "pixel"],
)
def test_a_place_is_found_wherever_it_is(seen: tuple[slice, slice]) -> None:
    found = searched(Pictures(seen))
    assert found.place.area <= SMALL
    rows, columns = found.place.pixels(HEIGHT, WIDTH)
    assert rows.start <= seen[0].start
    assert rows.stop >= seen[0].stop
    assert columns.start <= seen[1].start
    assert columns.stop >= seen[1].stop
    assert part_followed(found.moved.own, found.moved.other, found.moved.moved) == pytest.approx(1)
    assert shortcut(found.moved) is not None


def test_where_all_of_the_picture_tells_the_target_no_place_is_a_label() -> None:
    """As a ripe fruit does, or the light of the day: each place has the colour of the others."""
    found = searched(Pictures((slice(20, 80), slice(100, 120)), flat=True))
    assert found is not None
    assert found.moved.told > 0.99
    assert found.moved.elsewhere > 0.99
    weak = found.moved._replace(moved=found.moved.own + 0.1 * (found.moved.other - found.moved.own))
    assert shortcut(weak) is None
    assert shortcut(weak._replace(elsewhere=0.2)) is not None


def test_halves_overlap() -> None:
    place = Place(0.5, 1, 0, 1)
    assert place.halves() == [
        Place(0.5, 0.75, 0, 1),
        Place(0.5, 1, 0, 0.5),
        Place(0.625, 0.875, 0, 1),
        Place(0.5, 1, 0.25, 0.75),
        Place(0.75, 1, 0, 1),
        Place(0.5, 1, 0.5, 1),
    ]
    assert Place(0, 0.2, 0, 0.2).touches(Place(0.2, 0.4, 0.1, 0.3))
    assert not Place(0, 0.2, 0, 0.2).touches(Place(0.3, 0.4, 0.1, 0.3))


def test_what_follows_a_place() -> None:
    rng = np.random.default_rng(0)
    own, other = rng.normal(size=(2, 30))
    for part in (0.0, 0.3, 1.0):
        moved = own + part * (other - own)
        assert part_followed(own, other, moved) == pytest.approx(part)
    assert part_followed(own, other, np.full(30, 0.7)) == pytest.approx(0)  # it only spoils
    assert part_followed(own, own, own) == 0


@pytest.mark.parametrize(
    ("part", "area", "variance", "told", "elsewhere", "found"),
    [
        (0.9, 0.02, 0.1, 0.0, 0.0, True),
        (0.9, 0.02, 0.6, 0.0, 0.0, False),  # all that varies is there, as a needle of a gauge
        (0.9, 0.05, 0.1, 0.0, 0.0, False),  # no small place
        (0.2, 0.02, 0.05, 0.1, -0.3, False),
        (0.2, 0.02, 0.05, 0.9, -0.3, True),  # like a label
        (0.2, 0.02, 0.05, 0.9, 0.7, True),
        (0.2, 0.02, 0.05, 0.9, 0.85, False),  # other places tell the target as well
        (0.01, 0.02, 0.05, 0.9, 0.0, False),  # a label that the head does not use
    ],
)
def test_which_places_are_shortcuts(
    part: float, area: float, variance: float, told: float, elsewhere: float, found: bool
) -> None:
    own, other = np.random.default_rng(1).normal(size=(2, 30))
    moved = own + part * (other - own)
    evidence = shortcut(Moved(own, other, moved, area, variance, told, elsewhere, "at the top"))
    assert (evidence is not None) == found
    if evidence is not None:
        assert evidence.numbers["follows"] == pytest.approx(part)
