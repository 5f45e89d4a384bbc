"""Ray started on this machine, or a cluster joined; and left as it was found."""

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from jaxreg.common.steps import step
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extract_config import RayOptions

OBJECTS = 2**29  # bytes of shared memory for what the driver hands out, where Ray is started here
_QUIET = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}


def require_ray() -> None:
    """Raise InputError where Ray is not installed."""
    if find_spec("ray") is None:
        raise InputError("ray is not installed", remedy="pip install 'jaxreg[ray]'")


def import_ray() -> Any:
    """Import Ray, which tells its makers nothing.

    Raises:
        InputError: it is not installed.
    """
    require_ray()
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
    yield from _connected(ray, options, str(options.ray))


def _connected(ray: Any, options: RayOptions, address: str) -> Iterator[Any]:
    if address.startswith("ray://"):
        raise InputError(
            f"--ray {address} is for Ray Client, through which workers cannot be followed",
            expected="the address of the cluster itself, as HOST:6379",
            remedy="run this command on a node of the cluster with --ray auto",
        )
    _check_address(address)
    doing = "starting Ray" if address == "local" else "joining the Ray cluster"
    with step(doing), _own_signals(), _forks_allowed():
        _begin(ray, _arguments(options, address), address)
    try:
        with _no_words_of_ray():
            yield ray
    finally:
        with _own_signals():
            ray.shutdown()


def _begin(ray: Any, arguments: dict[str, Any], address: str) -> None:
    """Start or join; Ray waits 30 s for its own start, which a busy machine may not keep once."""
    for last in (False, True):
        try:
            ray.init(**arguments)
            return
        except Exception as error:  # Ray raises many kinds, also RuntimeError and ValueError
            if last or address != "local" or "timed out during startup" not in str(error):
                raise _unavailable(address, error) from error
            ray.shutdown()


def _check_address(address: str) -> None:
    """Ray itself tries for minutes to reach a place where nothing answers."""
    if address in ("local", "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--ray {address}", expected="local, auto or HOST:PORT, as node1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _unavailable(address, error) from error


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
        remedy="run ray start --head, and then extract with --ray auto on this machine",
    )


@contextmanager
def _no_words_of_ray() -> Iterator[None]:
    """Ray prints each death of a worker on standard output, and has no switch for it.

    The driver says it in one line. A version of Ray without this function goes on printing.
    """
    from ray._private import worker

    before = getattr(worker, "print_to_stdstream", None)
    if before is None:
        yield
        return
    worker.print_to_stdstream = lambda *data, **more: None
    try:
        yield
    finally:
        worker.print_to_stdstream = before


@contextmanager
def _forks_allowed() -> Iterator[None]:
    """JAX, where a program has loaded it, warns of each fork; Ray starts its processes at once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        yield


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
