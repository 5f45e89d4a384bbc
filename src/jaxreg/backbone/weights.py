"""From `--weights imagenet | random[:SEED] | FILE` to an identity. Imports no Keras."""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxreg.backbone.registry import BACKBONES, ONNX
from jaxreg.common.files import open_regular, safe_name
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.sources.naming import neighbour

MOST_BYTES = 8_000_000_000
"""The largest weights file: twice that of ConvNeXtXLarge with the state of its optimizer."""

SUFFIXES = (".weights.h5", ".h5", ".keras")
"""The files that Keras writes weights to."""

IMAGENET = {name: backbone.imagenet for name, backbone in BACKBONES.items()}
"""Keras' file of ImageNet weights, per backbone."""


@dataclass(frozen=True)
class WeightsSource:
    """Weights that are known by their identity and not loaded yet."""

    identity: str  # 64 hex of the file's SHA-256, or random:<seed>:v1
    tag: str  # imagenet, random<seed>, the first 8 hex, or an ONNX file's name: for people
    path: Path | None = None  # the file, None for random weights
    seed: int | None = None  # of random weights, None for a file


def identify_weights(spec: str, backbone: str = "inception_v3") -> WeightsSource | None:
    """The weights that `spec` names; None for ImageNet's if Keras has not downloaded them yet.

    Args:
        spec: `imagenet`, `random` (seed 0), `random:SEED` or a file of Keras weights. For the
            backbone ONNX it is the ONNX file.
        backbone: the network that ImageNet's weights are for, or ONNX.

    Raises:
        InputError: no such file, not a file of Keras weights by its name, or a seed that is none.
    """
    if backbone == ONNX:
        return identify_onnx(spec)
    if spec == "imagenet":
        path = keras_weights_file(backbone)
        return WeightsSource(_sha256(path), "imagenet", path) if path.is_file() else None
    if spec == "random" or spec.startswith("random:"):
        digits = "0" if spec == "random" else spec.removeprefix("random:")
        if not re.fullmatch(r"[0-9]{1,10}", digits) or int(digits) >= 2**32:
            raise InputError(f"--weights {spec}", expected="random or random:SEED, 0 to 2**32 - 1")
        seed = int(digits)
        return WeightsSource(f"random:{seed}:v1", f"random{seed}", seed=seed)
    path = _weights_file(spec)
    identity = _sha256(path)
    return WeightsSource(identity, identity[:8], path)


def identify_onnx(spec: str) -> WeightsSource:
    """An ONNX file, given as `FILE` or `onnx:FILE`. Raises InputError as `identify_weights`."""
    path = _onnx_file(spec.removeprefix("onnx:"))
    return WeightsSource(_sha256(path), safe_name(path.stem), path)


def keras_weights_file(backbone: str = "inception_v3") -> Path:
    """Where Keras keeps its ImageNet weights: `models/` in $KERAS_HOME, ~/.keras or /tmp/.keras.

    `keras.src.backend.config` and `keras.utils.get_file` have this rule: they take /tmp if the
    home, or the folder itself, cannot be written.

    Raises:
        InputError: Keras publishes no such weights for this backbone.
    """
    if backbone not in IMAGENET:
        raise InputError(f"no ImageNet weights for {backbone!r}", expected=" or ".join(IMAGENET))
    folder = os.environ.get("KERAS_HOME")
    if folder is None:
        home = os.path.expanduser("~")
        folder = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    folder = os.path.expanduser(folder)
    if not _writable(folder):
        folder = os.path.join("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir(), ".keras")
    return Path(folder, "models", IMAGENET[backbone].name)


def random_kernels(shapes: Sequence[tuple[int, int, int, int]], seed: int) -> list[np.ndarray]:
    """Convolution kernels of random weights, version 1.

    One `numpy.random.Generator(PCG64(seed))` draws every kernel in the order given: float64 uniform
    in ±sqrt(6 / (fan_in + fan_out)) (glorot), C order, then rounded to float32. A fan is the
    kernel's height × width × channels in or out.

    Args:
        shapes: (height, width, channels in, channels out) of each kernel, in the order in which
            Keras creates the layers, which is that of the numbers in their names.
        seed: 0 or more.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    kernels = []
    for shape in shapes:
        height, width, channels_in, channels_out = shape
        limit = np.sqrt(6 / (height * width * (channels_in + channels_out)))
        kernels.append(generator.uniform(-limit, limit, shape).astype(np.float32))
    return kernels


def _existing(
    spec: str, what: str, expected: str, remedy: Callable[[Path], str], file: str
) -> Path:
    path = Path(os.path.expanduser(spec))
    if os.path.isdir(path):  # Path's own raise for a name too long and for an unknown user
        raise InputError(f"{spec} is a folder", expected=file)
    if not os.path.lexists(path):
        raise InputError(f"no {what} {spec}", expected=expected, remedy=remedy(path))
    return path


def _onnx_file(spec: str) -> Path:
    def remedy(path: Path) -> str:
        return neighbour("--backbone", path).replace("--backbone ", "--backbone onnx:")

    expected = "--backbone onnx:FILE with a file that is there"
    return _existing(spec, "ONNX file", expected, remedy, "a file")


def _weights_file(spec: str) -> Path:
    path = _existing(
        spec,
        "weights file",
        f"imagenet, random, random:SEED or a file: {', '.join(SUFFIXES)}",
        lambda path: neighbour("--weights", path, "imagenet", "random"),
        f"a file: {', '.join(SUFFIXES)}",
    )
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{spec} has an unknown suffix", expected=", ".join(SUFFIXES))
    return path


def _writable(folder: str) -> bool:
    """Whether Keras will be able to write here; it makes the folder when it is imported."""
    while folder and not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return os.access(folder, os.W_OK)


def _sha256(path: Path) -> str:
    try:
        with step("reading the weights file"), open_regular(path, MOST_BYTES) as file:
            if not os.fstat(file.fileno()).st_size:
                raise InputError(
                    f"{path} is empty",
                    expected=f"weights in {', '.join(SUFFIXES)}, or an ONNX model",
                )
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
