"""A folder that KerasHub calls a preset: what it says of its network, checked. Imports no Keras."""

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jaxreg.backbone.weights import MOST_BYTES, WeightsSource
from jaxreg.common.files import open_regular
from jaxreg.common.json_files import parse_json, reason_of
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.setting_field import MOST_SIDE

CONFIG, WEIGHTS, CONVERTER = "config.json", "model.weights.h5", "image_converter.json"
"""The files of a preset that are read; a preset of text models has no image converter."""

_MOST_CONFIG = 4_000_000  # bytes of a JSON file
_MODULE = re.compile(r"keras_(?:hub|nlp)\.src\.models((?:\.[a-z0-9_]+)+)")
_FLOAT32 = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
_MADE = "a folder that backbone.save_to_preset(FOLDER) of KerasHub has written (docs/keras-hub.md)"


@dataclass(frozen=True)
class Converter:
    """What a preset says of the pixels that its network expects."""

    size: tuple[int, int] | None  # pixels, height and width
    scale: tuple[float, ...]  # pixels in 0..255 become x * scale + offset; one for each channel
    offset: tuple[float, ...]
    resize: str | None  # how KerasHub resizes, for people; None: as jaxreg does


@dataclass(frozen=True)
class Preset:
    """A preset that is known and not loaded yet."""

    folder: Path
    config: Mapping[str, Any]  # of the network, in float32; names classes of KerasHub alone
    weights: str  # SHA-256 of the file WEIGHTS
    identity: str  # SHA-256 of config and weights together: 64 hex
    converter: Converter | None

    @property
    def size(self) -> tuple[int, int] | None:
        """The size for which the preset was made; None where it does not say it."""
        if self.converter is not None and self.converter.size is not None:
            return self.converter.size
        shape = image_config(self.config).get("image_shape")
        if not isinstance(shape, list) or len(shape) != 3 or not all(map(_is_side, shape[:2])):
            return None
        return shape[0], shape[1]


def read_preset(folder: Path) -> Preset:
    """The preset in a folder.

    Raises:
        InputError: a file is absent or damaged, or the config names classes that are not KerasHub's
            networks.
    """
    content = _load(folder, CONFIG)
    config = _checked(content, folder)
    try:
        with step("reading the weights file"), open_regular(folder / WEIGHTS, MOST_BYTES) as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        shards = " (its weights are in several files)" if any(folder.glob("model_*.h5")) else ""
        raise InputError(
            f"{folder / WEIGHTS} cannot be read: {reason_of(error)}{shards}", expected=_MADE
        ) from error
    there = os.path.lexists(folder / CONVERTER)
    converter = _converter(_load(folder, CONVERTER), folder) if there else None
    told = json.dumps({"config": content, "weights": weights}, sort_keys=True)
    return Preset(folder, config, weights, hashlib.sha256(told.encode()).hexdigest(), converter)


def preset_in(folder: Path) -> Preset:
    """The preset in a folder, read once as long as its files stay as they are."""
    state = []
    for name in (CONFIG, WEIGHTS, CONVERTER):
        with contextlib.suppress(OSError):
            status = os.stat(folder / name)
            state.append((name, status.st_size, status.st_mtime_ns, status.st_ino))
    return _read_once(folder, tuple(state))


@lru_cache(4)
def _read_once(folder: Path, state: tuple) -> Preset:
    return read_preset(folder)


def preset_of(weights: WeightsSource) -> Preset:
    """The preset of weights that `hub_names.identify_preset` has found.

    Raises:
        InputError: it has changed since.
    """
    assert weights.path is not None
    preset = preset_in(weights.path)
    if preset.identity != weights.identity:
        raise InputError(
            f"the preset in {weights.path} has changed since it was identified",
            remedy="run the same command again",
        )
    return preset


