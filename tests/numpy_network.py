"""Keras' networks of convolutions by hand, in NumPy and float64: what an engine must come to."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def outputs_of(model: Any, pixels: np.ndarray, layers: list[str]) -> dict[str, np.ndarray]:
    """The outputs (images, rows, columns, channels) of layers of a Keras model, as InceptionV3.

    `pixels` (images, rows, columns, 3) are as the network takes them.
    """
    values: dict[int, np.ndarray] = {}
    for layer in model.layers:
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        arrays = [values[id(tensor)] for tensor in given] if values else [pixels]
        values[id(layer.output)] = _output(layer, [array.astype(np.float64) for array in arrays])
    return {name: values[id(model.get_layer(name).output)] for name in layers}


def _output(layer: Any, arrays: list[np.ndarray]) -> np.ndarray:
    kind, x = type(layer).__name__, arrays[0]
    weights = [np.asarray(weight, np.float64) for weight in layer.get_weights()]
    if kind == "InputLayer":
        return x
    if kind == "Concatenate":
        return np.concatenate(arrays, axis=-1)
    if kind == "Activation":
        assert layer.activation.__name__ == "relu"
        return np.maximum(x, 0)
    if kind == "BatchNormalization":
        beta, mean, variance = weights
        return (x - mean) / np.sqrt(variance + layer.epsilon) + beta
    if kind == "Conv2D":
        [kernel] = weights
        windows = _windows(x, kernel.shape[:2], layer, 0.0)
        return np.tensordot(windows, kernel.transpose(2, 0, 1, 3), 3)
    windows = _windows(x, layer.pool_size, layer, np.nan)  # what is outside the image is no value
    if kind == "MaxPooling2D":
        return np.nanmax(windows, (4, 5))
    assert kind == "AveragePooling2D"
    return np.nanmean(windows, (4, 5))


def _windows(x: np.ndarray, size: tuple[int, ...], layer: Any, outside: float) -> np.ndarray:
    """(images, rows, columns, channels, height, width) of the pieces that a layer looks at."""
    if layer.padding == "same":
        pads = [_pad(*each) for each in zip(x.shape[1:3], size, layer.strides, strict=True)]
        x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=outside)
    down, right = layer.strides
    return sliding_window_view(x, size, (1, 2))[:, ::down, ::right]


def _pad(side: int, size: int, stride: int) -> tuple[int, int]:
    """Rows before and after, as TensorFlow's padding `same` has them."""
    whole = max((-(-side // stride) - 1) * stride + size - side, 0)
    return whole // 2, whole - whole // 2
