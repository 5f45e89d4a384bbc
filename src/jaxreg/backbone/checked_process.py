"""Files of others, read by a process of its own.

A damaged file can crash the library that reads it, or keep it busy for ever. Then only that process
ends. What it makes of the file is safe to read.
"""

import contextlib
import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

from jaxreg.backbone.plain_hdf5 import UnusableFile
from jaxreg.common.files import open_regular

SECONDS = 120.0  # for a file of any size on a slow or busy machine, and
_SLOWEST = 5_000_000  # bytes a second beyond that


def read_in_a_process(
    module: str, path: Path, target: Path, identity: str, *, seconds: float | None = None
) -> None:
    """Let `main(path, target, identity)` of a module write `target` in a process of its own.

    Args:
        module: its `main` returns what `serve` returns.
        path: the file of somebody else.
        target: the file that the process makes of it.
        identity: the SHA-256 that the file is known by, 64 hex.
        seconds: for a file of any size, by default SECONDS; larger ones get more.

    Raises:
        UnusableFile: the process gave a reason, was ended, or did not end.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "HDF5_PLUGIN_PRELOAD": "::",  # load none
        "OPENBLAS_NUM_THREADS": "1",
    }
    program = f"import sys; from {module} import main; sys.exit(main(*sys.argv[1:]))"
    words = [sys.executable, "-P", "-c", program, str(path.absolute()), str(target), identity]
    seconds = SECONDS if seconds is None else seconds
    try:
        seconds += path.stat().st_size / _SLOWEST
        done = subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            process_group=0 if os.name == "posix" else None,  # Ctrl-C is for this process
        )
    except OSError as error:
        raise UnusableFile(str(error.strerror or error)) from error
    except subprocess.TimeoutExpired:
        raise UnusableFile(f"damaged: it is not read after {seconds:.0f} s") from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise UnusableFile(f"damaged: the process that read it was ended by {name}")
    if done.returncode:
        said = (done.stdout or done.stderr).decode(errors="replace").strip().splitlines()
        raise UnusableFile(said[-1] if said else "damaged: the process that read it failed")


# ---- in the process of its own


def serve(
    source: str,
    target: str,
    identity: str,
    make: Callable[[BufferedReader, Path], None],
    *,
    most: int,
    kind: str,
) -> int:
    """Make `target` of a file, or print the reason why not; returns the exit code.

    Args:
        source, target, identity: as `read_in_a_process` got them.
        make: gets the open file and `target`; it limits the process before it reads.
        most: bytes that the file may have.
        kind: what the file should be, for the message.
    """
    try:
        with open_regular(Path(source), most) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != identity:
                raise UnusableFile("it has changed since it was identified")
            file.seek(0)
            make(file, Path(target))
    except UnusableFile as error:
        reason = str(error)
    except Exception as error:  # readers of foreign files raise anything
        what = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        reason = f"damaged, or no {kind} ({what})"
        if os.strerror(errno.ENOSPC) in str(error):
            reason = f"there is no space for a copy of it in {Path(target).parent.parent}"
    else:
        return 0
    print(" ".join(reason.split()).encode("ascii", "backslashreplace").decode()[:500])
    return 1


def limit_process(most: int) -> None:
    """No more than `most` bytes of addresses for this process, and no core dump."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
