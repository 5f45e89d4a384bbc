"""From raw pixels to the features of a run, as one OpenVINO model made of its own networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxreg.artefact.float16_rounding import rounded_to_float16
from jaxreg.backbone.openvino_model import import_openvino, unpack
from jaxreg.backbone.openvino_reads import (
    check_model_layers,
    fixed_batch,
    maps_of,
    pooled_model,
    take_size,
)
from jaxreg.backbone.registry import ONNX
from jaxreg.backbone.resize import mixed
from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.cache.recipe import Recipe

INPUT = "images"
"""The name of the input of uint8 pixels."""

ROUNDED = 4096  # pixels: in images of up to so many each way, places are rounded as TensorFlow's,
CLOSE = 1e-3  # of a pixel, to which such a rounding comes


def features_model(
    features: ChosenFeatures, networks: Mapping[str, bytes], dtype: str, batch: int | None = None
) -> Any:
    """uint8 (batch, height, width, 3) of any one size -> float32 (batch, columns).

    Args:
        features: the columns, all of networks.
        networks: by feature set the packed network, whose input is preprocessed pixels.
        dtype: that of the features of the run: float16 rounds them.
        batch: images that the networks take at once; None: any number.
    """
    ov = import_openvino()
    from openvino import opset13 as ops

    core = ov.Core()
    shape = ov.PartialShape([-1 if batch is None else batch, -1, -1, 3])
    images = ops.parameter(shape, ov.Type.u8, name=INPUT)
    images.output(0).set_names({INPUT})
    found = {}
    for name, packed in networks.items():
        recipe = features.recipes[name]
        assert isinstance(recipe, Recipe)
        columns = features.columns_of(name)
        pixels = resized(ops, images, recipe)
        for view in dict.fromkeys(column.view for column in columns):
            own = [column for column in columns if column.view == view]
            reads = sorted({(column.layer, column.pool) for column in own})
            shown = pixels if view == "identity" else _mirrored(ops, pixels)
            outputs = dict(zip(reads, _read(ops, core, recipe, packed, reads, shown), strict=True))
            found |= {(name, column): outputs[column.layer, column.pool] for column in own}
    joined = ops.concat([found[column] for column in features.columns], 1)
    if dtype == "float16":
        joined = rounded_to_float16(ops, joined)
    return ov.Model([ops.result(joined)], [images], "features")


def join_models(first: Any, second: Any, name: str) -> Any:
    """The model of `first` and then `second`, whose one input is the one output of `first`."""
    ov = import_openvino()
    [parameter] = second.get_parameters()
    [result] = first.get_results()
    between = result.input_value(0)
    for user in parameter.output(0).get_target_inputs():
        user.replace_source_output(between)
    return ov.Model(second.get_results(), first.get_parameters(), name)


def resized(ops: Any, images: Any, recipe: Recipe) -> Any:
    """uint8 images as float32 ones of the recipe's size, by the rules of backbone/resize.py."""
    ov = import_openvino()
    if recipe.size is None:
        return ops.convert(images, ov.Type.f32)
    if recipe.precision == "int8" or (recipe.backbone == ONNX and recipe.preprocess == "none"):
        return _rounded_alike(ops, images, recipe.size)
    # the fastest one, with differences of up to 3.6e-3
    first = ops.transpose(ops.convert(images, ov.Type.f32), np.array([0, 3, 1, 2]))
    sized = ops.interpolate(
        first,
        np.array(recipe.size),
        "linear_onnx",
        "sizes",
        axes=np.array([2, 3]),
        coordinate_transformation_mode="half_pixel",
    )
    return ops.transpose(sized, np.array([0, 2, 3, 1]))


