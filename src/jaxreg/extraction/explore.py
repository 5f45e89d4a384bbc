"""`extract --preset explore`: a spread of layers and pools in one pass, and what they cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import humanize
import numpy as np

from jaxreg.backbone.onnx_layers import OnnxFacts, OnnxLayer, map_axes
from jaxreg.backbone.onnx_network import onnx_facts
from jaxreg.backbone.registry import ONNX, backbone_name
from jaxreg.backbone.weights import identify_onnx
from jaxreg.cache.recipe import INCEPTION_LAYERS, Column
from jaxreg.errors import InputError
from jaxreg.extract_config import FEATURES_PRESETS, ExtractConfig

CHANNELS = dict(zip(INCEPTION_LAYERS, (256, 288, 288, *[768] * 5, 1280, 2048, 2048), strict=True))
"""Of each layer of InceptionV3."""

_GRID = "grid:2x2"  # of the maps of an ONNX file


def features_preset(preset: str | None, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of a preset of `extract`, nothing for None.

    Args:
        preset: a key of FEATURES_PRESETS.
        given: flags, or keywords of the Python API.

    Raises:
        InputError: explore beside layers, pool or columns, or with a backbone whose layers only
            Keras knows.
    """
    if preset != "explore":
        return FEATURES_PRESETS.get(preset or "", {})
    if said := [f"--{name}" for name in ("layers", "pool", "columns") if given.get(name)]:
        raise InputError(
            f"--preset explore with {' and '.join(said)}",
            expected="one of them: explore chooses the layers and pools",
            remedy=f"leave out --preset explore, or {' and '.join(said)}",
        )
    asked = given.get("backbone", "inception_v3")
    backbone = backbone_name(asked)
    if backbone == ONNX:
        return {"columns": tuple(column.short_name for column in _of_outputs(_facts(asked)))}
    if backbone != "inception_v3":
        raise InputError(
            f"--preset explore with --backbone {asked}",
            expected="inception_v3 or onnx:FILE, whose layers are known before they are built",
            remedy="name them with --columns",
        )
    return FEATURES_PRESETS[preset]


def _facts(backbone: str) -> OnnxFacts:
    return onnx_facts(identify_onnx(backbone))


def _of_outputs(facts: OnnxFacts) -> list[Column]:
    """Every output of an ONNX file in the pools that fit it."""
    found = []
    for layer in facts.outputs:
        pools = {2: ["none"], 3: ["cls", "mean"], 4: ["avg"]}[len(layer.shape)]
        if len(layer.shape) == 4:
            rows, columns, _ = map_axes(layer.shape, facts.size)
            small = [layer.shape[axis] == 1 for axis in (rows, columns)]
            pools += [] if any(small) else [_GRID]
        found += [Column(layer=layer.layer, pool=pool) for pool in pools]
    return found


def cost(columns: Sequence[Column], settings: ExtractConfig) -> int:
    """Bytes that the features of 1,000 images take in the cache."""
    facts = _facts(settings.backbone) if backbone_name(settings.backbone) == ONNX else None
    layers = {} if facts is None else {layer.layer: layer for layer in facts.layers}
    width = 0
    for column in columns:
        rows, places = column.cells or (1, 1)
        channels = (
            CHANNELS[column.layer] if facts is None else _channels(layers[column.layer], facts)
        )
        width += rows * places * channels
    return 1000 * width * np.dtype(settings.dtype).itemsize


def _channels(layer: OnnxLayer, facts: OnnxFacts) -> int:
    axis = map_axes(layer.shape, facts.size)[2] if len(layer.shape) == 4 else -1
    channels = layer.shape[axis]
    assert channels is not None  # else it is no layer
    return channels


def cost_text(columns: Sequence[Column], settings: ExtractConfig) -> str:
    """What `extract` says before it starts."""
    size = humanize.naturalsize(cost(columns, settings))
    return f"{len(columns)} columns: the features of 1,000 images take {size} ({settings.dtype})"
