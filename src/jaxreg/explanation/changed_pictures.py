"""Predictions for changed copies of pictures, on the run's own engine; nothing is kept."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxreg.cache.embeddings import Embeddings
from jaxreg.cache.recipe import Recipe
from jaxreg.explanation.lattice import Place
from jaxreg.extraction.pipeline import BATCH_BYTES
from jaxreg.new_predictions import NewPredictions
from jaxreg.sources import pixels
from jaxreg.sources.depth import Range
from jaxreg.sources.examples import Examples

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


class ChangedPictures:
    """The pictures of the examples that a run has predicted, and what it says of changed ones.

    A picture is named by its number among the examples that have features. A run may have several
    networks that read deep pixels by several ranges: then each gets its own pixels.
    """

    def __init__(self, run: "TrainedRun", examples: Examples, new: NewPredictions) -> None:
        self.run, self.examples, self.new = run, examples, new
        self.computed = 0  # copies that went through the networks

    def __len__(self) -> int:
        return len(self.new.features.rows)

    def rgb(self, number: int, limits: Range | None = None) -> np.ndarray:
        """The pixels of a picture, uint8 (height, width, 3)."""
        image = self.examples.images[int(self.new.features.rows[number])]
        return pixels.decode(pixels.read(image), limits or self.run.features.range)

    def predict(
        self, number: int, copies: Callable[[np.ndarray], Sequence[np.ndarray]]
    ) -> np.ndarray:
        """Predictions (copies, targets), float64, for copies of one picture.

        Args:
            number: of the picture; side columns and embeddings stay its own.
            copies: makes them of its pixels, always as many.
        """
        found: dict[str, dict[str, np.ndarray]] = {}
        count = 0
        for recipe in self.run.features.networks:
            made = copies(self.rgb(number, recipe.range))
            found[recipe.feature_set] = self._features(recipe, made)
            count = len(made)
        self.computed += count
        return self._predicted(number, count, found)

    def _features(self, recipe: Recipe, made: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        engine = self.new.maker.engine(recipe)
        step = max(1, BATCH_BYTES // made[0].nbytes)
        parts = [engine.features(made[at : at + step]) for at in range(0, len(made), step)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _predicted(
        self, number: int, count: int, found: dict[str, dict[str, np.ndarray]]
    ) -> np.ndarray:
        run, new = self.run, self.new
        own = new.features.x[number]
        blocks, start = [], 0
        for feature_set, column in run.features.columns:
            recipe = run.features.recipes[feature_set]
            if isinstance(recipe, Embeddings):
                blocks.append(np.tile(own[start : start + recipe.width], (count, 1)))
            else:
                blocks.append(found[feature_set][column.name].astype(own.dtype))
            start += blocks[-1].shape[1]
        row = new.features.rows[number]
        beside = new.beside._replace(values=np.tile(new.beside.values[row], (count, 1)))
        return run.predict_encoded(np.concatenate(blocks, axis=1), beside).astype(np.float64)


def place_colours(
    pictures: ChangedPictures, numbers: Sequence[int], places: Sequence[Place]
) -> np.ndarray:
    """(pictures, places, 3) float64: the mean colour of each place."""
    found = np.zeros((len(numbers), len(places), 3))
    for at, number in enumerate(numbers):
        rgb = pictures.rgb(number)
        found[at] = [rgb[place.pixels(*rgb.shape[:2])].mean(axis=(0, 1)) for place in places]
    return found


def hidden_copies(
    rgb: np.ndarray, places: Sequence[Place], colours: np.ndarray
) -> list[np.ndarray]:
    """The picture itself, and for each place a copy in which a colour covers it."""
    copies = [rgb]
    for place, colour in zip(places, colours, strict=True):
        copy = rgb.copy()
        copy[place.pixels(*rgb.shape[:2])] = np.round(colour)
        copies.append(copy)
    return copies


def with_place_of(rgb: np.ndarray, other: np.ndarray, place: Place) -> np.ndarray:
    """A copy with a place as another picture has it, stretched to the size here."""
    copy = rgb.copy()
    rows, columns = place.pixels(*rgb.shape[:2])
    part = other[place.pixels(*other.shape[:2])]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    down = np.arange(height) * part.shape[0] // height
    across = np.arange(width) * part.shape[1] // width
    copy[rows, columns] = part[down[:, None], across[None, :]]
    return copy
