"""What KerasHub says of its presets and of one network, asked once in a process of its own.

KerasHub takes seconds to import. A config of others may crash it, or keep it busy for ever.
"""

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from io import BufferedReader
from pathlib import Path
from typing import Any

from jaxreg.backbone.checked_process import limit_process, read_in_a_process, serve
from jaxreg.backbone.hub_network import (
    MISSING,
    check_hub,
    image_network,
    layer_tensors,
    outputs_of,
    prefix_tokens,
    real_shapes,
)
from jaxreg.backbone.hub_preset import WEIGHTS, Preset
from jaxreg.backbone.network import import_hub, plain_float32, start_keras
from jaxreg.backbone.network_layers import NamedLayer, NetworkFacts
from jaxreg.backbone.plain_hdf5 import UnusableFile
from jaxreg.common.files import open_regular, write_whole
from jaxreg.common.json_files import parse_json
from jaxreg.common.steps import step
from jaxreg.common.user_cache import user_cache
from jaxreg.errors import InputError

_VERSION = 3  # a new number asks for everything anew
_SECONDS = 600.0
_ADDRESSES = 24 * 2**30  # bytes of the process; TensorFlow alone takes many that it never uses


def hub_facts(preset: Preset, size: tuple[int, int] | None) -> NetworkFacts:
    """The layers of a preset's network, built for images of that size; None: of any.

    The user's cache directory keeps them.

    Raises:
        InputError: KerasHub is not installed, cannot build the network, or it takes no images.
    """
    asked = {
        "config": preset.config,
        "size": size,
        "bytes": os.stat(preset.folder / WEIGHTS).st_size,
    }
    own = preset.size
    try:
        return NetworkFacts.from_json(_asked("facts", asked))
    except UnusableFile as error:
        raise InputError(
            f"{preset.folder} cannot be used as a backbone: {error}",
            expected="a preset of an image model (docs/keras-hub.md)",
            remedy=f"--size {own[0]} {own[1]}" if own and own != size else "",
        ) from error


def image_presets() -> dict[str, str | None]:
    """The presets that KerasHub knows by name → where Kaggle has them; None: not of images alone.

    Raises:
        InputError: KerasHub is not installed.
    """
    try:
        return _asked("presets", {})
    except UnusableFile as error:
        raise InputError(f"KerasHub does not tell its presets: {error}", remedy=MISSING) from error


def _asked(question: str, about: dict[str, Any]) -> dict[str, Any]:
    check_hub()
    versions = [metadata.version(name) for name in ("keras", "keras-hub", "tensorflow")]
    request = json.dumps({"question": question, **about}, sort_keys=True).encode()
    key = hashlib.sha256(json.dumps([_VERSION, *versions]).encode() + request).hexdigest()
    path = user_cache() / "keras_hub" / f"{question}-{key[:16]}.json"
    with suppress(OSError, ValueError), open_regular(path) as file:  # absent or damaged
        return _answer(file.read(), key)
    with tempfile.TemporaryDirectory(prefix="jaxreg-hub-") as folder:
        source, target = Path(folder, "request.json"), Path(folder, "answer.json")
        source.write_bytes(request)
        with step("asking KerasHub about the network"):
            digest = hashlib.sha256(request).hexdigest()
            read_in_a_process(__name__, source, target, digest, seconds=_SECONDS)
        answer = parse_json(target.read_bytes())
    with suppress(InputError):  # a cache that cannot be written costs the next start its time
        write_whole(path, json.dumps({"key": key, "answer": answer}).encode())
    return answer


def _answer(content: bytes, key: str) -> dict[str, Any]:
    kept = parse_json(content)
    if not isinstance(kept, dict) or kept.get("key") != key or not isinstance(kept["answer"], dict):
        raise ValueError("another question's answer")
    return kept["answer"]


# ---- in the process of its own


def main(source: str, target: str, identity: str) -> int:
    """Answer, or print the reason why not."""
    return serve(source, target, identity, _reply, most=2**26, kind="config of KerasHub")


def _reply(file: BufferedReader, target: Path) -> None:
    asked = json.loads(file.read())
    limit_process(_ADDRESSES + 8 * asked.get("bytes", 0))
    start_keras("tensorflow", hide_gpu=True)
    import_hub()
    answer = _presets() if asked["question"] == "presets" else _facts(asked)
    target.write_text(json.dumps(answer))


def _facts(asked: dict[str, Any]) -> dict[str, Any]:
    size = None if asked["size"] is None else tuple(asked["size"])
    with plain_float32():
        try:
            network = image_network(asked["config"], size)
        except InputError as error:
            raise UnusableFile(error.found) from error
        tensors, declared = layer_tensors(network), outputs_of(network)
        shapes = {name: tuple(tensor.shape) for name, (_, tensor) in tensors.items()}
        computed = real_shapes(network, size) if size is not None else {}
    layers = []
    for name, (own, _) in tensors.items():
        shape = computed.get(name, shapes[name])
        if shape[0] in (None, 2):  # one row for each of the two images
            place = len(layers) if own in declared else None  # the pyramid's come before the output
            layers.append(NamedLayer(name, (own,), (None, *shape[1:]), place))
    prefix = prefix_tokens(asked["config"], list(computed.values()), size)
    facts = NetworkFacts(size or (None, None), False, tuple(layers), prefix, channels_last=True)
    return asdict(facts)


def _presets() -> dict[str, str | None]:
    import keras_hub
    from keras_hub.src.utils import preset_utils

    texts = {
        kind.backbone_cls for kind in preset_utils.list_subclasses(keras_hub.tokenizers.Tokenizer)
    }
    images = {
        kind.backbone_cls for kind in preset_utils.list_subclasses(keras_hub.layers.ImageConverter)
    }
    found: dict[str, str | None] = dict.fromkeys(preset_utils.BUILTIN_PRESETS)
    for kind, presets in preset_utils.BUILTIN_PRESETS_FOR_BACKBONE.items():
        vision = kind.__name__ in _WITH_VISION
        if kind in images and (vision or kind not in texts):
            found.update({name: told["kaggle_handle"] for name, told in presets.items()})
    return found


_WITH_VISION = ("CLIPBackbone", "SigLIPBackbone", "MetaCLIP2Backbone")
"""Networks of images and texts whose image part can be used alone."""
