"""Small ONNX files that tests write, and what onnx's own reference evaluator computes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

CHANNELS = 4
DEEP = "/blocks/blocks.1/Relu_output_0"  # a name as PyTorch's exporter makes it

Side = int | str | None


def tensor(name: str, *shape: int, seed: int = 0) -> TensorProto:
    values = np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def model(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: Sequence[Any] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "test", list(inputs), list(outputs), list(weights))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made


def value(name: str, shape: Sequence[Side] | None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def convolutions(
    shape: Sequence[Side] = ("batch", 3, "height", "width"),
    *,
    kind: int = TensorProto.FLOAT,
    last: bool = False,
) -> onnx.ModelProto:
    """Outputs `maps` (4 channels, stride 4) and `vector` (their mean); DEEP is an inner layer.

    `shape` is that of the input `pixels`. With `last` the channels come last in it and in `maps`,
    as tf2onnx makes it.
    """
    weights = [tensor("w1", 5, 3, 3, 3, seed=1), tensor("w2", CHANNELS, 5, 3, 3, seed=2)]
    start = "pixels"
    nodes = []
    if kind != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [start], ["cast"], to=TensorProto.FLOAT))
        start = "cast"
    if last:
        nodes.append(helper.make_node("Transpose", [start], ["first"], perm=[0, 3, 1, 2]))
        start = "first"
    conv: dict[str, Any] = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes += [
        helper.make_node("Conv", [start, "w1"], ["a:0"], "/blocks/conv", **conv),
        helper.make_node("Relu", ["a:0"], [DEEP], "/blocks/blocks.1/Relu"),
        helper.make_node("Conv", [DEEP, "w2"], ["c" if last else "maps"], **conv),
    ]
    if last:
        nodes.append(helper.make_node("Transpose", ["c"], ["maps"], perm=[0, 2, 3, 1]))
    axes = [1, 2] if last else [2, 3]
    nodes.append(helper.make_node("ReduceMean", ["maps"], ["vector"], axes=axes, keepdims=0))
    maps = [None, None, None, CHANNELS] if last else [None, CHANNELS, None, None]
    outputs = [value("maps", maps), value("vector", [None, CHANNELS])]
    return model(nodes, [value("pixels", shape, kind)], outputs, weights)


def tokens(size: int = 32, patch: int = 8, width: int = 6) -> onnx.ModelProto:
    """Patches as tokens with positions, as a ViT begins; output `tokens` (batch, N, width)."""
    count = (size // patch) ** 2
    weights = [
        tensor("w", width, 3, patch, patch, seed=3),
        tensor("positions", 1, count, width, seed=4),
        numpy_helper.from_array(np.array([0, width, -1]), "flat"),
    ]
    nodes = [
        helper.make_node("Conv", ["pixels", "w"], ["patches"], strides=[patch, patch]),
        helper.make_node("Reshape", ["patches", "flat"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Add", ["rows", "positions"], ["tokens"]),
    ]
    pixels = value("pixels", ["batch", 3, size, size])
    return model(nodes, [pixels], [value("tokens", ["batch", count, width])], weights)


def save(made: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def computed(made: onnx.ModelProto, pixels: np.ndarray, *names: str) -> list[np.ndarray]:
    """The tensors of those names, by the reference evaluator; `pixels` as the model takes them."""
    shown = onnx.ModelProto()
    shown.CopyFrom(made)
    del shown.graph.output[:]
    shown.graph.output.extend(value(name, None) for name in names)
    got: Any = ReferenceEvaluator(shown).run(None, {made.graph.input[0].name: pixels})
    return list(got)
