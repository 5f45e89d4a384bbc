"""ONNX files that cannot be used, or must not be read: one message each."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from jaxreg.backbone import checked_process, onnx_network, onnx_wire
from jaxreg.backbone.onnx_network import onnx_facts
from jaxreg.backbone.onnx_wire import PARTS, check_onnx
from jaxreg.backbone.plain_hdf5 import UnusableFile
from jaxreg.backbone.registry import backbone_name
from jaxreg.backbone.weights import identify_weights
from jaxreg.errors import InputError
from onnx_files import convolutions, model, save, tensor, value

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed here"
)


def read(path: Path, content: bytes) -> object:
    path.write_bytes(content)
    weights = identify_weights(f"onnx:{path}", "onnx")
    assert weights is not None
    return onnx_facts(weights)


def messages_to_tensors() -> dict[str, dict[int, str]]:
    """From onnx's own description: the fields that hold a tensor or lead to one, by message."""
    fields: dict[str, dict[int, str]] = {}
    waiting: list[Any] = [onnx.ModelProto.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.name not in fields:
            inner = [field for field in message.fields if field.message_type]
            fields[message.name] = {field.number: field.message_type.name for field in inner}
            waiting += [field.message_type for field in inner]
    leads = {"TensorProto"}
    while grown := {
        name for name, inner in fields.items() if name not in leads and leads & {*inner.values()}
    }:
        leads |= grown
    return {
        name: {number: other for number, other in fields[name].items() if other in leads}
        for name in leads
    }


def test_the_fields_are_those_of_onnx() -> None:
    assert messages_to_tensors() == PARTS
    numbers = onnx.TensorProto.DESCRIPTOR.fields_by_name
    assert numbers["external_data"].number == onnx_wire.EXTERNAL_DATA
    assert numbers["data_location"].number == onnx_wire.DATA_LOCATION
    numbers = onnx.ModelProto.DESCRIPTOR.fields_by_name
    assert (numbers["ir_version"].number, numbers["graph"].number) == (
        onnx_wire.IR_VERSION,
        onnx_wire.GRAPH,
    )


def outside(weights: Any) -> Any:
    """A tensor that names another file for its numbers."""
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return weights


def in_initializer() -> onnx.ModelProto:
    made = convolutions()
    outside(made.graph.initializer[0])
    return made


def in_constant() -> onnx.ModelProto:
    made = convolutions()
    made.graph.node.append(helper.make_node("Constant", [], ["k"], value=outside(tensor("k", 2))))
    return made


def in_branch() -> onnx.ModelProto:
    """In a tensor of a graph in an attribute."""
    made = convolutions()
    branch = helper.make_graph([], "b", [], [], [outside(tensor("k", 2))])
    made.graph.node.append(
        helper.make_node("If", ["c"], ["r"], then_branch=branch, else_branch=branch)
    )
    return made


def in_function() -> onnx.ModelProto:
    made = convolutions()
    node = helper.make_node("Constant", [], ["k"], value=outside(tensor("k", 2)))
    opset = [helper.make_opsetid("", 17)]
    made.functions.append(helper.make_function("f", "f", [], ["k"], [node], opset))
    return made


def in_sparse() -> onnx.ModelProto:
    made = convolutions()
    sparse = made.graph.sparse_initializer.add()
    sparse.values.CopyFrom(outside(tensor("k", 2)))
    return made


@pytest.mark.parametrize("make", [in_initializer, in_constant, in_branch, in_function, in_sparse])
def test_external_data_is_found_wherever_it_is(make: Callable[[], onnx.ModelProto]) -> None:
    check_onnx(convolutions().SerializeToString())
    with pytest.raises(UnusableFile, match="in another file"):
        check_onnx(make().SerializeToString())


@needs_openvino
def test_external_data_is_refused_with_what_to_do(tmp_path: Path) -> None:
    content = in_initializer().SerializeToString()
    with pytest.raises(InputError, match=r"(?s)in another file.*save_as_external_data=False"):
        read(tmp_path / "x.onnx", content)


def deep(content: bytes) -> bytes:
    """A branch in a branch in a branch …"""
    for _ in range(100):
        inner = content
        for number in (6, 5, 1):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            inner = bytes([number << 3 | 2]) + _varint(len(inner)) + inner
        content = inner
    return b"\x08\x08" + bytes([7 << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


WHOLE = convolutions().SerializeToString()
NO_MODELS = {
    "text": b"hello world, this is no model",
    "half": WHOLE[: len(WHOLE) // 2],
    "zip": b"PK\x03\x04" + bytes(40),
    "keras": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
    "openvino": b'<?xml version="1.0"?><net/>',
    "only a version": b"\x08\x08",
    "long number": b"\x08" + b"\xff" * 11,
    "length beyond the end": b"\x08\x08\x3a\xff\xff\x7f",
    "group": b"\x08\x08\x3b\x3c",
    "deep": deep(b""),
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_what_is_no_model(name: str) -> None:
    with pytest.raises(UnusableFile, match=r"no ONNX model|within each other"):
        check_onnx(NO_MODELS[name])


def test_too_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_wire, "MOST_PARTS", 50)
    with pytest.raises(UnusableFile, match="more than 50 parts"):
        check_onnx(WHOLE)


def two_inputs() -> onnx.ModelProto:
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"])]
    inputs = [value("a", [1, 3, 4, 4]), value("b", [1, 3, 4, 4])]
    return model(nodes, inputs, [value("sum", [1, 3, 4, 4])])


def of_type(kind: int) -> onnx.ModelProto:
    return convolutions(kind=kind)


def integers_alone() -> onnx.ModelProto:
    nodes = [helper.make_node("ArgMax", ["pixels"], ["best"], axis=1)]
    pixels = value("pixels", [1, 3, 4, 4])
    return model(nodes, [pixels], [value("best", [1, 1, 4, 4], TensorProto.INT64)])


def unknown_operation() -> onnx.ModelProto:
    nodes = [helper.make_node("Sorcery", ["pixels"], ["out"], domain="magic")]
    made = model(nodes, [value("pixels", [1, 3, 4, 4])], [value("out", [1, 3, 4, 4])])
    made.opset_import.append(helper.make_opsetid("magic", 1))
    return made


UNUSABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "two inputs": (two_inputs, r"2 inputs \(a, b\)"),
    "int32": (lambda: of_type(TensorProto.INT32), "its input is i32, not float32"),
    "grey": (
        lambda: model(
            [helper.make_node("Relu", ["pixels"], ["out"])],
            [value("pixels", [1, 1, 4, 4])],
            [value("out", [1, 1, 4, 4])],
        ),
        r"of shape \(1, 1, 4, 4\), and not clearly \(batch, 3, height, width\)",
    ),
    "five axes": (
        lambda: model(
            [helper.make_node("Relu", ["pixels"], ["out"])],
            [value("pixels", [1, 3, 4, 4, 4])],
            [value("out", [1, 3, 4, 4, 4])],
        ),
        r"of shape \(1, 3, 4, 4, 4\)",
    ),
    "unclear": (
        lambda: model(
            [helper.make_node("Relu", ["pixels"], ["out"])],
            [value("pixels", [1, "a", "b", "c"])],
            [value("out", [1, "a", "b", "c"])],
        ),
        r"of shape \(1, \?, \?, \?\)",
    ),
    "integers": (integers_alone, "none of its tensors is a vector, tokens or a map"),
    "operation": (unknown_operation, "OpenVINO cannot convert it: .*Sorcery"),
}


@needs_openvino
@pytest.mark.parametrize("name", UNUSABLE)
def test_a_network_that_is_not_one_of_images(tmp_path: Path, name: str) -> None:
    make, said = UNUSABLE[name]
    with pytest.raises(InputError, match=rf"x.onnx cannot be used as a backbone: .*{said}"):
        read(tmp_path / "x.onnx", make().SerializeToString())


@needs_openvino
def test_a_file_that_changed_or_is_no_model(tmp_path: Path) -> None:
    weights = identify_weights(str(save(convolutions(), tmp_path / "x.onnx")), "onnx")
    assert weights is not None
    (tmp_path / "x.onnx").write_bytes(WHOLE + b" ")
    with pytest.raises(InputError, match="it has changed since it was identified"):
        onnx_network._converted(tmp_path / "x.onnx", "0" * 64)
    with pytest.raises(InputError, match="cannot be used as a backbone: no ONNX model: it is an H"):
        read(tmp_path / "y.onnx", NO_MODELS["keras"])


def test_mutated_files_are_sound_or_refused() -> None:
    rng, refused = np.random.default_rng(3), 0
    for _ in range(500):
        content = bytearray(WHOLE)
        for place in rng.integers(0, len(content), 3):
            content[place] = rng.integers(256)
        try:
            check_onnx(bytes(content))
        except UnusableFile:
            refused += 1
    assert 20 < refused < 480


def test_places_where_no_file_is(tmp_path: Path) -> None:
    save(convolutions(), tmp_path / "network.onnx")
    for asked, said in (
        ("netwrk.onnx", r"(?s)no ONNX file .*netwrk.onnx.*--backbone onnx:.*network.onnx"),
        ("", "is a folder"),
    ):
        with pytest.raises(InputError, match=said):
            identify_weights(f"onnx:{tmp_path / asked}", "onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty\.onnx is empty"):
        identify_weights(str(tmp_path / "empty.onnx"), "onnx")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo.onnx")
        with pytest.raises(InputError, match="a FIFO"):
            identify_weights(str(tmp_path / "fifo.onnx"), "onnx")


def test_names_of_backbones() -> None:
    assert backbone_name("onnx:a/b.onnx") == "onnx"
    with pytest.raises(InputError, match=r"try: --backbone onnx:a/b\.onnx"):
        backbone_name("a/b.onnx")
    for asked in ("onnx", "onnx:"):
        with pytest.raises(InputError, match=r"expected: onnx: and a file"):
            backbone_name(asked)


@needs_openvino
def test_a_conversion_that_never_ends_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked_process, "SECONDS", 0.01)
    with pytest.raises(InputError, match="it is not read after"):
        read(tmp_path / "x.onnx", WHOLE + b"\x12\x00")  # of a SHA-256 that no cache has


def test_without_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxreg.backbone import openvino_model

    monkeypatch.setattr(openvino_model, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed\n  try: pip install 'jaxreg\[openvino\]"):
        read(tmp_path / "x.onnx", WHOLE + b"\x12\x01x")
