"""What all parts use: a figure, the device, and the time of a call."""

import statistics
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

Figure = dict[str, Any]


def figure(what: str, value: float, unit: str) -> Figure:
    return {"what": what, "value": float(value), "unit": unit}


def device() -> Figure:
    """The device of JAX by its name, and the versions of what computes."""
    import jax

    from jaxreg.common.device import prepare_jax

    said = prepare_jax()
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        said += f", {stats['bytes_limit'] / 1e9:.0f} GB for JAX"
    names = ("jax", "jaxlib", "flax", "optax", "keras", "numpy")
    return {"device": said, "versions": {name: metadata.version(name) for name in names}}


def accelerated() -> bool:
    """Whether JAX has more than a CPU."""
    import jax

    return jax.default_backend() != "cpu"


def seconds(act: Callable[[], object], calls: int = 1, rounds: int = 3) -> float:
    """Median seconds of a call, `calls` of them started in a row, after one that compiles."""
    import jax

    jax.block_until_ready(act())
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls - 1):
            act()
        jax.block_until_ready(act())
        found.append((time.perf_counter() - start) / calls)
    return statistics.median(found)