def _rounded_alike(ops: Any, images: Any, size: tuple[int, int]) -> Any:
    """The same with differences of up to 5e-5, for networks that round the pixels.

    For int8 and for uint8 a number on the other side of a half is one of another step.
    """
    ov = import_openvino()
    rows, columns = (_neighbours(ops, images, axis, size[axis - 1]) for axis in (1, 2))
    corners = [
        ops.convert(ops.gather(by_row, at, np.array(2)), ov.Type.f32)
        for by_row in (ops.gather(images, at, np.array(1)) for at in rows[:2])
        for at in columns[:2]
    ]
    across = ops.reshape(columns[2], np.array([1, 1, size[1], 1]), False)
    down = ops.reshape(rows[2], np.array([1, size[0], 1, 1]), False)
    return mixed(corners, across, down)


def _neighbours(ops: Any, images: Any, axis: int, wanted: int) -> tuple[Any, Any, Any]:
    """`resize.neighbours` of an axis: two places for each of the result, the second one's share.

    The places and the share are those of whole numbers. A share of float32, rounded as TensorFlow
    rounds it, takes the place of this share where the two are close; in bfloat16 they are not.
    """
    ov = import_openvino()
    side = ops.gather(ops.shape_of(images, "i32"), np.array(axis), np.array(0))
    # place k of the result lies at ((2 k + 1) side - wanted) / (2 wanted) of the image
    doubled = np.int32(2 * wanted)
    twice = ops.multiply(2 * np.arange(wanted, dtype=np.int32) + np.int32(1), side)
    above = ops.add(twice, np.int32(wanted))  # and 1 more, so it is not below 0
    floor = ops.subtract(ops.divide(above, doubled), np.int32(1))
    rest = ops.subtract(above, ops.multiply(ops.add(floor, np.int32(1)), doubled))
    whole = ops.divide(ops.convert(rest, ov.Type.f32), np.float32(doubled))
    # a table, because OpenVINO multiplies with the rounded inverse of a divisor
    scales = np.arange(ROUNDED + 1, dtype=np.float32) / np.float32(wanted)
    scale = ops.gather(scales, ops.minimum(side, np.int32(ROUNDED)), np.array(0))
    centres = np.arange(wanted, dtype=np.float32) + np.float32(0.5)
    # OpenVINO rounds a product and a sum only once, unless a maximum is between them
    product = ops.maximum(ops.multiply(centres, scale), np.float32(0))
    place = ops.subtract(product, np.float32(0.5))
    share = ops.subtract(place, ops.convert(floor, ov.Type.f32))
    share = ops.maximum(share, ops.subtract(whole, np.float32(CLOSE)))
    share = ops.minimum(share, ops.add(whole, np.float32(CLOSE)))
    share = ops.select(ops.less_equal(side, np.int32(ROUNDED)), share, whole)
    low = ops.maximum(floor, np.int32(0))
    high = ops.minimum(ops.add(floor, np.int32(1)), ops.subtract(side, np.int32(1)))
    return low, high, share


def _mirrored(ops: Any, pixels: Any) -> Any:
    """Left and right exchanged."""
    begin, end = np.array([-1]), np.array([np.iinfo(np.int64).min])
    return ops.slice(pixels, begin, end, np.array([-1]), np.array([2]))


def _read(
    ops: Any,
    core: Any,
    recipe: Recipe,
    packed: bytes,
    reads: list[tuple[str, str]],
    pixels: Any,
) -> list[Any]:
    """The tensor of each read of a network that is shown these pixels."""
    model = unpack(core, packed)
    check_model_layers(model, recipe.backbone, [layer for layer, _ in reads])
    if recipe.size is not None:
        take_size(model, fixed_batch(model), *recipe.size)
    pooled = pooled_model(model, recipe, reads, maps_of(model, recipe, reads))
    [parameter] = pooled.get_parameters()
    for user in parameter.output(0).get_target_inputs():
        user.replace_source_output(pixels.output(0))
    found = [result.input_value(0) for result in pooled.get_results()]
    if recipe.precision != "int8":
        return found
    # OpenVINO would move the scales of int8 numbers past the pools into the heads, and then pool
    # in int8. It moves them past no maximum, and this one changes nothing.
    least = np.finfo(np.float32).min
    return [ops.maximum(read, least).output(0) for read in found]
