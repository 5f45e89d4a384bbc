"""Weights files of others, copied to HDF5 that is safe to read, by a process of its own."""

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import humanize

from jaxreg.backbone.checked_process import limit_process, read_in_a_process, serve
from jaxreg.backbone.plain_hdf5 import UnusableFile, copy_plain
from jaxreg.backbone.weights import MOST_BYTES
from jaxreg.common.json_files import parse_json

_MOST_CONFIG = 64_000_000  # bytes of a model's config.json
_FREE_BYTES = 64_000_000  # what a file of any size may unpack to
_MOST_UNPACKED = 20  # bytes for each packed one beyond that; weights hardly shrink
_MOST_ADDRESSES = 4 * 2**30  # bytes of the process, beside what the file may unpack to


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
        read_in_a_process(__name__, path, target, identity)
        yield target


# ---- in the process of its own


def main(source: str, target: str, identity: str) -> int:
    """Copy, or print the reason why not."""
    kind = "file of Keras"
    return serve(source, target, identity, _copy, most=MOST_BYTES, kind=kind)


def _copy(file: BufferedReader, target: Path) -> None:
    room = _FREE_BYTES + _MOST_UNPACKED * os.fstat(file.fileno()).st_size
    limit_process(_MOST_ADDRESSES + room)
    room = min(room, MOST_BYTES)
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
