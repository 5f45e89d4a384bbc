"""From `--weights imagenet | random[:SEED] | FILE` to an identity. Imports no Keras."""

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxreg.backbone.registry import BACKBONES
from jaxreg.common.files import open_regular
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
    tag: str  # imagenet, random<seed>, or the first 8 hex: a name for people
    path: Path | None = None  # the file, None for random weights
    seed: int | None = None  # of random weights, None for a file


def identify_weights(spec: str, backbone: str = "inception_v3") -> WeightsSource | None:
    """The weights that `spec` names; None for ImageNet's if Keras has not downloaded them yet.

    Args:
        spec: `imagenet`, `random` (seed 0), `random:SEED` or a file of Keras weights.
        backbone: the network that ImageNet's weights are for.

    Raises:
        InputError: no such file, not a file of Keras weights by its name, or a seed that is none.
    """
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


def _weights_file(spec: str) -> Path:
    path = Path(os.path.expanduser(spec))
    if os.path.isdir(path):  # Path's own raise for a name too long and for an unknown user
        raise InputError(f"{spec} is a folder", expected=f"a file: {', '.join(SUFFIXES)}")
    if not os.path.lexists(path):
        raise InputError(
            f"no weights file {spec}",
            expected=f"imagenet, random, random:SEED or a file: {', '.join(SUFFIXES)}",
            remedy=neighbour("--weights", path, "imagenet", "random"),
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
                raise InputError(f"{path} is empty", expected=f"weights in {', '.join(SUFFIXES)}")
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
