"""An engine: uint8 images → pooled features of a Keras network, on one framework."""

import os
from collections.abc import Callable, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from jaxreg.backbone.network import check_layers, check_maps
from jaxreg.backbone.pooling import lack_of_memory_told
from jaxreg.backbone.registry import HUB, ONNX, backbone_name
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.recipe import Column, Precision, Recipe
from jaxreg.common.steps import step
from jaxreg.errors import InputError


class Engine(Protocol):
    """The network on one framework, with the recipe's weights in it."""

    name: str
    parallel: int  # how many simultaneous calls of `features` keep the processor busy

    def compile(self, image: np.ndarray, batch: int) -> None:
        """Compile now for batches of `batch` images of this size."""
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
    one_by_one: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Engine:
    """Build the network with its weights on an engine. It takes seconds, mostly for imports.

    Args:
        name: one of ENGINES, or `auto`.
        recipe: how pixels become features.
        columns: at least one, of any views; the network ends at the last layer among them.
        weights: those of `recipe.weights`; an int8 network needs none.
        quantized: the network that `quantized_network` made for an int8 recipe.
        one_by_one: images come one at a time, and each must take a short time. Else they come in
            batches, and many must be done in a second.
        say: gets the engine's name and the reason for it.

    Raises:
        InputError: an unknown or impossible engine, backbone, layer, precision or grid, or a file
            that does not fill every array of the backbone.
    """
    chosen, why = choose_engine(name, recipe.precision, recipe.backbone)
    if weights is not None and recipe.weights != weights.identity:
        raise ValueError("load_engine: weights are not those of the recipe")
    if recipe.backbone not in (ONNX, HUB):
        backbone_name(recipe.backbone)
    check_layers(recipe.backbone, [column.layer for column in columns])
    check_maps(recipe.backbone, columns)
    say(f"engine: {chosen} ({why})")
    size = "images" if recipe.size is None else f"images of {recipe.size[0]} x {recipe.size[1]}"
    with lack_of_memory_told(size), step("loading the network"):
        return _engine(chosen, recipe, columns, weights, quantized, one_by_one)


def _engine(
    chosen: str,
    recipe: Recipe,
    columns: Sequence[Column],
    weights: WeightsSource | None,
    quantized: bytes | None,
    one_by_one: bool,
) -> Engine:
    if chosen == "openvino":
        from jaxreg.backbone.openvino_engine import OpenVINOEngine

        return OpenVINOEngine(recipe, columns, weights, quantized, one_by_one=one_by_one)
    if weights is None:
        raise ValueError("load_engine: only an int8 network does without weights")
    if chosen == "jax":
        from jaxreg.backbone.jax_engine import JaxEngine

        return JaxEngine(recipe, columns, weights)
    from jaxreg.backbone.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(recipe, columns, weights)


ENGINES = ("tensorflow", "jax", "openvino")

GPUS = (Path("/dev/nvidia0"), Path("/dev/kfd"))
TPUS = (Path("/dev/accel0"), Path("/dev/vfio/0"))


def choose_engine(
    asked: str, precision: Precision = "float32", backbone: str = "inception_v3"
) -> tuple[str, str]:
    """The engine's name, and the reason for it.

    `auto` is JAX if it has an accelerator, else OpenVINO if it is installed, else TensorFlow.
    Only OpenVINO reads ONNX files and computes below float32.

    Raises:
        InputError: there is no such engine, or it has no such precision or backbone.
    """
    if asked not in ("auto", *ENGINES):
        raise InputError(f"no engine {asked!r}", expected=" or ".join(("auto", *ENGINES)))
    if backbone == ONNX and asked not in ("auto", "openvino"):
        raise InputError(
            f"--engine {asked} with --backbone onnx:FILE",
            expected="--engine openvino, the only one that reads ONNX files",
        )
    if precision != "float32":
        if asked not in ("auto", "openvino"):
            raise InputError(
                f"--precision {precision} with --engine {asked}",
                expected="--engine openvino below float32",
            )
        return "openvino", f"the one that computes in {precision}"
    if asked != "auto":
        return asked, "as asked for"
    if backbone == ONNX:
        return "openvino", "the one that reads ONNX files"
    if accelerator := _accelerator():
        return "jax", f"there is a {accelerator}"
    if find_spec("openvino") is not None:
        return "openvino", "installed, and JAX has no accelerator"
    return "tensorflow", "JAX has no accelerator, and OpenVINO is not installed"


def _accelerator() -> str | None:
    """`GPU` or `TPU`, if both the hardware and JAX's plugin for it are there."""
    allowed = os.environ.get("JAX_PLATFORMS", "").lower()
    if allowed and set(allowed.split(",")) <= {"cpu"}:
        return None
    if any(path.exists() for path in GPUS):
        plugins = metadata.entry_points(group="jax_plugins")
        if any(entry.name.startswith(("xla_cuda", "xla_rocm")) for entry in plugins):
            return "GPU"
    if any(path.exists() for path in TPUS) and find_spec("libtpu") is not None:
        return "TPU"
    return None
