"""Builds the Keras network quietly, on the right backend, up to the last layer, with weights."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from jaxreg.backbone.hub_network import check_hub, fill, image_network, image_part, layer_tensors
from jaxreg.backbone.hub_preset import preset_of
from jaxreg.backbone.registry import BACKBONES, HUB
from jaxreg.backbone.weight_files import Slot, read_arrays
from jaxreg.backbone.weight_loading import fill_random, load_file
from jaxreg.backbone.weights import WeightsSource, random_kernels
from jaxreg.cache.recipe import INCEPTION_LAYERS, Column
from jaxreg.common.lean_imports import without
from jaxreg.common.steps import step
from jaxreg.errors import InputError, nearest

Size = tuple[int, int] | None
"""Pixels, height and width, that a network is built for; None: any."""


def check_layers(
    backbone: str, layers: Sequence[str], known: Sequence[str] = INCEPTION_LAYERS
) -> None:
    """Raise InputError for a layer that does not exist; the message has the nearest name.

    Without `known` only InceptionV3's layers are checked, since the others' need a built network.
    """
    if backbone != "inception_v3" and known is INCEPTION_LAYERS:
        return
    for layer in layers:
        if layer not in known:
            some = known if len(known) < 20 else [*known[:3], "…", *known[-3:]]
            raise InputError(
                f"{backbone} has no layer {layer!r}",
                expected=", ".join(some),
                remedy=f"use the layer {near}" if (near := nearest(layer, known)) else "",
            )


def check_maps(backbone: str, columns: Sequence[Column]) -> None:
    """Raise InputError for a pool of tokens or vectors: a Keras layer that is read has maps."""
    for column in columns:
        if backbone in BACKBONES and column.pool in ("cls", "mean", "none"):
            raise InputError(
                f"--pool {column.pool} on {column.layer}, whose output has rows and columns",
                expected="avg, max or grid:RxC",
            )


def build_network(
    backbone: str, layers: Sequence[str] | None, weights: WeightsSource, size: Size = None
) -> Any:
    """A frozen Keras model from preprocessed pixels to {layer: output}; it ends at the last layer.

    Its input is float32 (batch, height, width, 3), its outputs (batch, rows, columns, channels);
    those of a KerasHub preset may have tokens in place of rows and columns, or neither.
    `layers` None is all there are. `size` matters to networks whose padding depends on it, which is
    every one but InceptionV3 here. `start_keras` must have been called.

    Raises:
        InputError: an unknown backbone or layer; weights that do not fill every array.
    """
    # in each thread Keras numbers layers without a name of their own anew (`activation_19`): in a
    # new one they are always called what they are in a new process
    with ThreadPoolExecutor(1, "build") as thread:
        return thread.submit(_build, backbone, layers, weights, size).result()


def _build(backbone: str, layers: Sequence[str] | None, weights: WeightsSource, size: Size) -> Any:
    import keras

    with plain_float32():
        if backbone == HUB:
            return _preset_network(layers, weights, size)
        constructor = getattr(keras.applications, BACKBONES[backbone].constructor)
        inception = backbone == "inception_v3"
        shape = (None, None, 3) if inception or size is None else (*size, 3)
        with step("building the network"):
            base = constructor(include_top=False, weights=None, input_shape=shape)
        with step("loading the weights"):
            if inception:
                set_weights(base, weights)
            elif weights.path is not None:
                load_file(base, BACKBONES[backbone], weights)
            elif weights.seed is not None:
                fill_random(base, weights.seed)
            else:
                raise ValueError("weights: neither a file nor a seed")
        base.trainable = False
        readable = spatial_layers(base)
        if inception:
            readable = {layer: base.get_layer(layer) for layer in INCEPTION_LAYERS}
        asked = list(readable) if layers is None else layers
        check_layers(backbone, asked, list(readable))
        return keras.Model(base.input, {layer: readable[layer].output for layer in asked})


def _preset_network(layers: Sequence[str] | None, weights: WeightsSource, size: Size) -> Any:
    import keras

    preset = preset_of(weights)
    import_hub()
    with step("building the network"):
        network = image_network(preset.config, size)
    with step("loading the weights"):
        fill(network, preset, size)
    readable = {name: tensor for name, (_, tensor) in layer_tensors(network).items()}
    asked = list(readable) if layers is None else layers
    check_layers(HUB, asked, list(readable))
    pixels = image_part(network).inputs[0]
    return keras.Model(pixels, {layer: readable[layer] for layer in asked})


def spatial_layers(base: Any) -> dict[str, Any]:
    """The layers whose output has rows and columns, first to last, by name."""
    found = {}
    for layer in base.layers[1:]:  # the first is the input
        outputs = [node.outputs for node in layer._inbound_nodes]
        if len(outputs) == 1 and len(outputs[0]) == 1 and len(outputs[0][0].shape) == 4:
            found[layer.name] = layer
    return found


def output_sides(network: Any, height: int, width: int) -> dict[str, Sequence[int]]:
    """Rows and columns of each layer that has them, for images of a height and width."""
    shapes = {name: tuple(tensor.shape) for name, tensor in network.output.items()}
    if any(None in shape[1:] for shape in shapes.values()):
        shapes = network.compute_output_shape((1, height, width, 3))
    return {layer: shape[1:3] for layer, shape in shapes.items() if len(shape) == 4}


def set_weights(base: Any, weights: WeightsSource) -> None:
    """Fill InceptionV3 from any file that holds it, or at random."""
    slots = _slots(base)
    if weights.path is not None:
        arrays = read_arrays(weights.path, weights.identity, slots)
    elif weights.seed is not None:
        arrays = _random_arrays(slots, weights.seed)
    else:
        raise ValueError("weights: neither a file nor a seed")
    for name, layer_arrays in arrays.items():
        base.get_layer(name).set_weights(layer_arrays)
    done = sum(map(len, arrays.values()))
    if done != len(base.weights):
        raise RuntimeError(f"{done} of {len(base.weights)} arrays set: a layer of unknown kind")


def _slots(base: Any) -> list[Slot]:
    """The layers that hold weights, in the order of model.layers, which is not that of creation."""
    import keras

    slots = []
    for layer in base.layers:
        shapes = tuple(tuple(variable.shape) for variable in layer.weights)
        if isinstance(layer, keras.layers.Conv2D):
            slots.append(Slot(layer.name, "convolution", shapes))
        elif isinstance(layer, keras.layers.BatchNormalization):
            slots.append(Slot(layer.name, "normalization", shapes))
    return slots


def _random_arrays(slots: Sequence[Slot], seed: int) -> dict[str, list[np.ndarray]]:
    """Kernels drawn in order of creation; normalizations neutral: beta 0, mean 0, variance 1."""
    kernels = sorted((s for s in slots if s.kind == "convolution"), key=lambda slot: slot.number)
    drawn = random_kernels([slot.shapes[0] for slot in kernels], seed)  # pyright: ignore[reportArgumentType]
    arrays = {slot.name: [kernel] for slot, kernel in zip(kernels, drawn, strict=True)}
    for slot in slots:
        if slot.kind == "normalization":
            beta, mean, variance = slot.shapes
            arrays[slot.name] = [np.zeros(beta), np.zeros(mean), np.ones(variance)]
    return arrays


def start_keras(backend: str = "tensorflow", *, hide_gpu: bool = False) -> None:
    """Import Keras on a backend, and keep its start-up messages from the terminal.

    `hide_gpu` is for engines other than TensorFlow, which would claim all memory of a GPU.

    Raises:
        InputError: Keras was imported before, on another backend.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # C++ information and warnings
        frameworks = {"tensorflow": "TensorFlow", "jax": "JAX"}
        beside = ("sklearn", "matplotlib", *(["jax"] if backend != "jax" else []))
        with (
            step(f"importing {frameworks[backend]} and Keras"),
            _without_start_up_noise(),
            without(*beside),
        ):
            import keras

            if backend == "tensorflow":
                import tensorflow as tf

                if hide_gpu:
                    tf.config.set_visible_devices([], "GPU")
                tf.config.list_logical_devices()  # looks for a GPU, and prints about it too
    import keras

    if keras.config.backend() != backend:
        raise InputError(
            f"Keras was already imported on its {keras.config.backend()} backend",
            expected=f"{backend}; one process has one backend",
            remedy=f"start a new process, or set KERAS_BACKEND={backend} before Keras is imported",
        )


def import_hub() -> None:
    """Import KerasHub after Keras; it brings TensorFlow, which then claims no GPU beside JAX.

    Raises:
        InputError: it is not installed.
    """
    check_hub()
    if "keras_hub" not in sys.modules:
        with step("importing KerasHub"), _without_start_up_noise():
            import keras
            import keras_hub  # noqa: F401

            if keras.config.backend() != "tensorflow":
                import tensorflow as tf

                tf.config.set_visible_devices([], "GPU")


# Info and warnings from before TensorFlow reads its log level; error 303 is a machine without CUDA.
_NOISE = re.compile(rb"WARNING: All log messages before absl|[IW]\d{4} |E\d{4} .*cuInit.*\(303\)")


@contextmanager
def _without_start_up_noise() -> Iterator[None]:
    """Hold back standard error; afterwards pass on all but the known start-up messages."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            held_back.seek(0)
            for line in held_back:
                if not _NOISE.match(line):
                    os.write(2, line)


@contextmanager
def plain_float32() -> Iterator[None]:
    """Build in float32 and channels last, in spite of ~/.keras/keras.json or a notebook."""
    import keras

    policy, layout = keras.config.dtype_policy(), keras.config.image_data_format()
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(layout)
