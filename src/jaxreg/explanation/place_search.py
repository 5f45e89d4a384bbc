"""A small place of the pictures that decides a prediction, if there is one.

A place is tested by putting it into other pictures. Where it alone decides, the prediction becomes
that of the picture it comes from (`verdict/checks/small_place.py`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxreg.errors import Stopped
from jaxreg.explanation.changed_pictures import ChangedPictures, place_colours, with_place_of
from jaxreg.explanation.lattice import Lattice, Place
from jaxreg.target_types import Types, difference
from jaxreg.verdict.checks.small_place import SMALL, USED, Moved, part_followed

SAMPLE = 64  # pictures: half of them for the search, half of them for the test of what it found

NEXT = 0.21  # of the ranks: with such a picture as the other one, both are uncorrelated

SIDE = 64  # rows and columns of the pixels whose variance is compared

READ = 256  # pictures whose mean colour in a place is compared with the target

OTHERS = Lattice(5, 5)  # of a picture: cells whose mean colours are compared with that of a place

FOLDS = 5  # stretches of these pictures, each predicted by the others


class FoundPlace(NamedTuple):
    """A place that predictions follow, and how it was tested."""

    place: Place
    moved: Moved
    numbers: tuple[int, ...]  # of the pictures


class PlaceSearch:
    """Tests places of some pictures for one target."""

    def __init__(
        self,
        pictures: ChangedPictures,
        numbers: Sequence[int],
        predictions: np.ndarray,
        target: int,
        should_stop: Callable[[], bool],
    ) -> None:
        """`predictions` (pictures, targets) are those of `numbers`."""
        self.pictures, self.target, self.should_stop = pictures, target, should_stop
        self.kind: Types = (pictures.run.types[target],)
        ranks = np.argsort(predictions[:, target], kind="stable")
        self.numbers = [numbers[place] for place in ranks]
        self.own = predictions[ranks, target]
        self.step = max(1, round(NEXT * len(ranks)))
        self.other = np.roll(self.own, -self.step)
        self.grey = np.stack([_small(pictures.rgb(number)) for number in self.numbers])

    def find(self) -> Place | None:
        """The place of at most SMALL that decides most: the picture is halved again and again.

        The halves overlap, so a place between two of them is whole in the one in the middle. None
        where no half decides USED.
        """
        place = Place(0, 1, 0, 1)
        while place.area > SMALL:
            halves = place.halves()
            parts = [self._part(moved) for moved in self._moved(halves)]
            best = int(np.argmax(parts))
            if parts[best] < USED:
                return None
            place = halves[best]
        return place

    def _part(self, moved: np.ndarray) -> float:
        return part_followed(*self._straight(moved))

    def _straight(self, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three on a line: around a circle as differences from the first."""
        if not self.kind[0].circular:
            return self.own, self.other, moved
        centre = self.own[len(self.own) // 2]
        each = np.stack([self.own, self.other, moved], axis=1)
        own, other, straight = difference((*self.kind,) * 3, each, np.full(3, centre)).T
        return own, other, straight

    def _moved(self, places: Sequence[Place]) -> np.ndarray:
        """(places, pictures): predictions with each place as the other picture has it."""
        found = []
        for at, number in enumerate(self.numbers):
            if self.should_stop():
                raise Stopped("stopped; nothing is written")
            other = self.pictures.rgb(self.numbers[(at + self.step) % len(self.numbers)])
            found.append(
                self.pictures.predict(
                    number,
                    lambda rgb, other=other: [with_place_of(rgb, other, one) for one in places],
                )[:, self.target]
            )
        return np.stack(found, axis=1)

    def test(self, place: Place, numbers: Sequence[int], values: np.ndarray) -> FoundPlace:
        """What the predictions do with a place that was found in other pictures.

        Args:
            place: the place.
            numbers: pictures in their order, at most READ of them.
            values: (these,) what is known of the target, or their predictions.
        """
        variance = self.grey.var(axis=0)
        part = float(variance[place.pixels(SIDE, SIDE)].sum() / max(float(variance.sum()), 1e-12))
        [moved] = self._moved([place])
        own, other, moved = self._straight(moved)
        away = [one for one in OTHERS.places() if not one.touches(place)]
        colours = place_colours(self.pictures, numbers, [place, *away])
        told, *elsewhere = (_told_by_colour(one, values) for one in colours.swapaxes(0, 1))
        most = max(elsewhere, default=0.0)
        result = Moved(own, other, moved, place.area, part, told, most, where_text(place))
        return FoundPlace(place, result, tuple(self.numbers))


def independent(types: Types, values: np.ndarray) -> float:
    """How many numbers in their order are worth as much as independent ones.

    For the autocorrelation r of neighbours it is n (1 − r) / (1 + r), as for a process of first
    order (Bayley and Hammersley 1946). Neighbouring frames of a recording are alike.
    """
    apart = difference(types, values[:, None], values[:1])[:, 0]
    apart = apart - apart.mean()
    size = float(apart @ apart)
    if not size:
        return 0.0
    alike = max(float(apart[1:] @ apart[:-1]) / size, 0.0)
    return len(values) * (1 - alike) / (1 + alike)


def _told_by_colour(colours: np.ndarray, values: np.ndarray) -> float:
    """R² of least squares on colours (pictures, 3), each stretch predicted by the others."""
    left = np.full(len(values), np.nan)
    x = np.column_stack([np.ones(len(values)), colours])
    for rows in np.array_split(np.arange(len(values)), FOLDS):
        rest = np.setdiff1d(np.arange(len(values)), rows)
        left[rows] = x[rows] @ np.linalg.lstsq(x[rest], values[rest], rcond=1e-6)[0]
    return float(1 - np.square(left - values).mean() / max(float(values.var()), 1e-30))


def where_text(place: Place) -> str:
    """Where a place is, in words."""
    down, across = (place.top + place.bottom) / 2, (place.left + place.right) / 2
    row = "top" if down < 1 / 3 else "bottom" if down > 2 / 3 else ""
    column = "left" if across < 1 / 3 else "right" if across > 2 / 3 else ""
    words = " ".join(word for word in (row, column) if word)
    return f"at the {words}" if words else "in the middle"


def _small(rgb: np.ndarray) -> np.ndarray:
    """SIDE x SIDE of the pixels, as grey from 0 to 255."""
    rows, columns = (np.arange(SIDE) * size // SIDE for size in rgb.shape[:2])
    return rgb[rows[:, None], columns[None, :]].mean(axis=2)
