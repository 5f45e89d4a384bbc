"""The network of a KerasHub preset in Keras: its layers by name, and its weights with proof."""

import math
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from jaxreg.backbone.hub_preset import WEIGHTS, Preset, image_config
from jaxreg.backbone.network_layers import safe_layers
from jaxreg.backbone.weight_loading import load_proved
from jaxreg.errors import InputError

OUTPUT = "output"
"""The layer that is a network's output."""

_MOST_PREFIX = 16  # tokens; a larger difference is another way of making patches

MISSING = "pip install 'jaxreg[hub]'"


def check_hub() -> None:
    """Raise InputError where KerasHub is not installed."""
    if "keras_hub" not in sys.modules and find_spec("keras_hub") is None:
        raise InputError(
            "keras_hub is not installed, and KerasHub backbones need it", remedy=MISSING
        )


def image_network(config: Mapping[str, Any], size: tuple[int, int] | None) -> Any:
    """The KerasHub network of a checked config, built for images of that size; None: any.

    Keras and KerasHub must be imported, and Keras' policies set. A network of images and text
    comes whole.

    Raises:
        InputError: KerasHub has no such network, cannot build it so, or it takes no images.
    """
    import keras
    import keras_hub

    sized = deepcopy(dict(config))
    told = image_config(sized)
    if size is not None or "image_shape" in told:
        told["image_shape"] = [*(size or (None, None)), 3]
    said = f"{config['class_name']} of KerasHub"
    _check_classes(sized, keras_hub)
    try:
        network = keras.saving.deserialize_keras_object(sized)
    except Exception as error:  # the config is of others: it may hold anything
        reason = " ".join(str(error).rpartition("Exception encountered:")[2].split())[:300]
        what = "images of any size" if size is None else f"images of {size[0]} x {size[1]} pixels"
        raise InputError(
            f"{said} cannot be built for {what}: {reason}",
            expected="a size that the network takes, or a preset of this version of KerasHub "
            f"({keras_hub.__version__})",
        ) from error
    image_part(network)
    network.trainable = False
    return network


def _check_classes(part: Any, keras_hub: Any) -> None:
    """Raise InputError for a class in a checked config that is no network of KerasHub."""
    if isinstance(part, list):
        for item in part:
            _check_classes(item, keras_hub)
    elif isinstance(part, dict):
        module, name = part.get("module"), part.get("class_name")
        if module not in (None, "keras"):  # `keras` is the type of the numbers alone
            try:
                kind = vars(import_module(str(module))).get(str(name))
            except ImportError:
                kind = None
            if not isinstance(kind, type) or not issubclass(kind, keras_hub.models.Backbone):
                raise InputError(
                    f"KerasHub {keras_hub.__version__} has no network {name} in {module}",
                    expected="a preset of a backbone of this version",
                )
        for item in part.values():
            _check_classes(item, keras_hub)


def image_part(network: Any) -> Any:
    """The network itself, or its `vision_encoder` where it takes text too: what takes images alone.

    Raises:
        InputError: nothing in it does.
    """
    for part in (network, getattr(network, "vision_encoder", None)):
        inputs = getattr(part, "inputs", None) or []
        if len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0].shape[3] == 3:
            return part
    names = ", ".join(tensor.name for tensor in network.inputs)
    raise InputError(
        f"{type(network).__name__} of KerasHub takes {names}, not images alone",
        expected="a preset of an image model, such as keras_hub:dinov2_base",
    )


def layer_tensors(network: Any) -> dict[str, tuple[str, Any]]:
    """The layers that may be read: name → (KerasHub's name, Keras tensor), first to last.

    Inner layers come first, then the pyramid's outputs, then the output. Those of one name: the
    last counts.
    """
    part = image_part(network)
    found: dict[str, Any] = {}
    for layer in part.layers:
        outputs = [node.outputs for node in layer._inbound_nodes]
        if type(layer).__name__ != "InputLayer" and len(outputs) == 1 and len(outputs[0]) == 1:
            found[layer.name] = outputs[0][0]
    found.update(getattr(part, "pyramid_outputs", None) or {})
    output = part.output
    if isinstance(output, dict):
        found.update(output)
    elif isinstance(output, Sequence):
        found.update({f"{OUTPUT}{place}": tensor for place, tensor in enumerate(output)})
    else:
        found.update({OUTPUT: output})
    readable = {
        name: tensor
        for name, tensor in found.items()
        if 2 <= len(tensor.shape) <= 4 and str(tensor.dtype).startswith("float")
    }
    names = safe_layers(list(readable))
    return {
        safe: (name, tensor) for safe, (name, tensor) in zip(names, readable.items(), strict=True)
    }


def outputs_of(network: Any) -> set[str]:
    """The names in `layer_tensors` that KerasHub itself declares: the output and the pyramid's."""
    part = image_part(network)
    output, pyramid = part.output, getattr(part, "pyramid_outputs", None) or {}
    own = list(output) if isinstance(output, dict) else [OUTPUT]
    if isinstance(output, list | tuple):
        own = [f"{OUTPUT}{place}" for place in range(len(output))]
    return {*own, *pyramid}


def fill(network: Any, preset: Preset, size: tuple[int, int] | None) -> None:
    """Load the preset's weights into the whole network, with proof that every array came from it.

    Raises:
        InputError: the file is damaged, or lacks an array.
    """
    own, remedy = preset.size, ""
    if own is not None and size is not None and own != size:
        remedy = f"--size {own[0]} {own[1]}"
    load_proved(
        network,
        preset.folder / WEIGHTS,
        preset.weights,
        what=type(network).__name__,
        expected="the weights that KerasHub has saved with this config, for images of a size that "
        "they take",
        remedy=remedy,
    )


def prefix_tokens(
    config: Mapping[str, Any], shapes: Sequence[Sequence[int]], size: Sequence[int] | None
) -> int:
    """The tokens before those of the patches: a class token and registers.

    Args:
        config: of a preset.
        shapes: of the layers, for images of `size`.
        size: height and width; None: nobody knows.

    Returns:
        0 where there are none, or nobody can know.
    """
    patch = image_config(config).get("patch_size")
    sides: list[Any] = patch if isinstance(patch, list) else [patch, patch]
    tokens = {shape[1] for shape in shapes if len(shape) == 3}
    if size is None or len(tokens) != 1 or len(sides) != 2 or not all(map(_positive, sides)):
        return 0
    patches = math.prod(side // part for side, part in zip(size, sides, strict=True))
    prefix = tokens.pop() - patches
    return prefix if 0 <= prefix <= _MOST_PREFIX else 0


def _positive(value: Any) -> bool:
    return type(value) is int and value > 0


def real_shapes(network: Any, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """The shapes of the layers for two images, as computed; some layers of KerasHub tell others."""
    import keras

    part, tensors = image_part(network), layer_tensors(network)
    model = keras.Model(part.inputs[0], {name: tensor for name, (_, tensor) in tensors.items()})
    found = model(np.zeros((2, *size, 3), np.float32), training=False)
    return {name: tuple(array.shape) for name, array in found.items()}
