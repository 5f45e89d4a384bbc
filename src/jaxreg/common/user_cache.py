"""The user's own cache directory: what a machine may keep, and may lose, between processes."""

import os
from pathlib import Path


def user_cache() -> Path:
    """The user's own cache directory for jaxreg; never `cache/`, which machines may share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxreg"


def keep_jax_compilations() -> None:
    """Let JAX keep its compiled programs there; where it cannot be written, compile each time."""
    import jax

    folder = user_cache() / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
