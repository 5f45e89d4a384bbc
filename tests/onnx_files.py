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


def scalar(number: float, name: str) -> TensorProto:
    return numpy_helper.from_array(np.array(number, np.float32), name)


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


def vit(size: int = 64, patch: int = 16, width: int = 48, depth: int = 3, heads: int = 4) -> Any:
    """A small ViT of random weights, with a class token; its batch is free.

    Outputs `tokens` (batch, 1 + patches, width) and `pooled` (batch, width), the class token after
    the last normalization. The sums after each block are `/blocks.N/Add_1_output_0`.
    """
    count, side = (size // patch) ** 2, width // heads
    weights = [
        tensor("kernel", width, 3, patch, patch, seed=5),
        tensor("class", 1, 1, width, seed=6),
        tensor("positions", 1, count + 1, width, seed=7),
        *(
            numpy_helper.from_array(np.array(numbers), name)
            for name, numbers in {
                "flat": [0, width, -1],
                "split": [0, -1, 3, heads, side],
                "join": [0, -1, width],
                "zero": 0,
                "one": 1,
                "two": 2,
                "first": [0],
                "class_shape": [1, width],
            }.items()
        ),
        scalar(side**-0.5, "scale"),
        scalar(0.5, "half"),
        scalar(1.0, "whole"),
        scalar(2**-0.5, "root"),
    ]
    nodes: list[Any] = []

    def add(kind: str, name: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [name] if outputs == 1 else [f"{name}_{at}" for at in range(outputs)]
        nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0]

    def drawn(name: str, *shape: int) -> str:
        made = tensor(name, *shape, seed=100 + len(weights))
        weights.append(numpy_helper.from_array(numpy_helper.to_array(made) * np.float32(0.3), name))
        return name

    def norm(name: str, x: str) -> str:
        ones = numpy_helper.from_array(np.ones(width, np.float32), f"{name}.weight")
        weights.append(ones)
        return add("LayerNormalization", name, x, ones.name, drawn(f"{name}.bias", width), axis=-1)

    x = add("Conv", "patches", "pixels", "kernel", strides=[patch, patch])
    x = add("Transpose", "rows", add("Reshape", "columns", x, "flat"), perm=[0, 2, 1])
    batch = add("Gather", "batch", add("Shape", "shape", x), "first")
    sizes = add("Concat", "sizes", batch, "class_shape", axis=0)
    x = add("Concat", "all", add("Expand", "classes", "class", sizes), x, axis=1)
    x = add("Add", "placed", x, "positions")
    for block in range(depth):
        at = f"/blocks.{block}"
        y = add("MatMul", f"{at}/qkv", norm(f"{at}/norm1", x), drawn(f"{at}.w", width, 3 * width))
        y = add("Transpose", f"{at}/t", add("Reshape", f"{at}/r", y, "split"), perm=[2, 0, 3, 1, 4])
        q, k, v = (add("Gather", f"{at}/{n}", y, n, axis=0) for n in ("zero", "one", "two"))
        k = add("Transpose", f"{at}/kt", k, perm=[0, 1, 3, 2])
        y = add("Mul", f"{at}/scaled", add("MatMul", f"{at}/qk", q, k), "scale")
        y = add("MatMul", f"{at}/seen", add("Softmax", f"{at}/softmax", y, axis=-1), v)
        y = add("Transpose", f"{at}/back", y, perm=[0, 2, 1, 3])
        y = add("Reshape", f"{at}/joined", y, "join")
        y = add("MatMul", f"{at}/proj", y, drawn(f"{at}.p", width, width))
        x = add("Add", f"{at}/Add_output_0", x, y)
        y = add("MatMul", f"{at}/up", norm(f"{at}/norm2", x), drawn(f"{at}.u", width, 2 * width))
        erf = add(
            "Add", f"{at}/1", add("Erf", f"{at}/e", add("Mul", f"{at}/m", y, "root")), "whole"
        )
        y = add("Mul", f"{at}/gelu", add("Mul", f"{at}/h", y, "half"), erf)
        y = add("MatMul", f"{at}/down", y, drawn(f"{at}.d", 2 * width, width))
        x = add("Add", f"{at}/Add_1_output_0", x, y)
    add("Gather", "pooled", norm("tokens", x), "zero", axis=1)
    outputs = [value("tokens", ["batch", count + 1, width]), value("pooled", ["batch", width])]
    return model(nodes, [value("pixels", ["batch", 3, size, size])], outputs, weights)
