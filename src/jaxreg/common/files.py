"""Whole files or none for all that jaxreg writes; regular files only for all that it reads."""

import errno
import hashlib
import os
import re
import secrets
import stat
from io import BufferedReader
from pathlib import Path

import humanize

from jaxreg.errors import InputError

TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.tmp")
"""Names of files that `write_whole` has not finished."""


def safe_name(text: str) -> str:
    """`text` as a file's name: all but letters, digits, dot, dash and underscore replaced.

    It has at most 80 characters and 200 bytes; file systems allow 255 bytes, `write_whole` adds 35.
    """
    name = re.sub(r"[^\w.-]+", "-", text).strip("-.")[:80]
    return name.encode()[:200].decode(errors="ignore") or "unnamed"


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises InputError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {path}: {error.strerror or error}",
            remedy="name a folder that can be written",
        ) from error


def open_regular(path: Path, limit: int | None = None) -> BufferedReader:
    """Open a file that somebody else made, for reading.

    A FIFO or a device would hang, or never end.

    Args:
        path: the file; a link is followed.
        limit: the most bytes that it may have.

    Raises:
        OSError: it cannot be opened, is no regular file, or is larger; `strerror` says which.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a FIFO, a socket or a device"
            raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
        if limit is not None and status.st_size > limit:
            sizes = [humanize.naturalsize(size) for size in (status.st_size, limit)]
            what = f"it has {sizes[0]}; more than {sizes[1]} are refused"
            raise OSError(errno.EFBIG, what, str(path))
        return os.fdopen(handle, "rb")
    except OSError:
        os.close(handle)
        raise


def file_sha256(path: Path, limit: int | None = None) -> str:
    """64 hex digits for a file of any size. Raises OSError as `open_regular`."""
    with open_regular(path, limit) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write `path` so that a reader sees the old or the whole new file, even after a crash.

    Raises:
        InputError: the folder cannot be made or written (read-only, disk full); no file is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}",
            remedy="free some space, or name a folder that can be written",
        ) from error


def remove(path: Path) -> None:
    """Delete a file if it is there. Raises InputError where that cannot be."""
    if path.exists():  # a read-only file system refuses to delete even an absent file
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"cannot delete {path}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
