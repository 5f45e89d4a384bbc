"""Small KerasHub presets of random weights, in folders that KerasHub itself writes."""

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxreg.backbone import hub_facts
from jaxreg.backbone.network import import_hub, plain_float32, start_keras
from keras_models import bilinear

needs_hub = pytest.mark.skipif(
    importlib.util.find_spec("keras_hub") is None, reason="keras-hub is not installed here"
)

IMAGENET = {
    "scale": [1 / 255 / 0.229, 1 / 255 / 0.224, 1 / 255 / 0.225],
    "offset": [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
}
HALVES = {"scale": 1 / 127.5, "offset": -1.0}
PLAIN = {"crop_to_aspect_ratio": False}

TRANSFORMER = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16}
PREFIX = 3  # tokens of `dino` before those of its patches: one of the class, two registers


def started() -> Any:
    """KerasHub, on TensorFlow."""
    start_keras("tensorflow")
    import_hub()
    import keras_hub

    return keras_hub


def save(made: Any, folder: Path, converter: Any = None, seed: int = 0) -> Path:
    """Weights unlike one another, then the preset as KerasHub writes it."""
    rng = np.random.default_rng(seed)
    for variable in made.weights:
        if np.issubdtype(np.dtype(variable.dtype), np.floating):
            positive = "variance" in variable.name
            drawn = rng.uniform(0.5, 2, variable.shape) if positive else None
            variable.assign(rng.normal(0, 0.3, variable.shape) if drawn is None else drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras' own, of NumPy's `copy`
        made.save_to_preset(str(folder))
    if converter is not None:
        converter.save_to_preset(str(folder))
    return folder


def make(name: str, folder: Path) -> Path:
    """The preset of one of the names below, in a new folder."""
    hub = started()
    with plain_float32():
        made, converter = _MAKERS[name](hub)
        return save(made, folder / name, converter)


def _vit(hub: Any) -> tuple[Any, Any]:
    made = hub.models.ViTBackbone(image_shape=(32, 32, 3), patch_size=8, mlp_dim=32, **TRANSFORMER)
    return made, hub.layers.ViTImageConverter(image_size=(32, 32), **HALVES, **PLAIN)


def _dino(hub: Any) -> tuple[Any, Any]:
    made = hub.models.DINOV2Backbone(
        patch_size=14,
        intermediate_dim=32,
        image_shape=(28, 28, 3),
        position_embedding_shape=(42, 42),
        num_register_tokens=PREFIX - 1,
        **TRANSFORMER,
    )
    resize = {"interpolation": "bicubic", "antialias": True, **PLAIN}
    return made, hub.layers.DINOV2ImageConverter(image_size=(28, 28), **IMAGENET, **resize)


def _resnet(hub: Any) -> tuple[Any, Any]:
    made = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    )
    return made, hub.layers.ResNetImageConverter(image_size=(40, 48), **IMAGENET, **PLAIN)


def _siglip(hub: Any) -> tuple[Any, Any]:
    more = {"patch_size": 8, "intermediate_dim": 32, "image_shape": (32, 32, 3)}
    images = hub.models.SigLIPVisionEncoder(**more, **TRANSFORMER)
    texts = hub.models.SigLIPTextEncoder(
        vocabulary_size=32, embedding_dim=16, intermediate_dim=32, **TRANSFORMER
    )
    made = hub.models.SigLIPBackbone(vision_encoder=images, text_encoder=texts, projection_dim=16)
    return made, hub.layers.SigLIPImageConverter(image_size=(32, 32), **HALVES)


def _bert(hub: Any) -> tuple[Any, None]:
    return hub.models.BertBackbone(vocabulary_size=30, intermediate_dim=16, **TRANSFORMER), None


_MAKERS = {"vit": _vit, "dino": _dino, "resnet": _resnet, "siglip": _siglip, "bert": _bert}


def answer_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask KerasHub here: each process of its own takes seconds to import it."""

    def read(module: str, path: Path, target: Path, identity: str, *, seconds: float) -> None:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = hub_facts.main(str(path), str(target), identity)
        if code:
            raise hub_facts.UnusableFile(said.getvalue().strip())

    monkeypatch.setattr(hub_facts, "read_in_a_process", read)
    monkeypatch.setattr(hub_facts, "limit_process", lambda most: None)


def loaded(folder: Path, **changes: Any) -> Any:
    """The network as KerasHub loads it."""
    hub = started()
    with plain_float32():
        return hub.models.Backbone.from_preset(str(folder), **changes)


def pixels(images: Sequence[np.ndarray], height: int, width: int, **converter: Any) -> np.ndarray:
    """What the network gets: bilinear, then x * scale + offset, by NumPy."""
    resized = np.stack([bilinear(image, height, width) for image in images])
    scaled = resized * np.array(converter["scale"]) + np.array(converter["offset"])
    return scaled.astype(np.float32)
