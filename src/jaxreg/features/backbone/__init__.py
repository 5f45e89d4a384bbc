"""uint8 images → pooled features of a Keras network. The only place that loads Keras."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from jaxreg.errors import InputError
from jaxreg.features.backbone.download import download_imagenet
from jaxreg.features.backbone.network import MIN_SIZE, check_taps
from jaxreg.features.recipe import Column, Recipe
from jaxreg.features.weights import WeightsSource

__all__ = ["ENGINES", "MIN_SIZE", "Engine", "download_imagenet", "load_engine"]

ENGINES = ("tensorflow",)


class Engine(Protocol):
    """The network on one framework, with the recipe's weights in it."""

    name: str

    def compile(self, image: np.ndarray) -> None:
        """Run one image, uint8 (height, width, 3), so that compiling counts as start-up."""
        ...

    def features(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """{column name: float32 (len(images), D)}, in the columns' order.

        `images` holds at least one, uint8 (height, width, 3); sizes may differ.

        Raises:
            InputError: at native size, an image too small for the network or for a grid.
        """
        ...


def load_engine(
    name: str, recipe: Recipe, columns: Sequence[Column], weights: WeightsSource
) -> Engine:
    """Build the network with its weights on an engine: seconds, most of them importing Keras.

    Args:
        name: one of ENGINES, or `auto`.
        recipe: how pixels become features.
        columns: what is read, at least one; the network ends at the last tap among them.
        weights: what `recipe.weights` names.

    Raises:
        InputError: an engine, backbone, tap, precision or grid that cannot be, or a file that does
            not fill every array of the backbone.
    """
    if name not in ("auto", *ENGINES):
        raise InputError(f"no engine {name!r}", expected=" or ".join(("auto", *ENGINES)))
    if recipe.precision != "float32":
        raise InputError(f"--precision {recipe.precision}", expected="float32 on this engine")
    if recipe.weights != weights.identity:
        raise ValueError("load_engine: weights are not those of the recipe")
    check_taps(recipe.backbone, [column.tap for column in columns])
    from jaxreg.features.backbone.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(recipe, columns, weights)
