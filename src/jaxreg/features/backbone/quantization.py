"""The network in int8: NNCF's post-training quantization, calibrated on the user's own images."""

import io
import logging
import warnings
from collections.abc import Iterable
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from jaxreg.errors import InputError
from jaxreg.features.backbone.openvino_model import (
    converted_network,
    import_openvino,
    pack,
    unpack,
)
from jaxreg.features.backbone.preprocess import preprocessing
from jaxreg.features.backbone.resize import resize
from jaxreg.features.backbones import BACKBONES
from jaxreg.features.recipe import Recipe
from jaxreg.features.weights import WeightsSource

CALIBRATION_IMAGES = 200
"""Enough for the ranges of activations to settle; twice as many take twice the time."""


def quantized_network(
    recipe: Recipe, weights: WeightsSource, images: Iterable[np.ndarray]
) -> bytes:
    """The whole network in int8, packed: preprocessed pixels in, the last tap out, others inside.

    Args:
        recipe: says size and preprocessing.
        weights: of the float32 network.
        images: to calibrate on, at least one, uint8 (height, width, 3); gone through several
            times.

    Raises:
        InputError: there is no image; OpenVINO or NNCF is not installed.
    """
    if next(iter(images), None) is None:
        raise InputError("no usable image to calibrate int8 on", expected="at least one")
    ov = import_openvino()
    nncf = _quiet_nncf()
    network = unpack(ov.Core(), converted_network(recipe.backbone, weights, recipe.size))
    _end_at_the_last_tap(network, BACKBONES[recipe.backbone].last_tap)

    prepared = preprocessing(recipe)

    def prepare(image: np.ndarray) -> np.ndarray:
        pixels = np.empty((1, *(recipe.size or image.shape[:2]), 3), np.float32)
        resize(image, pixels[0])
        return prepared(pixels)

    with redirect_stdout(io.StringIO()), warnings.catch_warnings():  # progress bars
        warnings.simplefilter("ignore")
        dataset = nncf.Dataset(images, prepare)
        return pack(nncf.quantize(network, dataset, subset_size=CALIBRATION_IMAGES))


def _end_at_the_last_tap(network: Any, last: str) -> None:
    """Let other taps be layers within the network, not ends of it.

    NNCF leaves a layer at which a network ends in float32, and what follows it in part: 5% slower.
    """
    for result in network.get_results():
        if last not in result.input_value(0).get_names():
            network.remove_result(result)


def _quiet_nncf() -> Any:

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nncf = import_openvino("nncf")
    nncf.set_log_level(logging.ERROR)
    return nncf
