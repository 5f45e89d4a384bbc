"""Choices for an ONNX backbone that only its file can tell: layers, pools and size."""

import re
from collections.abc import Callable, Sequence
from typing import Literal

from jaxreg.backbone.onnx_layers import (
    DEFAULT_POOL,
    POOLS,
    OnnxFacts,
    OnnxLayer,
    check_pool,
    find_layer,
    shape_text,
)
from jaxreg.backbone.onnx_network import onnx_facts
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.recipe import Column
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig
from jaxreg.setting_field import VIEWS

Say = Callable[[str], None]


def onnx_columns(chosen: ExtractConfig, weights: WeightsSource, say: Say) -> list[Column]:
    """The columns that the settings ask for, of the views in their names.

    A layer has its name in columns or that in the file, which may hold dots and slashes. Without
    layers it is the file's only output, or the last one, and `say` gets a sentence about that.

    Raises:
        InputError: a layer that the file does not have, a pool that does not fit its shape, or no
            pool for tokens.
    """
    facts, name = onnx_facts(weights), str(weights.path)
    if chosen.columns:
        return [_parse(facts, asked, name) for asked in chosen.columns]
    layers = [find_layer(facts, asked, name) for asked in chosen.layers]
    return [
        _column(layer, chosen.pool or _default_pool(layer))
        for layer in layers or [_default_layer(facts, name, say)]
    ]


def _parse(facts: OnnxFacts, asked: str, name: str) -> Column:
    known = {name for layer in facts.layers for name in (layer.layer, *layer.names)}
    view, _, rest = asked.partition(".")
    if view not in VIEWS or not rest or asked in known or asked.rpartition(".")[0] in known:
        view, rest = "identity", asked
    layer, dot, pool = rest.rpartition(".")
    if not dot or rest in known:  # a word without a pool is what has none
        layer, pool = rest, "none"
    return _column(find_layer(facts, layer, name), re.sub("^grid:?", "grid:", pool), view)


def _column(layer: OnnxLayer, pool: str, view: str = "identity") -> Column:
    column = Column(view, layer.layer, pool)
    check_pool(pool, layer.layer, layer.shape)
    return column


def _default_layer(facts: OnnxFacts, name: str, say: Say) -> OnnxLayer:
    if not facts.outputs:
        find_layer(facts, "", name)  # raises, and lists the inner ones
    *others, last = facts.outputs
    if others:
        say(
            f"layer: {last.layer}, the last of {len(facts.outputs)} outputs; --layers takes "
            + ", ".join(layer.layer for layer in others)
            + " too"
        )
    return last


def _default_pool(layer: OnnxLayer) -> str:
    if pool := DEFAULT_POOL.get(len(layer.shape)):
        return pool
    raise InputError(
        f"the layer {layer.layer} has tokens, shape {shape_text(layer.shape)}",
        expected=" or ".join(f"--pool {pool}" for pool in POOLS[len(layer.shape)])
        + ": the first token, or the mean of all",
    )


def onnx_size(chosen: ExtractConfig, weights: WeightsSource) -> tuple[int, int] | None:
    """The size that the network gets; None: the image's own.

    Raises:
        InputError: the file takes another one, or any, and nobody has said which; or the
            preprocessing is not one for this file.
    """
    facts = onnx_facts(weights)
    _check_preprocess(chosen.preprocess, facts)
    asked, own = chosen.size, facts.size
    takes = "any" if own == (None, None) else _sides(own)
    if asked is None:
        if own[0] is None or own[1] is None:
            raise InputError(
                f"{weights.path} takes images of {takes} size, and --size is left out",
                expected="--size with the height and width that the network was trained for, "
                "as --size 224 224",
            )
        return own[0], own[1]
    if asked == "native":
        if takes == "any":
            return None
        raise InputError(f"--size native, and {weights.path} takes images of {takes} pixels")
    if any(side not in (None, wanted) for side, wanted in zip(own, asked, strict=True)):
        remedy = "" if None in own else f"--size {own[0]} {own[1]}"
        raise InputError(
            f"--size is {asked[0]} {asked[1]}, and {weights.path} takes images of {takes} pixels",
            remedy=remedy,
        )
    return asked


def _sides(size: Sequence[int | None]) -> str:
    return " x ".join("any" if side is None else str(side) for side in size)


def _check_preprocess(
    asked: Literal["keras", "unit", "imagenet", "clip", "none"], facts: OnnxFacts
) -> None:
    if asked == "keras":
        raise InputError(
            "an ONNX file does not say how its pixels are preprocessed",
            expected="--preprocess unit, imagenet, clip or none, as in its training",
        )
    if facts.uint8 and asked != "none":
        raise InputError(
            f"--preprocess {asked}, and the file takes whole pixels from 0 to 255 (uint8)",
            remedy="--preprocess none",
        )
