"""uint8 images → pooled features of a Keras network. The only place that loads Keras."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from jaxreg.features.backbone.choice import ENGINES, choose_engine
from jaxreg.features.backbone.download import download_imagenet
from jaxreg.features.backbone.network import check_taps
from jaxreg.features.backbone.quantization import CALIBRATION_IMAGES, quantized_network
from jaxreg.features.backbones import backbone_name
from jaxreg.features.recipe import Column, Recipe
from jaxreg.features.weights import WeightsSource

__all__ = [
    "CALIBRATION_IMAGES",
    "ENGINES",
    "Engine",
    "check_taps",
    "choose_engine",
    "download_imagenet",
    "load_engine",
    "quantized_network",
]


class Engine(Protocol):
    """The network on one framework, with the recipe's weights in it."""

    name: str
    parallel: int  # calls of `features` at once that keep the processor busy

    def compile(self, image: np.ndarray, batch: int) -> None:
        """Run once, so that compiling for `batch` images such as this counts as start-up."""
        ...

    def features(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """{identity column's name: float32 (len(images), D)}, in the columns' order.

        `images` holds at least one, uint8 (height, width, 3); sizes may differ.

        Raises:
            InputError: at native size, an image too small for the network or for a grid.
        """
        ...


def load_engine(
    name: str,
    recipe: Recipe,
    columns: Sequence[Column],
    weights: WeightsSource | None,
    *,
    quantized: bytes | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Engine:
    """Build the network with its weights on an engine: seconds, most of them importing.

    Args:
        name: one of ENGINES, or `auto`.
        recipe: how pixels become features.
        columns: what is read, at least one, whatever their views; the network ends at the last tap
            among them.
        weights: what `recipe.weights` names; an int8 network needs none.
        quantized: of an int8 recipe, what `quantized_network` made.
        say: is told which engine it is, and why.

    Raises:
        InputError: an engine, backbone, tap, precision or grid that cannot be, or a file that does
            not fill every array of the backbone.
    """
    chosen, why = choose_engine(name, recipe.precision)
    if weights is not None and recipe.weights != weights.identity:
        raise ValueError("load_engine: weights are not those of the recipe")
    backbone_name(recipe.backbone)
    check_taps(recipe.backbone, [column.tap for column in columns])
    say(f"engine: {chosen} ({why})")
    if chosen == "openvino":
        from jaxreg.features.backbone.openvino_engine import OpenVINOEngine

        return OpenVINOEngine(recipe, columns, weights, quantized)
    if weights is None:
        raise ValueError("load_engine: only an int8 network does without weights")
    if chosen == "jax":
        from jaxreg.features.backbone.jax_engine import JaxEngine

        return JaxEngine(recipe, columns, weights)
    from jaxreg.features.backbone.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(recipe, columns, weights)
