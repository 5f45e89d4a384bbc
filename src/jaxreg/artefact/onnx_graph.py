"""Keras models as ONNX graphs, and several of these as one."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from jaxreg.artefact.onnx_parts import NEWEST_OPSET, newer
from jaxreg.errors import InputError

MOST_BYTES = 2**31 - 2**20
"""The most numbers of a file: a protocol buffer of 2 GiB cannot be written."""

USUAL_OPSET = 17  # of the year 2022, so most programs read it


def onnx_of_keras(model: Any, inputs: Sequence[str], outputs: Sequence[str], opset: int) -> Any:
    """A Keras model of the TensorFlow backend as an ONNX model of an opset.

    Args:
        model: its inputs and outputs are tensors or lists.
        inputs: the names that its inputs get.
        outputs: the names that its outputs get.
        opset: of ONNX's own operations.

    Raises:
        InputError: it has more numbers than one file can hold.
    """
    import tensorflow as tf

    refuse_large(sum(variable.numpy().nbytes for variable in model.weights))
    with warnings.catch_warnings(), _quiet("tf2onnx", "tensorflow"):
        warnings.simplefilter("ignore")
        import tf2onnx
        from tensorflow.python.framework.convert_to_constants import (
            convert_variables_to_constants_v2,
        )

        given = [
            tf.TensorSpec((None, *one.shape[1:]), one.dtype)  # pyright: ignore[reportCallIssue]
            for one in model.inputs
        ]
        function = tf.function(
            lambda *tensors: model(list(tensors), training=False), input_signature=given
        )
        frozen = convert_variables_to_constants_v2(function.get_concrete_function())
        made, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(),
            input_names=[one.name for one in frozen.inputs],
            output_names=[one.name for one in frozen.outputs],
            opset=min(opset, NEWEST_OPSET),
        )
    _rename(made.graph, dict(zip([one.name for one in made.graph.input], inputs, strict=True)))
    _rename(made.graph, dict(zip([one.name for one in made.graph.output], outputs, strict=True)))
    _float32_arctangents(made.graph)
    return newer(made, opset)


def refuse_large(found: int) -> None:
    """Raise InputError for more bytes of weights than one file can hold."""
    if found > MOST_BYTES:
        raise InputError(
            f"the networks have {found / 1e9:.1f} GB of weights, and one ONNX file holds 2 GiB",
            remedy="--format openvino",
        )


def joined(models: Sequence[Any], wires: Mapping[str, str], names: Mapping[str, str]) -> Any:
    """One ONNX model of several, whose names differ already.

    Args:
        models: in the order of computation, all of one opset.
        wires: input of a model: the output of one before that it is fed with.
        names: other names for some inputs and outputs.
    """
    from onnx import helper

    nodes, weights, inputs, outputs = [], [], [], []
    seen: dict[bytes, str] = {}
    opsets: dict[str, int] = {}
    for model in models:
        graph = model.graph
        same = {}
        for weight in graph.initializer:
            name, weight.name = weight.name, ""
            key = weight.SerializeToString()
            weight.name = name
            if (first := seen.setdefault(key, name)) == name:
                weights.append(weight)
            else:
                same[name] = first  # the mirrored view has the same network again
        fed = {one.name for one in graph.input} & wires.keys()
        inputs += [one for one in graph.input if one.name not in fed]
        outputs += graph.output
        _rename(graph, {**same, **wires})
        nodes += graph.node
        opsets |= {one.domain: one.version for one in model.opset_import}
    used = set(wires.values())
    made = helper.make_graph(
        nodes, "jaxreg", inputs, [one for one in outputs if one.name not in used], weights
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    functions = [one for model in models for one in model.functions]
    whole = helper.make_model(made, opset_imports=imports, producer_name="jaxreg")
    whole.functions.extend(functions)
    whole.ir_version = max(model.ir_version for model in models)
    _rename(whole.graph, names)
    return whole


def with_prefix(model: Any, prefix: str) -> Any:
    """A copy of a model in which each name of a value or a node begins with `prefix`."""
    from onnx import compose

    return compose.add_prefix(model, prefix)


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Give values of a graph, and of the graphs within it, other names."""
    for one in (*graph.input, *graph.output, *graph.initializer):
        one.name = names.get(one.name, one.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, names)


def _float32_arctangents(graph: Any) -> None:
    """Compute arctangents in float32 where the result is float64: onnxruntime has no others."""
    from onnx import TensorProto, helper

    if graph.output[0].type.tensor_type.elem_type != TensorProto.DOUBLE:
        return
    nodes = []
    for node in graph.node:
        if node.op_type != "Atan":
            nodes.append(node)
            continue
        [given], [found] = node.input, node.output
        low, single = f"{found}/in", f"{found}/out"
        nodes += [
            helper.make_node("Cast", [given], [low], to=TensorProto.FLOAT),
            helper.make_node("Atan", [low], [single]),
            helper.make_node("Cast", [single], [found], to=TensorProto.DOUBLE),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Only errors of these loggers while the block runs."""
    before = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
