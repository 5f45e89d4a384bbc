"""The user's own cache directory: files that one machine keeps between processes, or loses."""

import os
from pathlib import Path

import platformdirs


def user_cache() -> Path:
    """The user's own cache directory for jaxreg; never `cache/`, which machines may share."""
    return platformdirs.user_cache_path("jaxreg", appauthor=False)


def keep_jax_compilations() -> None:
    """Let JAX keep its compiled programs there, if the directory can be written."""
    import jax

    folder = user_cache() / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
