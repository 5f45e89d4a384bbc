"""Where JAX computes, and what it keeps between processes."""

import os
import shutil
from pathlib import Path


def user_cache() -> Path:
    """The user's own cache directory for jaxreg; never `cache/`, which machines may share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxreg"


def prepare_jax() -> str:
    """Switch on the compilation cache; returns the device in words, as `cpu: 2 cores`."""
    import jax

    folder = user_cache() / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = None  # read-only: compile each time
    if folder is not None and os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    devices = jax.local_devices()
    if devices[0].platform == "cpu":
        return f"cpu: {os.cpu_count()} cores"
    return f"{devices[0].platform}: {len(devices)} x {devices[0].device_kind}"


def device_warning(device: str) -> str | None:
    """What to tell a user whose GPU JAX does not see."""
    has_gpu = Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None
    if device.startswith("cpu") and has_gpu:
        return "there is a GPU, but JAX sees only the CPU: pip install 'jaxreg[cuda]'"
    return None
