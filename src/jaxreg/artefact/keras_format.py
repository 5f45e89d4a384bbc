"""A run as a `.keras` file and as a SavedModel of TensorFlow."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxreg.artefact.keras_model import keras_model
from jaxreg.backbone.network import start_keras
from jaxreg.backbone.registry import HUB, ONNX
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.extraction.run_networks import RunNetworks

if TYPE_CHECKING:
    from jaxreg.artefact.formats import Runner
    from jaxreg.trained_run import TrainedRun


def check_keras(run: "TrainedRun") -> None:
    """Raise InputError for a run that no `.keras` file can hold."""
    check_savedmodel(run)
    if any(recipe.backbone == HUB for recipe in run.features.networks):
        raise InputError(
            f"{run.path} has a network of KerasHub, whose layers are not built into Keras: the "
            "file would load only where KerasHub is imported",
            remedy="--format savedmodel",
        )


def check_savedmodel(run: "TrainedRun") -> None:
    """Raise InputError for a run whose network is none of Keras, or not in float32."""
    for recipe in run.features.networks:
        if recipe.backbone == ONNX:
            raise InputError(
                f"{run.path} has a network from an ONNX file, which Keras does not read",
                expected="--format onnx or --format openvino",
                remedy="--format onnx",
            )
        if recipe.precision == "int8":
            raise InputError(
                f"{run.path} has features in int8, and Keras would compute others in float32",
                expected="--format openvino, which keeps the int8 network",
                remedy="--format openvino",
            )


def write_keras(run: "TrainedRun", networks: RunNetworks, path: Path) -> None:
    """Write NAME.keras; errors as of `keras_model`."""
    model = keras_model(run, networks)
    with step("writing the model"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras about itself
        model.save(path)


def load_keras(path: Path) -> "Runner":
    """The model of a `.keras` file, loaded in safe mode."""
    start_keras()
    import keras

    model: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda images: np.asarray(model.predict_on_batch(images))


def keras_lines(name: str) -> str:
    """How a program uses it."""
    return f"""model = keras.saving.load_model({name!r})
numbers = model.predict(image[None], verbose=0)"""


def write_savedmodel(run: "TrainedRun", networks: RunNetworks, path: Path) -> None:
    """Write a folder with the endpoint `serve` and the signature `serving_default`."""
    model = keras_model(run, networks)
    with step("writing the model"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras about itself
        import tensorflow as tf

        name = model.output_names[0]
        pixels = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")  # pyright: ignore[reportCallIssue]
        # Keras' own export would write every weight twice
        module: Any = tf.Module()
        module.weights = [weight.value for weight in model.weights]
        module.serve = tf.function(
            lambda images: {name: model(images, training=False)}, input_signature=[pixels]
        )
        signatures = {"serving_default": module.serve.get_concrete_function()}
        tf.saved_model.save(module, str(path), signatures=signatures)


def load_savedmodel(path: Path) -> "Runner":
    """The endpoint of a SavedModel."""
    start_keras()
    import tensorflow as tf

    model: Any = tf.saved_model.load(str(path))

    def run(images: np.ndarray) -> np.ndarray:
        (numbers,) = model.serve(images).values()
        return numbers.numpy()

    return run


def savedmodel_lines(name: str) -> str:
    """How a program uses it."""
    return f"""model = tf.saved_model.load({name!r})
(numbers,) = model.serve(image[None]).values()"""
