"""ONNX graphs put together: what stands before a user's network, the network, what stands after."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxreg.backbone.network_layers import NetworkFacts, find_layer
from jaxreg.backbone.openvino_reads import Map
from jaxreg.errors import InputError

PIXELS = "jaxreg//pixels"  # a name that no file has

OLDEST_OPSET, NEWEST_OPSET = 13, 18  # of those that tf2onnx writes


def opset_of(model: Any) -> int:
    """The version of ONNX's own operations that a model uses."""
    return next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1)


def read_name(layer: str) -> str:
    """The output of a `network_part` for a layer."""
    return f"jaxreg//{layer}"


def network_part(
    content: bytes,
    facts: NetworkFacts,
    layers: Sequence[str],
    maps: Mapping[str, Map],
    batch: int | None,
) -> Any:
    """The network of an ONNX file with one input and one output for each layer.

    The input PIXELS is float32 (batch, height, width, 3). The output of a layer has the name that
    `read_name` gives and is float32; that of a map has its channels last.

    Args:
        content: the file, which jaxreg has checked before.
        facts: what it says of itself.
        layers: to read.
        maps: the axes of those that are maps.
        batch: images that it takes at once; None where its batch is free.

    Raises:
        InputError: a layer is no tensor of the file's own graph.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    graph = model.graph
    del graph.value_info[:]  # shapes of another batch
    weights = {one.name for one in graph.initializer}
    [given] = [one for one in graph.input if one.name not in weights]
    del graph.input[:]
    own = given.type.tensor_type
    sides = [_side(dim) for dim in own.shape.dim]
    height, width = (2, 3) if facts.colours == 1 else (1, 2)
    shape = [batch or "batch", sides[height] or "height", sides[width] or "width", 3]
    graph.input.append(_value(PIXELS, shape))
    before = list(_as_given(PIXELS, given.name, own.elem_type, facts))
    nodes = [*before, *graph.node]
    there = {name for node in graph.node for name in node.output}
    del graph.output[:]
    for layer in layers:
        names = find_layer(facts, layer, "the ONNX file").names
        tensor = next((name for name in names if name in there), None)
        if tensor is None:
            raise InputError(
                f"the layer {layer} is made while OpenVINO converts the ONNX file, so the file "
                "has no tensor of that name",
                remedy="--format openvino",
            )
        nodes += _as_read(tensor, read_name(layer), maps.get(layer))
        graph.output.append(_value(read_name(layer), None))
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _as_given(start: str, end: str, kind: int, facts: NetworkFacts) -> Iterator[Any]:
    """The nodes from float32 pixels with their channels last to the input of the file."""
    from onnx import TensorProto, helper

    at = start
    if facts.uint8:  # resized pixels are no whole numbers
        yield helper.make_node("Round", [at], [f"{PIXELS}/round"])
        yield _constant(f"{PIXELS}/low", np.float32(0))
        yield _constant(f"{PIXELS}/high", np.float32(255))
        yield helper.make_node(
            "Clip", [f"{PIXELS}/round", f"{PIXELS}/low", f"{PIXELS}/high"], [f"{PIXELS}/clip"]
        )
        at = f"{PIXELS}/clip"
    if kind != TensorProto.FLOAT:
        yield helper.make_node("Cast", [at], [f"{PIXELS}/cast"], to=kind)
        at = f"{PIXELS}/cast"
    if facts.colours == 1:
        yield helper.make_node("Transpose", [at], [end], perm=[0, 3, 1, 2])
    else:
        yield helper.make_node("Identity", [at], [end])


def _as_read(tensor: str, end: str, its: Map | None) -> Iterator[Any]:
    """The nodes from a layer's tensor to float32 with the channels last."""
    from onnx import TensorProto, helper

    if its is None:
        yield helper.make_node("Cast", [tensor], [end], to=TensorProto.FLOAT)
        return
    yield helper.make_node("Cast", [tensor], [f"{end}/cast"], to=TensorProto.FLOAT)
    [channels] = {1, 2, 3} - set(its.axes)
    yield helper.make_node("Transpose", [f"{end}/cast"], [end], perm=[0, *its.axes, channels])


def newer(model: Any, opset: int) -> Any:
    """The model with operations of an opset, if its own is older.

    Raises:
        InputError: onnx cannot convert it.
    """
    from onnx import version_converter

    if (found := opset_of(model)) >= opset:
        return model
    try:
        return version_converter.convert_version(model, opset)
    except Exception as error:  # onnx' own kinds of error, and RuntimeError
        raise InputError(
            f"the ONNX file has the operations of opset {found}, and onnx cannot convert them: "
            f"{' '.join(str(error).split())[:200]}",
            expected=f"opset {opset} or newer",
            remedy="export the network again with a newer opset, or --format openvino",
        ) from error


def _value(name: str, shape: Sequence[int | str | None] | None) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _constant(name: str, value: Any) -> Any:
    from onnx import helper, numpy_helper

    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value)))


def _side(dim: Any) -> int | None:
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
