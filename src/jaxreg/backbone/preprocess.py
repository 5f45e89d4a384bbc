"""Preprocessing of pixels in 0..255, by one description for every framework."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxreg.backbone.registry import BACKBONES
from jaxreg.cache.recipe import Recipe


@dataclass(frozen=True)
class Preprocessing:
    """(x / divisor - mean) / std, channels reversed first if `bgr`; None: left out.

    With a scale it is x * scale + offset, as KerasHub has it.
    """

    divisor: float | None = None
    mean: np.ndarray | None = None  # float32, one or one per channel
    std: np.ndarray | None = None  # float32, one per channel
    bgr: bool = False
    scale: np.ndarray | None = None  # float32, one per channel; the others are None then
    offset: np.ndarray | None = None

    def __call__(self, pixels: Any) -> Any:
        """Of float32 (..., 3) in NumPy, TensorFlow or JAX."""
        if self.scale is not None:
            return pixels * self.scale + self.offset
        if self.bgr:
            pixels = pixels[..., ::-1]
        if self.divisor is not None:
            pixels = pixels / self.divisor
        if self.mean is not None:
            pixels = pixels - self.mean
        return pixels if self.std is None else pixels / self.std

    def openvino(self, ops: Any, pixels: Any) -> Any:
        """The same as nodes of an OpenVINO model, shape (batch, rows, columns, 3)."""
        if self.scale is not None:
            return ops.add(ops.multiply(pixels, self.scale), self.offset)
        if self.bgr:
            pixels = ops.gather(pixels, np.array([2, 1, 0]), np.array(3))
        if self.divisor is not None:
            pixels = ops.divide(pixels, np.float32(self.divisor))
        if self.mean is not None:
            pixels = ops.subtract(pixels, self.mean)
        return pixels if self.std is None else ops.divide(pixels, self.std)


def _float32(*values: float) -> np.ndarray:
    return np.array(values[0] if len(values) == 1 else values, np.float32)


# mean and std of "clip" are those of openai/clip; the rest are in
# keras/src/applications/imagenet_utils.py
NAMED = {
    "unit": Preprocessing(255.0),
    "imagenet": Preprocessing(255.0, _float32(0.485, 0.456, 0.406), _float32(0.229, 0.224, 0.225)),
    "clip": Preprocessing(
        255.0,
        _float32(0.48145466, 0.4578275, 0.40821073),
        _float32(0.26862954, 0.26130258, 0.27577711),
    ),
    "none": Preprocessing(),
}
"""The preprocessings that no backbone decides, by the name that `--preprocess` takes."""

_KERAS = {
    "tf": Preprocessing(127.5, _float32(1.0)),
    "torch": NAMED["imagenet"],
    "caffe": Preprocessing(mean=_float32(103.939, 116.779, 123.68), bgr=True),
    "none": NAMED["none"],
}


def preprocessing(recipe: Recipe) -> Preprocessing:
    """The preprocessing of a recipe: one of NAMED, or the backbone's own `preprocess_input`.

    That of a KerasHub preset is in the recipe.
    """
    if recipe.scale is not None and recipe.offset is not None:
        return Preprocessing(scale=_float32(*recipe.scale), offset=_float32(*recipe.offset))
    if recipe.preprocess == "keras":
        return _KERAS[BACKBONES[recipe.backbone].range]
    return NAMED[recipe.preprocess]
