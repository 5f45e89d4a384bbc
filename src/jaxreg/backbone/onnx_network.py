"""An ONNX file as an OpenVINO model: checked and converted once, by a process of its own."""

import hashlib
import json
import tempfile
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from jaxreg.backbone.checked_process import read_in_a_process
from jaxreg.backbone.kept_networks import kept_network
from jaxreg.backbone.network_layers import NetworkFacts
from jaxreg.backbone.onnx_wire import EXTERNAL
from jaxreg.backbone.openvino_model import import_openvino
from jaxreg.backbone.plain_hdf5 import UnusableFile
from jaxreg.backbone.weights import WeightsSource
from jaxreg.common import stored_zip
from jaxreg.common.steps import step
from jaxreg.errors import InputError

FACTS = "facts.json"
"""The file of a packed network that holds its NetworkFacts."""

_ONE_FILE = "save it as one file: onnx.save(onnx.load(FILE), NEW, save_as_external_data=False)"
_CONVERSION = 3  # a new number converts every file anew


def onnx_network(weights: WeightsSource) -> bytes:
    """The whole network, packed: preprocessed pixels in, as those of a Keras network.

    Its input is float32 (batch, height, width, 3). Every layer of its facts is a tensor of that
    name. A batch of a fixed size, as most files have it, is fixed there too. The user's cache
    directory keeps the network.

    Args:
        weights: of the file.

    Raises:
        InputError: OpenVINO is not installed; the file is no network that jaxreg can use.
    """
    import_openvino(remedy="pip install 'jaxreg[openvino]', which reads ONNX files")
    assert weights.path is not None
    key = [weights.identity, _CONVERSION, metadata.version("openvino")]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    path = weights.path
    return kept_network(f"onnx-{weights.tag}-{name}", lambda: _converted(path, weights.identity))


def _converted(path: Path, identity: str) -> bytes:
    with (
        step("converting the ONNX file"),
        tempfile.TemporaryDirectory(prefix="jaxreg-onnx-") as folder,
    ):
        target = Path(folder, "network.zip")
        try:
            read_in_a_process("jaxreg.backbone.onnx_conversion", path, target, identity)
            return target.read_bytes()
        except UnusableFile as error:
            raise InputError(
                f"{path} cannot be used as a backbone: {error}",
                expected="one file with an ONNX network of images (docs/onnx.md)",
                remedy=_ONE_FILE if EXTERNAL in str(error) else "",
            ) from error


@lru_cache(4)
def onnx_facts(weights: WeightsSource) -> NetworkFacts:
    """What a file says of itself. Raises InputError as `onnx_network`."""
    return NetworkFacts.from_json(json.loads(stored_zip.unpack(onnx_network(weights))[FACTS]))
