"""Choices for an ONNX backbone that only its file can tell: layers, pools and size."""

from collections.abc import Sequence
from typing import Literal

from jaxreg.backbone.network_layers import (
    DEFAULT_POOL,
    NetworkFacts,
)
from jaxreg.backbone.onnx_network import onnx_facts
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.recipe import Column
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig
from jaxreg.extraction.given_columns import Say, given_columns


def onnx_columns(chosen: ExtractConfig, weights: WeightsSource, say: Say) -> list[Column]:
    """The columns of an ONNX file. Raises InputError as `given_columns`."""
    return given_columns(chosen, onnx_facts(weights), str(weights.path), say, DEFAULT_POOL)


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
    asked: Literal["keras", "unit", "imagenet", "clip", "none"], facts: NetworkFacts
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