def image_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a network's config that has the shape of its images.

    A network of images and text keeps it with that of its images.
    """
    own = config["config"]
    vision = own.get("vision_encoder")
    return vision["config"] if isinstance(vision, dict) and "class_name" in vision else own


def _load(folder: Path, name: str) -> dict[str, Any]:
    try:
        with open_regular(folder / name, _MOST_CONFIG) as file:
            content = parse_json(file.read())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / name} cannot be read: {reason_of(error)}", expected=_MADE
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise InputError(f"{folder / name} is not the JSON that KerasHub writes", expected=_MADE)
    return content


def _checked(part: Any, folder: Path) -> Any:
    """A copy of a config that Keras may make objects of: networks of KerasHub in float32.

    Only `config` of each object stays, so nothing is compiled and no registered name is looked up.
    """
    if isinstance(part, list):
        return [_checked(item, folder) for item in part]
    if not isinstance(part, dict):
        return part
    if "class_name" not in part and not {"module", "registered_name"} & part.keys():
        return {name: _checked(item, folder) for name, item in part.items()}
    name, module, own = (part.get(key) for key in ("class_name", "module", "config"))
    if (module, name) == ("keras", "DTypePolicy"):
        return dict(_FLOAT32)
    if (module, name) == ("keras", "DTypePolicyMap"):
        raise InputError(
            f"the preset in {folder} is quantized", expected="a preset in float32, or bfloat16"
        )
    found = _MODULE.fullmatch(module) if isinstance(module, str) else None
    named = isinstance(name, str) and re.fullmatch(r"[A-Z]\w{0,80}", name, re.ASCII)
    if not found or not named or not isinstance(own, dict):
        what = json.dumps(f"{module}.{name}")[1:101]
        raise InputError(
            f"{folder / CONFIG} names {what}, which is no network of KerasHub: jaxreg runs no code "
            "of others",
            expected=_MADE,
        )
    return {
        "module": f"keras_hub.src.models{found[1]}",
        "class_name": name,
        "config": {
            key: dict(_FLOAT32) if key == "dtype" and not _is_map(item) else _checked(item, folder)
            for key, item in own.items()
        },
        "registered_name": None,
    }


def _is_map(dtype: Any) -> bool:
    return isinstance(dtype, dict) and dtype.get("class_name") == "DTypePolicyMap"


def _converter(content: Mapping[str, Any], folder: Path) -> Converter:
    """Also from the names that KerasHub's first presets use: height, width, mean, variance."""
    config = content["config"]
    size = config.get("image_size") or (config.get("height"), config.get("width"))
    scale, offset = config.get("scale"), config.get("offset")
    try:
        if "mean" in config and "variance" in config:
            std = [math.sqrt(value) for value in _channels(config["variance"], 1.0)]
            scale = [s / d for s, d in zip(_channels(scale, 1.0), std, strict=True)]
            means = _channels(config["mean"], 0.0)
            offset = [-m / d for m, d in zip(means, std, strict=True)]
        told = Converter(
            (size[0], size[1]) if all(map(_is_side, size[:2])) and len(size) == 2 else None,
            _channels(scale, 1.0),
            _channels(offset, 0.0),
            _resize_of(config),
        )
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"{folder / CONVERTER} has a scale, offset or size that is none", expected=_MADE
        ) from error
    return told


def _channels(value: Any, usual: float) -> tuple[float, ...]:
    """Three numbers, of one or three; of None the usual. Raises ValueError, TypeError."""
    if value is None:
        return (usual,) * 3
    numbers = tuple(float(x) for x in value) if isinstance(value, list) else (float(value),) * 3
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError("not one number for each channel")
    return numbers


def _is_side(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MOST_SIDE


def _resize_of(config: Mapping[str, Any]) -> str | None:
    told = [
        str(config.get("interpolation", "bilinear"))[:20],
        *("antialias" for _ in range(bool(config.get("antialias")))),
        *(
            "crop to the aspect ratio"
            for _ in range(bool(config.get("crop_to_aspect_ratio", True)))
        ),
        *("pad to the aspect ratio" for _ in range(bool(config.get("pad_to_aspect_ratio")))),
    ]
    return None if told == ["bilinear"] else ", ".join(told)
