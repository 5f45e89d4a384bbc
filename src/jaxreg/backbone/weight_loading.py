"""Weights of any network of keras.applications: drawn, or loaded by Keras with proof.

weight_files.py reads InceptionV3's files instead, because it takes more kinds of them.
"""

import hashlib
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from jaxreg.backbone.registry import Backbone
from jaxreg.backbone.weight_copy import plain_copy
from jaxreg.backbone.weights import WeightsSource
from jaxreg.common.files import open_regular
from jaxreg.errors import InputError

_NEUTRAL = {
    **dict.fromkeys(("bias", "beta", "moving_mean", "mean", "count"), 0.0),
    **dict.fromkeys(("gamma", "moving_variance", "variance"), 1.0),
}

# Keras' EfficientNets divide by its square root, if and only if the weights are ImageNet's
_IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


def leaves(model: Any) -> Iterator[Any]:
    """The layers with weights, in the order of `model.layers`, those of inner models in place."""
    for layer in model.layers:
        if getattr(layer, "layers", None):
            yield from leaves(layer)
        elif layer.weights:
            yield layer


def fill_random(model: Any, seed: int) -> None:
    """Random weights, version 1 (docs/weights.md): glorot kernels in layer order, the rest neutral.

    Raises:
        InputError: a layer of a kind that has no such weights.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    for layer in leaves(model):
        kind = type(layer).__name__
        for variable in layer.weights:
            variable.assign(_drawn(generator, kind, variable.name, tuple(variable.shape)))
        _settle(layer)


def _drawn(
    generator: np.random.Generator, kind: str, name: str, shape: tuple[int, ...]
) -> np.ndarray:
    if name in _NEUTRAL:
        return np.full(shape, _NEUTRAL[name], np.float32)
    if kind == "LayerScale":
        return np.ones(shape, np.float32)
    if not name.endswith("kernel") or len(shape) not in (2, 4):
        raise InputError(
            f"no random weights for {name} of a {kind}",
            remedy="--weights imagenet",
        )
    area = int(np.prod(shape[:-2]))
    fan_in, fan_out = area * shape[-2], area * shape[-1]
    if kind == "DepthwiseConv2D" or name == "depthwise_kernel":
        fan_in = area  # each channel by itself: (h, w, channels, multiplier)
    limit = np.sqrt(6 / (fan_in + fan_out))
    return generator.uniform(-limit, limit, shape).astype(np.float32)


def load_file(model: Any, backbone: Backbone, weights: WeightsSource) -> None:
    """Let Keras load a file into a network of keras.applications.

    Raises:
        InputError: the file has changed, is damaged or lacks an array.
    """
    assert weights.path is not None
    path, imagenet = weights.path, []
    load_proved(
        model,
        path,
        weights.identity,
        what=backbone.constructor,
        expected=f"{backbone.constructor} as Keras saves it (.weights.h5, .h5, .keras), "
        "without its top",
        remedy='save the backbone alone: backbone.save_weights("x.weights.h5")',
        also=lambda copy: imagenet.append(_made_for_imagenet(path, copy, backbone)),
    )
    for layer in leaves(model):
        if type(layer).__name__ == "Normalization" and imagenet[0]:
            # Keras then adds a layer that divides by sqrt(std); it is no array of the file
            layer.adapt_variance.assign(layer.adapt_variance * _IMAGENET_STD)
        _settle(layer)


def load_proved(
    model: Any,
    path: Path,
    identity: str,
    *,
    what: str,
    expected: str,
    remedy: str,
    also: Callable[[Path], None] = lambda copy: None,
) -> None:
    """Let Keras load a file, and prove that every array came from it: all are NaN before.

    Args:
        model: gets the arrays.
        path: a file that Keras has written.
        identity: its SHA-256.
        what: the network, for the message.
        expected, remedy: of the message.
        also: gets the plain copy of the file after Keras has loaded it.

    Raises:
        InputError: the file has changed, is damaged or lacks an array.
    """
    floats = [v for v in model.weights if np.issubdtype(np.dtype(v.dtype), np.floating)]
    for variable in floats:
        variable.assign(np.full(variable.shape, np.nan, np.float32))
    reason, loaded = "the rest are absent or of another shape", False
    try:
        with plain_copy(path, identity) as copy, warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Keras names the layers it skipped; the count says more
            model.load_weights(copy)
            also(copy)
        loaded = True
    except Exception as error:  # Keras raises anything
        reason = " ".join(str(error).split())[:200]
    empty = sum(not np.isfinite(np.asarray(variable)).all() for variable in floats)
    if empty or not loaded:
        raise InputError(
            f"{path} supplies {len(floats) - empty} of the {len(floats)} arrays of "
            f"{what}: {reason}",
            expected=expected,
            remedy=remedy,
        )


def _settle(layer: Any) -> None:
    """Renew the constants that a Normalization makes from its weights."""
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()


def _made_for_imagenet(path: Path, copy: Path, backbone: Backbone) -> bool:
    """Whether an EfficientNet was built with weights="imagenet", which adds one layer.

    Then it is Keras' own file, or the layers that the file lists have a second Rescaling.
    """
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    if digest.hexdigest() == backbone.imagenet.hash:
        return True
    names: list[str] = []
    with h5py.File(copy, "r") as weights:
        weights.visit(names.append)
    rescaling = {name for name in names if re.fullmatch(r"(.*/)?rescaling(_\d+)?", name)}
    return len(rescaling) > 1
