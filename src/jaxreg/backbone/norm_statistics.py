"""The inputs of a network's normalizations, compared with those in its training."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, get_args

import numpy as np

from jaxreg.backbone.network import build_network, start_keras
from jaxreg.backbone.preprocess import preprocessing
from jaxreg.backbone.registry import BACKBONES
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.recipe import Preprocess, Recipe

LAYERS = 4  # the first normalizations; further on all preprocessings look more alike
BATCH = 16  # images at a time


class Mismatch(NamedTuple):
    """Means over the channels of the first normalizations."""

    mean: float  # distance of the mean from the weights' moving mean, in their std
    spread: float  # absolute logarithm of the std over the weights' own

    @property
    def size(self) -> float:
        """Both in one number, 0 for a perfect match."""
        return self.mean + self.spread


def mismatches(
    recipe: Recipe, weights: WeightsSource, images: Sequence[np.ndarray]
) -> dict[Preprocess, Mismatch] | None:
    """For each preprocessing the distance of the first normalizations' inputs from expectation.

    Args:
        recipe: its size counts.
        weights: of the network.
        images: uint8 (height, width, 3).

    Returns:
        None if the network has no normalizations, or if their moving means are all 0 because the
        weights have seen no images. Those of ONNX files and KerasHub presets are not looked at.
    """
    if recipe.backbone not in BACKBONES:
        return None
    start_keras("tensorflow")
    import keras
    import tensorflow as tf

    network = build_network(recipe.backbone, [BACKBONES[recipe.backbone].last_layer], weights)
    kind = keras.layers.BatchNormalization
    layers = [layer for layer in network.layers if isinstance(layer, kind)][:LAYERS]
    expected = [(np.asarray(x.moving_mean), np.asarray(x.moving_variance)) for x in layers]
    if all((mean == 0).all() for mean, _ in expected):
        return None
    before = keras.Model(network.input, [layer.input for layer in layers])
    size = recipe.size or images[0].shape[:2]
    resized = np.stack([tf.image.resize(image, size, "bilinear").numpy() for image in images])
    return {
        name: _mismatch(before, preprocessing(replace(recipe, preprocess=name))(resized), expected)
        for name in get_args(Preprocess)
    }


def _mismatch(before, pixels: np.ndarray, expected: list) -> Mismatch:
    sums = [np.zeros((2, len(mean))) for mean, _ in expected]
    counts = [0] * len(expected)
    for start in range(0, len(pixels), BATCH):
        outputs = before(pixels[start : start + BATCH].astype(np.float32), training=False)
        for i, output in enumerate(outputs):
            values = np.asarray(output, np.float64).reshape(-1, output.shape[-1])
            sums[i] += np.stack([values.sum(axis=0), np.square(values).sum(axis=0)])
            counts[i] += len(values)
    means, spreads = [], []
    for (mean, variance), total, count in zip(expected, sums, counts, strict=True):
        found = total[0] / count
        std = np.sqrt(np.maximum(total[1] / count - found**2, 1e-12))
        own = np.sqrt(variance + 1e-12)
        means.append(float((np.abs(found - mean) / own).mean()))
        spreads.append(float(np.abs(np.log(std / own)).mean()))
    return Mismatch(float(np.mean(means)), float(np.mean(spreads)))
