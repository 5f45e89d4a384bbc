"""The Keras network as an OpenVINO model: converted once, kept, cut to the layers read, pooled."""

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from jaxreg.backbone.network import Size, build_network, check_layers, start_keras
from jaxreg.backbone.pooling import grid_cells
from jaxreg.backbone.preprocess import preprocessing
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.common import stored_zip
from jaxreg.common.files import open_regular, write_whole
from jaxreg.common.steps import step
from jaxreg.common.user_cache import user_cache
from jaxreg.errors import InputError

CONVERSION = 1
"""Version of the conversion; a new number converts every network anew."""

_FILES = ("model.xml", "model.bin")


def import_openvino(package: str = "openvino") -> Any:
    """Import OpenVINO, or NNCF, without the telemetry that they bring.

    Raises:
        InputError: it is not installed.
    """
    if find_spec(package) is None:
        extra = "int8" if package == "nncf" else package
        raise InputError(
            f"{package} is not installed", remedy=f"pip install 'jaxreg[{extra}]', or --engine auto"
        )
    # both read a failing import as "no telemetry"; their own switch needs a file
    sys.modules["openvino_telemetry"] = None  # pyright: ignore[reportArgumentType]
    return __import__(package)


def converted_network(backbone: str, weights: WeightsSource, size: Size = None) -> bytes:
    """The whole network, packed: preprocessed pixels in, every layer out.

    `size` counts as in `build_network`. The user's cache directory keeps the network, 87 MB for
    InceptionV3. If it is there, neither Keras nor TensorFlow is loaded.

    Raises:
        InputError: OpenVINO is not installed; weights that do not fill every array.
    """
    import_openvino()
    key = {
        "backbone": backbone,
        "weights": weights.identity,
        "conversion": CONVERSION,
        **({} if backbone == "inception_v3" else {"size": size}),
        **{name: metadata.version(name) for name in ("openvino", "keras", "tensorflow")},
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = user_cache() / "openvino" / f"{backbone}-{weights.tag}-{name}.zip"
    try:
        with open_regular(path) as file:
            content = file.read()
        stored_zip.unpack(content)  # checks it against its own checksums
        return content
    except (OSError, ValueError):
        pass  # absent or damaged: converted anew
    with step("converting the network for OpenVINO"):
        content = pack(_convert(backbone, weights, size))
    with suppress(InputError):  # a cache that cannot be written costs the next start its time
        write_whole(path, content)
    return content


def _convert(backbone: str, weights: WeightsSource, size: Size) -> Any:
    start_keras("tensorflow", hide_gpu=True)
    import tensorflow as tf

    ov = import_openvino()
    from openvino.frontend.tensorflow import utils

    # OpenVINO's own deletes a variable that `exec` made, which Python 3.13 does not keep
    utils.get_environment_setup = lambda framework: {"tensorflow": tf.__version__}
    network = build_network(backbone, None, weights, size)
    pixels = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)  # pyright: ignore[reportCallIssue]
    function = tf.function(lambda x: network(x, training=False), input_signature=[pixels])
    return ov.convert_model(function.get_concrete_function())


def pack(model: Any) -> bytes:
    """An OpenVINO model as one uncompressed zip, with the same bytes each time."""
    ov = import_openvino()
    with tempfile.TemporaryDirectory() as folder:
        ov.save_model(model, str(Path(folder, _FILES[0])), compress_to_fp16=False)
        return stored_zip.pack({name: Path(folder, name).read_bytes() for name in _FILES})


def unpack(core: Any, content: bytes) -> Any:
    """The inverse of `pack`.

    Raises:
        InputError: `pack` did not make it.
    """
    try:
        files = stored_zip.unpack(content)
        return core.read_model(*(files[name] for name in _FILES))
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            f"the packed network of OpenVINO cannot be read: {' '.join(str(error).split())[:200]}",
            remedy="use another --cache, where extract makes it again",
        ) from error


def layer_outputs(model: Any, layers: Sequence[str]) -> dict[str, Any]:
    """The outputs (batch, rows, columns, channels) of some layers, also of inner ones, by name."""
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
        check_layers(backbone, layers, [name for name in names if re.fullmatch(r"\w+", name)])


def output_sizes(
    model: Any, layers: Sequence[str], height: int, width: int
) -> dict[str, list[int]]:
    """Rows and columns of each layer for images of that size; the model keeps it as its own."""
    model.reshape([-1, height, width, 3])
    return {
        layer: [output.partial_shape[axis].get_length() for axis in (1, 2)]
        for layer, output in layer_outputs(model, layers).items()
    }


def pooled_model(
    model: Any, recipe: Recipe, reads: Sequence[tuple[str, str]], sizes: dict[str, list[int]]
) -> Any:
    """Pixels in 0..255 in, one output per read: preprocessing before the network, pools after it.

    It ends at the last layer that is read. `model` is changed and must not be used again. `sizes`
    has the rows and columns of its layers.
    """
    ov = import_openvino()
    from openvino import opset13 as ops

    [network_input] = model.get_parameters()
    pixels = ops.parameter(network_input.get_partial_shape(), ov.Type.f32, name="pixels")
    users = network_input.output(0).get_target_inputs()
    prepared = preprocessing(recipe).openvino(ops, pixels)
    for user in users:
        user.replace_source_output(prepared.output(0))
    outputs = layer_outputs(model, list(sizes))
    results = [
        ops.result(_pool(ops, outputs[layer], Column(layer=layer, pool=pool), sizes[layer]))
        for layer, pool in reads
    ]
    return ov.Model(results, [pixels], "features")


def _pool(ops: Any, output: Any, column: Column, size: Sequence[int]) -> Any:
    """(batch, H, W, channels) -> (batch, D)."""
    both = np.array([1, 2])
    if column.pool == "max":
        return ops.reduce_max(output, both, False)
    if column.cells is None:
        return ops.reduce_mean(output, both, False)
    means = []
    for rows, places in grid_cells(column, *size):
        start, stop = np.array([rows.start, places.start]), np.array([rows.stop, places.stop])
        cell = ops.slice(output, start, stop, np.array([1, 1]), both)
        means.append(ops.reduce_mean(cell, both, False))
    return ops.concat(means, 1)
