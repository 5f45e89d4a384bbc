"""Choices for a KerasHub backbone that only its preset can tell: layers, pools, size, pixels."""

from typing import Any

from jaxreg.backbone.hub_facts import hub_facts
from jaxreg.backbone.hub_preset import CONVERTER, preset_of
from jaxreg.backbone.network_layers import DEFAULT_POOL
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.recipe import Column
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig
from jaxreg.extraction.given_columns import Say, given_columns

_POOLS = {**DEFAULT_POOL, 3: "mean"}


def hub_columns(chosen: ExtractConfig, weights: WeightsSource, say: Say) -> list[Column]:
    """The columns of a preset; `say` also hears how KerasHub would resize, if otherwise.

    Raises:
        InputError: as `given_columns`, or the network cannot be built for the size.
    """
    preset = preset_of(weights)
    facts = hub_facts(preset, hub_size(chosen, weights))
    columns = given_columns(chosen, facts, str(weights.path), say, _POOLS)
    tokens = [layer.layer for layer in facts.layers if len(layer.shape) == 3]
    if chosen.pool is None and not chosen.columns and columns[0].layer in tokens:
        other = " of patches; --pool cls takes the class token" if facts.prefix_tokens else ""
        say(f"pool: mean of the tokens{other}")
    converter = preset.converter
    if converter is not None and converter.resize is not None and chosen.size != "native":
        say(
            f"note: KerasHub resizes for this preset otherwise ({converter.resize}); jaxreg "
            "resizes bilinearly (docs/keras-hub.md)"
        )
    return columns


def hub_size(chosen: ExtractConfig, weights: WeightsSource) -> tuple[int, int] | None:
    """Pixels, height and width, by default those of the preset; None: the image's own.

    Raises:
        InputError: neither the settings nor the preset say it.
    """
    if chosen.size == "native":
        return None
    preset = preset_of(weights)
    size = chosen.size or preset.size
    if size is None:
        hub_facts(preset, None)  # a model of texts has no size, and this says what it takes
        raise InputError(
            f"the preset in {weights.path} does not say the size of its images, and --size is left "
            "out",
            expected="--size with height and width, as --size 224 224",
        )
    return size


def hub_recipe(chosen: ExtractConfig, weights: WeightsSource) -> dict[str, Any]:
    """The fields of a recipe that the preset decides.

    Raises:
        InputError: preprocess `keras`, and the preset does not say what that is.
    """
    preset, size = preset_of(weights), hub_size(chosen, weights)
    fields: dict[str, Any] = {
        "size": size,
        "prefix_tokens": hub_facts(preset, size).prefix_tokens or None,
    }
    if chosen.preprocess == "keras":
        if preset.converter is None:
            raise InputError(
                f"the preset in {weights.path} has no {CONVERTER}, which says how pixels are "
                "preprocessed",
                expected="--preprocess unit, imagenet, clip or none, as in its training",
            )
        fields |= {"scale": preset.converter.scale, "offset": preset.converter.offset}
    return fields
