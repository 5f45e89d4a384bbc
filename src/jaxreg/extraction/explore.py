"""`extract --preset explore`: a spread of layers and pools in one pass, and what they cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import humanize
import numpy as np

from jaxreg.backbone.hub_facts import hub_facts
from jaxreg.backbone.hub_names import identify_preset
from jaxreg.backbone.hub_preset import preset_of
from jaxreg.backbone.network_layers import NamedLayer, NetworkFacts
from jaxreg.backbone.onnx_network import onnx_facts
from jaxreg.backbone.registry import HUB, ONNX, backbone_name
from jaxreg.backbone.weights import identify_onnx
from jaxreg.cache.recipe import INCEPTION_LAYERS, Column
from jaxreg.config_io import from_json
from jaxreg.errors import InputError
from jaxreg.extract_config import FEATURES_PRESETS, ExtractConfig
from jaxreg.extraction.hub_choice import hub_size

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
    if backbone_name(asked) == "inception_v3":
        return FEATURES_PRESETS[preset]
    known = {name: given[name] for name in ("backbone", "size") if name in given}
    facts = _facts(from_json(ExtractConfig, known))
    if facts is None:
        raise InputError(
            f"--preset explore with --backbone {asked}",
            expected="inception_v3, onnx:FILE or keras_hub:PRESET, whose layers are known before "
            "they are built",
            remedy="name them with --columns",
        )
    return {"columns": tuple(column.short_name for column in _of_outputs(facts))}


def _facts(settings: ExtractConfig) -> NetworkFacts | None:
    """What a network that brings its weights says of itself; None for others."""
    backbone = backbone_name(settings.backbone)
    if backbone == ONNX:
        return onnx_facts(identify_onnx(settings.backbone))
    if backbone == HUB:
        weights = identify_preset(settings.backbone)
        return hub_facts(preset_of(weights), hub_size(settings, weights))
    return None


def _of_outputs(facts: NetworkFacts) -> list[Column]:
    """Every output of the network in the pools that fit it."""
    found = []
    for layer in facts.outputs:
        tokens = ["cls", "mean"] if facts.prefix_tokens != 0 else ["mean"]
        pools = {2: ["none"], 3: tokens, 4: ["avg"]}[len(layer.shape)]
        if len(layer.shape) == 4:
            rows, columns, _ = facts.axes(layer)
            small = [layer.shape[axis] == 1 for axis in (rows, columns)]
            pools += [] if any(small) else [_GRID]
        found += [Column(layer=layer.layer, pool=pool) for pool in pools]
    return found


def cost(columns: Sequence[Column], settings: ExtractConfig) -> int:
    """Bytes that the features of 1,000 images take in the cache."""
    facts = _facts(settings)
    layers = {} if facts is None else {layer.layer: layer for layer in facts.layers}
    width = 0
    for column in columns:
        rows, places = column.cells or (1, 1)
        channels = (
            CHANNELS[column.layer] if facts is None else _channels(layers[column.layer], facts)
        )
        width += rows * places * channels
    return 1000 * width * np.dtype(settings.dtype).itemsize


def _channels(layer: NamedLayer, facts: NetworkFacts) -> int:
    axis = facts.axes(layer)[2] if len(layer.shape) == 4 else -1
    channels = layer.shape[axis]
    assert channels is not None  # else it is no layer
    return channels


def cost_text(columns: Sequence[Column], settings: ExtractConfig) -> str:
    """What `extract` says before it starts."""
    size = humanize.naturalsize(cost(columns, settings))
    return f"{len(columns)} columns: the features of 1,000 images take {size} ({settings.dtype})"
