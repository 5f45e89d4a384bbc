"""Weights files of others, copied to HDF5 that is safe to read, by a process of its own.

A damaged file can crash the HDF5 library or keep it busy for ever. Then only that process ends.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import humanize

from jaxreg.backbone.plain_hdf5 import UnusableFile, copy_plain
from jaxreg.backbone.weights import MOST_BYTES
from jaxreg.common.files import open_regular
from jaxreg.common.json_files import parse_json

_MOST_CONFIG = 64_000_000  # bytes of a model's config.json
_FREE_BYTES = 64_000_000  # what a file of any size may unpack to
_MOST_UNPACKED = 20  # bytes for each packed one beyond that; weights hardly shrink
_MOST_ADDRESSES = 4 * 2**30  # bytes of the process, beside what the file may unpack to
_SECONDS = 30.0  # for a file of any size, and
_SLOWEST = 5_000_000  # bytes a second beyond that
_PROGRAM = f"import sys; from {__name__} import main; sys.exit(main(*sys.argv[1:]))"


@contextmanager
def plain_copy(path: Path, identity: str) -> Iterator[Path]:
    """A copy of a file of Keras weights that holds plain arrays only, for as long as the block.

    The copy of a `.keras` is its `.weights.h5`. It has all groups and arrays, and the attributes
    that name layers and arrays.

    Args:
        path: a `.weights.h5`, `.h5` or `.keras` file.
        identity: the SHA-256 that the file is known by, 64 hex.

    Raises:
        UnusableFile: the file has changed, is damaged, holds code, or holds more than plain
            arrays.
    """
    legacy = path.name.endswith(".h5") and not path.name.endswith(".weights.h5")
    with tempfile.TemporaryDirectory(prefix="jaxreg-weights-") as folder:
        target = Path(folder, "x.h5" if legacy else "x.weights.h5")
        _copy_in_a_process(path, target, identity)
        yield target


def _copy_in_a_process(path: Path, target: Path, identity: str) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "HDF5_PLUGIN_PRELOAD": "::",  # load none
        "OPENBLAS_NUM_THREADS": "1",
    }
    words = [sys.executable, "-P", "-c", _PROGRAM, str(path.absolute()), str(target), identity]
    seconds = _SECONDS
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


def main(source: str, target: str, identity: str) -> int:
    """Copy, or print the reason why not."""
    try:
        with open_regular(Path(source), MOST_BYTES) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != identity:
                raise UnusableFile("it has changed since it was identified")
            room = _FREE_BYTES + _MOST_UNPACKED * os.fstat(file.fileno()).st_size
            _limit_process(_MOST_ADDRESSES + room)
            _copy(file, Path(target), min(room, MOST_BYTES))
    except UnusableFile as error:
        reason = str(error)
    except Exception as error:  # zipfile, its packings and h5py raise anything
        what = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        reason = f"damaged, or no file of Keras ({what})"
        if os.strerror(errno.ENOSPC) in str(error):
            reason = f"there is no space for a copy of it in {Path(target).parent.parent}"
    else:
        return 0
    print(" ".join(reason.split()).encode("ascii", "backslashreplace").decode()[:500])
    return 1


def _limit_process(most: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _copy(file: BufferedReader, target: Path, room: int) -> None:
    file.seek(0)
    start = file.read(8)
    if start[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(file) as archive:
            with _member(archive, "config.json", _MOST_CONFIG) as config:
                model = parse_json(config.read())
            if not isinstance(model, dict):
                raise UnusableFile("the config.json in it is not the object that Keras writes")
            _refuse_code({**model, "compile_config": None})
            with (
                _member(archive, "model.weights.h5", room) as packed,
                tempfile.TemporaryFile(dir=target.parent) as unpacked,
            ):
                shutil.copyfileobj(packed, unpacked)
                copy_plain(unpacked, target, room)
    elif start == b"\x89HDF\r\n\x1a\n":
        if (config := copy_plain(file, target, room)) is not None:
            _refuse_code(parse_json(config))
    else:
        raise UnusableFile("damaged, or no file of Keras (it begins as neither HDF5 nor a zip)")


def _member(archive: zipfile.ZipFile, name: str, most: int) -> Any:
    """A member, which never gives more bytes than it declares."""
    declared = archive.getinfo(name).file_size
    if declared > most:
        sizes = humanize.naturalsize(declared), humanize.naturalsize(most)
        raise UnusableFile(f"{name} in it unpacks to {sizes[0]}; more than {sizes[1]} are refused")
    return archive.open(name)


def _refuse_code(config: object) -> None:
    """Refuse a model with other than Keras' own layers, because those are code."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            name = str(part.get("class_name"))
            package = str(part.get("module") or "keras").partition(".")[0]
            if name in ("Lambda", "__lambda__"):
                raise UnusableFile("the model holds a Lambda, code that jaxreg does not run")
            if package not in ("keras", "tf_keras", "builtins"):
                what = f"{json.dumps(name)[1:-1]}, a custom object that jaxreg does not run"
                raise UnusableFile(f"the model holds {what}")
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
