"""Which engine: decided by what is installed and plugged in, without importing any of it."""

import os
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from jaxreg.errors import InputError
from jaxreg.features.recipe import Precision

ENGINES = ("tensorflow", "jax", "openvino")

GPUS = (Path("/dev/nvidia0"), Path("/dev/kfd"))
TPUS = (Path("/dev/accel0"), Path("/dev/vfio/0"))


def choose_engine(asked: str, precision: Precision = "float32") -> tuple[str, str]:
    """The engine, and why it is that one.

    `auto` is JAX where it has an accelerator, OpenVINO where that is installed, else TensorFlow.

    Raises:
        InputError: there is no such engine, or it has no such precision.
    """
    if asked not in ("auto", *ENGINES):
        raise InputError(f"no engine {asked!r}", expected=" or ".join(("auto", *ENGINES)))
    if precision != "float32":
        if asked not in ("auto", "openvino"):
            raise InputError(
                f"--precision {precision} with --engine {asked}",
                expected="--engine openvino below float32",
            )
        return "openvino", f"the one that computes in {precision}"
    if asked != "auto":
        return asked, "as asked for"
    if accelerator := _accelerator():
        return "jax", f"there is a {accelerator}"
    if find_spec("openvino") is not None:
        return "openvino", "installed, and JAX has no accelerator"
    return "tensorflow", "JAX has no accelerator, and OpenVINO is not installed"


def _accelerator() -> str | None:
    """What JAX would compute on, if not the CPU: the hardware is there and so is its plugin."""
    allowed = os.environ.get("JAX_PLATFORMS", "").lower()
    if allowed and set(allowed.split(",")) <= {"cpu"}:
        return None
    plugins = {entry.name for entry in metadata.entry_points(group="jax_plugins")}
    gpu = any(path.exists() for path in GPUS)
    if gpu and any(name.startswith(("xla_cuda", "xla_rocm")) for name in plugins):
        return "GPU"
    if any(path.exists() for path in TPUS) and find_spec("libtpu") is not None:
        return "TPU"
    return None
