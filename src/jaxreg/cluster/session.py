"""Ray started on this machine, or a cluster joined; and left as it was found."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from jaxreg.common.steps import step
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extract_config import RayOptions

OBJECTS = 2**29  # bytes of shared memory for what the driver hands out, where Ray is started here
_QUIET = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}


def import_ray() -> Any:
    """Import Ray, which tells its makers nothing.

    Raises:
        InputError: it is not installed.
    """
    if find_spec("ray") is None:
        raise InputError("ray is not installed", remedy="pip install 'jaxreg[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


@contextmanager
def ray_session(options: RayOptions) -> Iterator[Any]:
    """Ray, connected; a program that has connected already keeps its own connection.

    Raises:
        InputError: Ray is not installed, or the address cannot be one of a cluster.
        UnavailableError: no cluster answers there, or Ray does not start.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    address = str(options.ray)
    if address.startswith("ray://"):
        raise InputError(
            f"--ray {address} is for Ray Client, through which workers cannot be followed",
            expected="the address of the cluster itself, as HOST:6379",
            remedy="run this command on a node of the cluster with --ray auto",
        )
    with step("starting Ray" if address == "local" else "joining the Ray cluster"), _own_signals():
        try:
            ray.init(**_arguments(options, address))
        except Exception as error:  # Ray raises many kinds, also RuntimeError and ValueError
            raise _unavailable(address, error) from error
    try:
        yield ray
    finally:
        with _own_signals():
            ray.shutdown()


def _arguments(options: RayOptions, address: str) -> dict[str, Any]:
    if address != "local":
        return {"address": address, **_QUIET}
    cpus = os.cpu_count() or 1
    asked = (options.ray_workers or 1) * (options.ray_cpus or 1)
    return {
        "address": "local",
        "num_cpus": max(cpus, asked),
        "object_store_memory": OBJECTS,
        **_QUIET,
    }


def _unavailable(address: str, error: Exception) -> UnavailableError:
    told = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = " ".join(told)[:300] or type(error).__name__
    if address == "local":
        return UnavailableError(f"Ray does not start here: {reason}")
    return UnavailableError(
        f"no Ray cluster can be joined at {address}: {reason}",
        expected="a running cluster with the Ray and the Python version of this machine",
        remedy="ray start --head, and then --ray auto on the same machine",
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    """The handlers of signals stay ours: Ray puts its own in the place of that of SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(TypeError, ValueError):  # it was not set by Python
                signal.signal(number, handler)
