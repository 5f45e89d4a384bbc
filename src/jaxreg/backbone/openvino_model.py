"""The Keras network as an OpenVINO model: converted once, kept, packed as one file."""

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jaxreg.backbone.kept_networks import kept_network
from jaxreg.backbone.network import Size, build_network, start_keras
from jaxreg.backbone.registry import HUB
from jaxreg.backbone.weights import WeightsSource
from jaxreg.common import stored_zip
from jaxreg.common.steps import Step, step
from jaxreg.errors import InputError

CONVERSION = 1
"""Version of the conversion; a new number converts every network anew."""

_FILES = ("model.xml", "model.bin")


def import_openvino(package: str = "openvino", *, remedy: str = "") -> Any:
    """Import OpenVINO, or NNCF, without the telemetry that they bring.

    Raises:
        InputError: it is not installed; `remedy` says what to do instead of the usual.
    """
    if find_spec(package) is None:
        extra = "int8" if package == "nncf" else package
        usual = f"pip install 'jaxreg[{extra}]', or --engine auto"
        raise InputError(f"{package} is not installed", remedy=remedy or usual)
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
        **({"keras-hub": metadata.version("keras-hub")} if backbone == HUB else {}),
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    kept = f"{backbone}-{weights.tag}-{name}"
    return kept_network(kept, lambda: _converted(backbone, weights, size))


def _converted(backbone: str, weights: WeightsSource, size: Size) -> bytes:
    with step("converting the network", 5, "parts of converting the network") as parts:
        start_keras("tensorflow", hide_gpu=True)
        _reach(parts, 1)
        network = build_network(backbone, None, weights, size)
        _reach(parts, 2)
        with step("tracing the network in TensorFlow"):
            function = traced(network)
        _reach(parts, 3)
        with step("converting the network for OpenVINO"):
            model = convert_function(function)
        _reach(parts, 4)
        with step("packing the network"):
            return pack(model)


def _reach(parts: Step, done: int) -> None:
    """Count, without a time that is left: each part takes another time."""
    parts.reach(done)
    parts.restart()


def traced(network: Any) -> Any:
    """A Keras network of one float32 input as a concrete function, for any number of rows."""
    import tensorflow as tf

    given = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)  # pyright: ignore[reportCallIssue]
    function = tf.function(lambda x: network(x, training=False), input_signature=[given])
    return function.get_concrete_function()


def convert_function(function: Any) -> Any:
    """A concrete function of TensorFlow as an OpenVINO model."""
    import tensorflow as tf

    ov = import_openvino()
    from openvino.frontend.tensorflow import utils

    # OpenVINO's own deletes a variable that `exec` made, which Python 3.13 does not keep
    utils.get_environment_setup = lambda framework: {"tensorflow": tf.__version__}
    return ov.convert_model(function)


def pack(model: Any, more: Mapping[str, bytes] | None = None) -> bytes:
    """An OpenVINO model, and `more` files, as one uncompressed zip; the same bytes each time.

    Raises:
        InputError: the folder of temporary files cannot be written, mostly because it is full.
    """
    ov = import_openvino()
    with tempfile.TemporaryDirectory() as folder:
        try:
            ov.save_model(model, str(Path(folder, _FILES[0])), compress_to_fp16=False)
        except RuntimeError:
            _refuse_full(Path(folder))
            raise
        files = {name: Path(folder, name).read_bytes() for name in _FILES}
        return stored_zip.pack({**files, **(more or {})})


def _refuse_full(folder: Path) -> None:
    """Raise InputError if the system writes no file of 1 MiB there: OpenVINO does not say why."""
    try:
        Path(folder, "some").write_bytes(bytes(2**20))
    except OSError as error:
        raise InputError(
            f"the network cannot be written to {folder.parent}: {error.strerror or error}",
            remedy="free some space there, or set TMPDIR to a folder with more",
        ) from error


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


def reason_of(error: Exception) -> str:
    """The last lines of what OpenVINO says, without the places in its own code."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from", "While "))]
    text = re.sub(r"Check '.*?' failed at \S+\s*", "", " ".join(told))
    return text[:300] or type(error).__name__
