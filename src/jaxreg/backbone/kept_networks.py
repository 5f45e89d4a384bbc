"""Networks as OpenVINO has them: a machine converts each of them once, and keeps it.

The user's cache directory has them. Of several processes that need a network at the same time, one
converts it and the others wait. If that one is killed, the next one converts.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxreg.common import stored_zip
from jaxreg.common.files import open_regular, write_whole
from jaxreg.common.steps import step
from jaxreg.common.user_cache import user_cache
from jaxreg.errors import InputError

PATIENCE = 180.0  # seconds; a conversion takes a few, or half a minute on a slow machine


def kept_network(name: str, convert: Callable[[], bytes]) -> bytes:
    """The packed network of that name; `convert` makes it where it is absent or damaged.

    Args:
        name: made from all that decides the network's bytes.
        convert: gives the packed network; what it raises ends the conversion.
    """
    path = user_cache() / "openvino" / f"{name}.zip"
    if content := _kept(path):
        return content
    with _alone(path.with_suffix(".lock")):
        if content := _kept(path):  # another process has converted it meanwhile
            return content
        content = convert()
        with suppress(InputError):  # a cache that cannot be written costs the next start its time
            write_whole(path, content)
    return content


def _kept(path: Path) -> bytes:
    """The file, checked against its own checksums; nothing if it is absent or damaged."""
    with suppress(OSError, ValueError), open_regular(path) as file:
        content = file.read()
        stored_zip.unpack(content)
        return content
    return b""


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """The block runs while no other one of this lock does; where there are no locks, at once.

    The system takes the lock from a process that ends. One that was suspended keeps it, so the
    block runs after PATIENCE in any case: two conversions make the same network.
    """
    try:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab")  # noqa: SIM115
    except (ImportError, OSError):
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("waiting for another command, which converts the network"):
                end = time.monotonic() + PATIENCE
                while time.monotonic() < end:
                    time.sleep(0.1)
                    with suppress(BlockingIOError):
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
        except OSError:  # a file system without locks
            pass
        try:
            yield
        finally:
            with suppress(OSError):  # who still waits finds the network, or converts it too
                path.unlink(missing_ok=True)
