"""The process that reads an ONNX file of somebody else (onnx_network.py): checks, then converts."""

import io
import json
import os
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from jaxreg.backbone.checked_process import limit_process, serve
from jaxreg.backbone.network_layers import NamedLayer, NetworkFacts, safe_layers, shape_text
from jaxreg.backbone.onnx_network import FACTS
from jaxreg.backbone.onnx_wire import check_onnx
from jaxreg.backbone.openvino_model import import_openvino, pack, reason_of
from jaxreg.backbone.plain_hdf5 import UnusableFile

MOST_BYTES = 2**31 - 1
"""The largest file: protocol buffers hold no more."""

_NO_COLOURS = 97  # a side of an image that no kernel has as its channels

_MOST_ADDRESSES = 8 * 2**30  # bytes of the process, and
_FOR_EACH_BYTE = 8  # of the file beyond that


def main(source: str, target: str, identity: str) -> int:
    """Convert, or print the reason why not."""
    return serve(source, target, identity, _convert, most=MOST_BYTES, kind="ONNX model")


def _convert(file: BufferedReader, target: Path) -> None:
    size = os.fstat(file.fileno()).st_size
    limit_process(_MOST_ADDRESSES + _FOR_EACH_BYTE * size)
    content = file.read()
    check_onnx(content)
    import_openvino()
    from openvino.frontend import FrontEndManager

    frontend = FrontEndManager().load_by_framework("onnx")  # no other kind of file is tried
    try:
        model = frontend.convert(frontend.load(io.BytesIO(content)))
    except Exception as error:  # OpenVINO's own kinds of error
        raise UnusableFile(f"OpenVINO cannot convert it: {reason_of(error)}") from error
    facts = prepare(model)
    target.write_bytes(pack(model, {FACTS: json.dumps(asdict(facts)).encode()}))


def prepare(model: Any) -> NetworkFacts:
    """Give the model of a file the input of a Keras network, and its layers their names.

    Raises:
        UnusableFile: it is no network of images.
    """
    inputs = model.get_parameters()
    if len(inputs) != 1:
        names = ", ".join(_names(parameter.output(0))[0] for parameter in inputs)
        raise UnusableFile(f"it has {len(inputs)} inputs ({names or 'none'}), not one of images")
    [parameter] = inputs
    declared, kind = shape_of(parameter.output(0)), parameter.get_element_type()
    channels = _channels(model, parameter, declared)
    _free_batch(model, parameter, channels)
    shape = list(shape_of(parameter.output(0)) or ())
    uint8 = kind.get_type_name() == "u8"
    if not uint8 and not kind.is_real():
        raise UnusableFile(
            f"its input is {kind.get_type_name()}, not float32, float16 or uint8 pixels"
        )
    layers = _name_layers(model)
    if not layers:
        raise UnusableFile("none of its tensors is a vector, tokens or a map for each image")
    _feed(model, parameter, channels)
    rows, columns = (2, 3) if channels == 1 else (1, 2)
    return NetworkFacts((shape[rows], shape[columns]), uint8, tuple(layers), colours=channels)


def shape_of(output: Any) -> tuple[int | None, ...] | None:
    """The sides of a tensor, None for one that is open; None for any number of sides."""
    shape = output.get_partial_shape()
    if shape.rank.is_dynamic:
        return None
    return tuple(None if side.is_dynamic else side.get_length() for side in shape)


def _channels(model: Any, parameter: Any, shape: tuple[int | None, ...] | None) -> int:
    """The axis of the colours: 1 or 3."""
    fits = []
    if shape is not None and len(shape) == 4:
        fits = [axis for axis in (1, 3) if shape[axis] == 3]
        if not fits:  # left open: the kernels tell
            fits = [axis for axis in (1, 3) if _has_colours(model, parameter, shape, axis)]
    if len(fits) != 1:
        found = "of any shape" if shape is None else f"of shape {shape_text(shape)}"
        raise UnusableFile(
            f"its input is {found}, and not clearly (batch, 3, height, width) or "
            "(batch, height, width, 3)"
        )
    return fits[0]


def _has_colours(model: Any, parameter: Any, shape: Sequence[int | None], axis: int) -> bool:
    """Whether the network takes three colours on an axis, and not on the other one."""
    probe, other = list(shape), 4 - axis
    if probe[axis] is not None:
        return False
    probe[axis] = 3
    if probe[other] is None:
        probe[other] = _NO_COLOURS
    before = parameter.get_partial_shape()
    takes = _takes(model, parameter, probe)
    model.reshape({parameter.output(0): before})
    return takes


