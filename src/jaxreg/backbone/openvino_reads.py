"""An OpenVINO model cut to the layers that are read, with preprocessing before and pools after."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxreg.backbone.network import check_layers
from jaxreg.backbone.network_layers import check_pool, map_axes, shape_text
from jaxreg.backbone.openvino_model import import_openvino, reason_of
from jaxreg.backbone.pooling import even_steps, grid_cells
from jaxreg.backbone.preprocess import preprocessing
from jaxreg.backbone.registry import ONNX
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.errors import InputError


class Map(NamedTuple):
    """The rows and columns of a layer, None where each image may have others, and their axes."""

    rows: int | None
    columns: int | None
    axes: tuple[int, int]


def layer_outputs(model: Any, layers: Sequence[str]) -> dict[str, Any]:
    """The outputs of some layers, also of inner ones, by name; the batch is the first axis."""
    return {
        layer: output
        for node in model.get_ops()
        for output in node.outputs()
        for layer in set(layers) & output.get_names()
        if node.get_type_name() != "Result"
    }


def check_model_layers(model: Any, backbone: str, layers: Sequence[str]) -> None:
    """Raise InputError for a layer that the converted network does not have."""
    found = layer_outputs(model, layers)
    if len(found) < len(set(layers)):
        names = [name for op in model.get_ops() for out in op.outputs() for name in out.get_names()]
        check_layers(backbone, layers, [name for name in names if re.fullmatch(r"[\w-]+", name)])


def fixed_batch(model: Any) -> int | None:
    """The number of images that the network takes at once; None for any number."""
    return sides_of(model.inputs[0])[0]


def take_size(model: Any, batch: int | None, height: int, width: int) -> None:
    """Let the model take images of that size.

    Raises:
        InputError: it cannot, as most networks with embedded positions.
    """
    try:
        model.reshape([-1 if batch is None else batch, height, width, 3])
    except RuntimeError as error:
        raise InputError(
            f"the network does not take images of {height} x {width} pixels: {reason_of(error)}",
            expected="--size with the height and width that the network was exported for",
        ) from error


def maps_of(model: Any, recipe: Recipe, reads: Sequence[tuple[str, str]]) -> dict[str, Map]:
    """The layers with rows and columns, for the size, or for any, that the model takes now.

    Raises:
        InputError: a pool does not fit its layer, or a layer has not one row for each image.
    """
    _, height, width, _ = sides_of(model.inputs[0])
    outputs = layer_outputs(model, [layer for layer, _ in reads])
    batch, maps = fixed_batch(model), {}
    for layer, pool in reads:
        shape = sides_of(outputs[layer])
        if shape[0] != batch:
            raise InputError(
                f"the layer {layer} of shape {shape_text(shape)} has not one row for each image",
                remedy="export the network with a free batch, or use another layer",
            )
        check_pool(pool, layer, shape)
        if len(shape) == 4:
            axes = map_axes(shape, (height, width))[:2] if recipe.backbone == ONNX else (1, 2)
            rows, columns = (shape[axis] for axis in axes)
            maps[layer] = Map(rows, columns, axes)
    return maps


def sides_of_maps(maps: Mapping[str, Map]) -> dict[str, tuple[int, int]]:
    """The rows and columns of those layers that have as many for every image."""
    return {
        layer: (its.rows, its.columns)
        for layer, its in maps.items()
        if its.rows is not None and its.columns is not None
    }


def sides_of(output: Any) -> list[int | None]:
    """The sides of a tensor with a known number of them; None for one that is open."""
    shape = output.get_partial_shape()
    return [None if side.is_dynamic else side.get_length() for side in shape]


def pooled_model(
    model: Any, recipe: Recipe, reads: Sequence[tuple[str, str]], maps: Mapping[str, Map]
) -> Any:
    """Pixels in 0..255 in, one output per read: preprocessing before the network, pools after it.

    It ends at the last layer that is read. `model` is changed and must not be used again. `maps`
    has its layers with rows and columns.
    """
    ov = import_openvino()
    from openvino import opset13 as ops

    [network_input] = model.get_parameters()
    pixels = ops.parameter(network_input.get_partial_shape(), ov.Type.f32, name="pixels")
    users = network_input.output(0).get_target_inputs()
    prepared = preprocessing(recipe).openvino(ops, pixels)
    for user in users:
        user.replace_source_output(prepared.output(0))
    outputs = layer_outputs(model, [layer for layer, _ in reads])
    results = []
    for layer, pool in reads:
        output = outputs[layer]
        if output.get_element_type() != ov.Type.f32:
            output = ops.convert(output, ov.Type.f32)
        column = Column(layer=layer, pool=pool)
        prefix = recipe.prefix_tokens or 0
        results.append(ops.result(_pool(ops, output, column, maps.get(layer), prefix)))
    return ov.Model(results, [pixels], "features")


def _pool(ops: Any, output: Any, column: Column, its: Map | None, prefix: int) -> Any:
    """(batch, …) -> (batch, D)."""
    if column.pool == "none":
        return output
    if column.pool == "cls":
        return ops.gather(output, np.array(0), np.array(1))
    if column.pool == "mean":
        if prefix:
            start, stop = np.array([prefix]), np.array([np.iinfo(np.int64).max])
            output = ops.slice(output, start, stop, np.array([1]), np.array([1]))
        return ops.reduce_mean(output, np.array([1]), False)
    assert its is not None
    both = np.array(its.axes)
    if column.pool == "max":
        return ops.reduce_max(output, both, False)
    if column.cells is None:
        return ops.reduce_mean(output, both, False)
    channels = ({1, 2, 3} - set(its.axes)).pop()
    to_first = np.array([0, channels, *its.axes])

    def flat(pooled: Any) -> Any:
        last = ops.transpose(pooled, np.array([0, 2, 3, 1]))
        return ops.reshape(last, np.array([0, -1]), True)

    if its.rows is None or its.columns is None:
        first = ops.transpose(output, to_first)
        return flat(ops.adaptive_avg_pool(first, np.array(column.cells)))
    cells = grid_cells(column, its.rows, its.columns)
    if steps := even_steps(cells):
        kernel, stride = zip(*steps, strict=True)
        first = ops.transpose(output, to_first)
        return flat(ops.avg_pool(first, stride, [0, 0], [0, 0], kernel, True))
    means = []
    for rows, places in cells:
        start, stop = np.array([rows.start, places.start]), np.array([rows.stop, places.stop])
        cell = ops.slice(output, start, stop, np.array([1, 1]), both)
        means.append(ops.reduce_mean(cell, both, False))
    return ops.concat(means, 1)
