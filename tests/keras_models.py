"""Keras' own InceptionV3 with known weights: fixtures of several test files, and their helpers."""

from typing import Any

import numpy as np
import pytest

from jaxreg.backbone.network import start_keras


def relative_error(got: np.ndarray, wanted: np.ndarray) -> float:
    """As DESIGN.md defines it: max|a - b| / max|b| over the batch."""
    assert got.shape == wanted.shape
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


def draw_statistics(model: Any, rng: np.random.Generator) -> None:
    """Make the arrays of all normalizations unlike each other; Keras begins with 0 and 1."""
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            shape = layer.weights[0].shape
            layer.set_weights(
                [rng.normal(0, 0.1, shape), rng.normal(0, 0.1, shape), rng.uniform(0.5, 2, shape)]
            )


@pytest.fixture(scope="session")
def keras():
    start_keras()
    import keras

    return keras


@pytest.fixture(scope="session")
def trained(keras):
    """Keras' own InceptionV3 with every one of its 376 arrays unlike any other."""
    model = keras.applications.InceptionV3(include_top=False, weights=None)
    draw_statistics(model, np.random.default_rng(1))
    return model


@pytest.fixture(scope="session")
def blank(keras):
    return keras.applications.InceptionV3(include_top=False, weights=None)


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Half-pixel centres, edges repeated, no antialias, by hand, along one axis after the other."""

    def along_rows(pixels: np.ndarray, size: int) -> np.ndarray:
        place = (np.arange(size) + 0.5) * len(pixels) / size - 0.5
        low = np.floor(place).astype(int)
        share = (place - low)[:, None, None]
        last = len(pixels) - 1
        return pixels[low.clip(0, last)] * (1 - share) + pixels[(low + 1).clip(0, last)] * share

    rows = along_rows(image.astype(np.float64), height)
    return along_rows(rows.transpose(1, 0, 2), width).transpose(1, 0, 2)