def _takes(model: Any, parameter: Any, shape: Sequence[int | None]) -> bool:
    """Whether the network can take that shape; if so, it keeps it."""
    before = parameter.get_partial_shape()
    try:
        model.reshape({parameter.output(0): _partial(shape)})
    except RuntimeError:
        model.reshape({parameter.output(0): before})
        return False
    return True


def _partial(shape: Sequence[int | None]) -> Any:
    ov = import_openvino()
    return ov.PartialShape([-1 if side is None else side for side in shape])


def _free_batch(model: Any, parameter: Any, channels: int) -> None:
    """Fix the colours, and free a fixed batch where the whole network allows another one."""
    shape = list(shape_of(parameter.output(0)) or ())
    shape[channels] = 3
    batch = shape[0]
    if batch is not None:
        if batch < 1:
            raise UnusableFile(f"its input has a batch of {batch}")
        other = batch + 1
        if _takes(model, parameter, [other, *shape[1:]]):
            outputs = [shape_of(output) for output in model.outputs]
            if all(sides and sides[0] == other for sides in outputs):
                batch = None
    if not _takes(model, parameter, [batch, *shape[1:]]):
        raise UnusableFile(f"its input cannot be of shape {shape_text(shape)}")


def _name_layers(model: Any) -> list[NamedLayer]:
    """The tensors that can be read, from the image on, each with its layer's name added."""
    ends = {name: at for at, output in enumerate(model.outputs) for name in output.get_names()}
    found = [
        (output, _names(output, ends), shape)
        for output in _computed(model)
        if (shape := shape_of(output)) and output.get_element_type().is_real() and _readable(shape)
    ]
    found = [item for item in found if item[1]]
    layers = []
    for (output, names, shape), safe in zip(
        found, safe_layers([names[0] for _, names, _ in found]), strict=True
    ):
        output.add_names({safe})
        layers.append(NamedLayer(safe, tuple(names), shape, ends.get(names[0])))
    return layers


def _computed(model: Any) -> Iterator[Any]:
    """The tensors that depend on the image, in the order of computation."""
    reached = set()
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Parameter" or any(
            source.get_node().get_instance_id() in reached for source in _sources(node)
        ):
            reached.add(node.get_instance_id())
            if kind not in ("Parameter", "Result"):
                yield from node.outputs()


def _sources(node: Any) -> list[Any]:
    return [node.input_value(place) for place in range(node.get_input_size())]


def _readable(shape: Sequence[int | None]) -> bool:
    """Whether it has one row for each image and a known number of channels."""
    if 0 in shape:
        return False
    return {
        2: shape[-1] is not None,
        3: shape[-1] is not None,
        4: shape[1] is not None or shape[-1] is not None,
    }.get(len(shape), False)


def _names(output: Any, first: Container[str] | None = None) -> list[str]:
    """The names of a tensor, those in `first` before the others, then the name of its node."""
    names = sorted(output.get_names(), key=lambda name: (name not in (first or ()), name))
    node = output.get_node()
    if len(node.outputs()) == 1:
        names.append(node.get_friendly_name())
    return list(dict.fromkeys(names)) if output.get_names() or first is None else []


def _feed(model: Any, parameter: Any, channels: int) -> None:
    """Put an input of float32 (batch, height, width, 3) before the file's own."""
    ov = import_openvino()
    from openvino import opset13 as ops

    shape = list(shape_of(parameter.output(0)) or ())
    height, width = (2, 3) if channels == 1 else (1, 2)
    sides = [shape[0], shape[height], shape[width], 3]
    users = parameter.output(0).get_target_inputs()
    pixels = ops.parameter(_partial(sides), ov.Type.f32, name="pixels")
    kind, fed = parameter.get_element_type(), pixels
    if kind.get_type_name() == "u8":  # resized pixels are no whole numbers
        fed = ops.clamp(ops.round(fed, "half_to_even"), 0.0, 255.0)
    if kind != ov.Type.f32:
        fed = ops.convert(fed, kind)
    if channels == 1:
        fed = ops.transpose(fed, np.array([0, 3, 1, 2]))
    for user in users:
        user.replace_source_output(fed.output(0))
    model.add_parameters([pixels])
    model.remove_parameter(parameter)
    model.validate_nodes_and_infer_types()
