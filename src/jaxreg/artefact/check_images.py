"""The images that an artefact is compared on: those of the run, or drawn ones, in three sizes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from jaxreg.backbone.int8 import some
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.originals import Originals
from jaxreg.cache.store import Cache
from jaxreg.errors import JaxregError
from jaxreg.sources.pixels import UnusableImage, decode
from jaxreg.sources.road.frames import RoadImages

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun

IMAGES = 32
MOST = 1e-3  # of a target's std: so much an artefact may differ from its run
LONGEST = 640  # pixels of a side: the time that the comparison takes has an end
FACTORS = (1.0, 1.25, 0.75)  # the sizes, against an image's own
NOT_SMALLER = (1.0, 1.25, 1.5)  # at native size a network may need every pixel


def check_images(run: "TrainedRun", cache: str | Path | None) -> tuple[list[np.ndarray], str]:
    """Images uint8 (height, width, 3), and what they are, for people.

    Args:
        run: the run; images of its dataset are taken where they can be read.
        cache: the folder with this dataset.
    """
    own = _own_images(run, cache) if cache is not None else []
    what = "of the dataset" if len(own) == IMAGES else "drawn"
    if own and len(own) < IMAGES:
        what = f"{len(own)} of the dataset, the others drawn"
    drawn = RoadImages(20 * IMAGES)
    images = [*own, *(drawn[20 * place] for place in range(len(own), IMAGES))]
    native = any(recipe.size is None for recipe in run.features.networks)
    if native:  # a part, because a long image in small may be lower than the network takes
        images = [np.asarray(image)[:LONGEST, :LONGEST] for image in images]
    factors = NOT_SMALLER if native else FACTORS
    return [_resized(one, factors[place % 3]) for place, one in enumerate(images)], what


def _own_images(run: "TrainedRun", cache: str | Path) -> list[np.ndarray]:
    """Up to IMAGES images of the run's dataset, from its first row to its last."""
    try:
        dataset = read_dataset(Cache(cache), run.config["dataset"])
    except JaxregError:  # a bundle, or another cache
        return []
    originals, found = Originals(dataset, quick=True), []
    rows = [row for row, digest in enumerate(dataset.pictures) if digest is not None]
    for row in some(rows, IMAGES):
        try:
            found.append(decode(originals.read(row), run.features.range))
        except UnusableImage:
            continue  # gone, or changed: another image does as well
    return found


def _resized(image: np.ndarray, factor: float) -> np.ndarray:
    height, width = image.shape[:2]
    factor *= min(1.0, LONGEST / max(height, width))
    if factor == 1.0:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(np.asarray(image)).resize(size, Image.Resampling.BILINEAR))
