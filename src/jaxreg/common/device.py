"""The devices that JAX computes on."""

import os
import shutil
from pathlib import Path

from jaxreg.common.user_cache import keep_jax_compilations


def prepare_jax() -> str:
    """Switch on the compilation cache; returns the device in words, as `cpu: 2 cores`."""
    import jax

    keep_jax_compilations()
    devices = jax.local_devices()
    if devices[0].platform == "cpu":
        return f"cpu: {os.cpu_count()} cores"
    return f"{devices[0].platform}: {len(devices)} x {devices[0].device_kind}"


def device_warning(device: str) -> str | None:
    """A warning if there is a GPU that JAX does not see, else None."""
    has_gpu = Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None
    if device.startswith("cpu") and has_gpu:
        return "there is a GPU, but JAX sees only the CPU: pip install 'jaxreg[cuda]'"
    return None
