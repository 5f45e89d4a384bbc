"""Whole files or none for all that jaxreg writes; regular files only for all that it reads."""

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path

import humanize

from jaxreg.common.remote_file import scheme_of, shown
from jaxreg.errors import InputError

TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.tmp")
"""Names of files that `write_whole` has not finished."""


MOST_NAME = 255
"""Bytes of the name of a file or folder, on nearly all file systems."""

MOST_PATH = 4000
"""Bytes of a whole path. Linux allows 4096; jaxreg's own files are below what the user names."""


def named_path(given: str | os.PathLike[str], what: str, *, spare: int = 0) -> Path:
    """The path that a user named, checked before anything is computed for it.

    Args:
        given: the path.
        what: its option, for the message.
        spare: bytes that must be left in each name.

    Raises:
        InputError: no file can have that path: it is empty, a URL, holds a NUL or text that is no
            Unicode, or a name or all of it is too long.
    """
    text = os.fspath(given)
    if not text:
        raise InputError(f"{what} is empty", expected="a name (a shell variable may not be set)")
    if scheme_of(text):  # a folder of the name `s3:` would be made
        raise InputError(f"{what} is a URL: {shown(text)}", expected="a path on this machine")
    try:
        parts = os.fsencode(os.path.abspath(text)).split(os.fsencode(os.sep))
        bad = b"\0" in b"".join(parts)
    except UnicodeEncodeError:
        parts, bad = [], True
    if bad:
        raise InputError(f"{what} is {text!r}", expected="a path without a NUL, in Unicode")
    longest, whole = max(map(len, parts)), sum(map(len, parts)) + len(parts)
    if longest > MOST_NAME - spare or whole > MOST_PATH:
        start = text if len(text) <= 100 else f"{text[:100]}…"
        raise InputError(
            f"{what} is too long: {start}",
            expected=f"names of at most {MOST_NAME - spare} bytes, and {MOST_PATH} in all",
        )
    return Path(text)


def output_file(given: str, what: str, endings: Sequence[str] = ()) -> Path:
    """The file that a command will write.

    Raises:
        InputError: as `named_path`; it is a folder, or has none of the endings (none: any).
    """
    path = named_path(given, what)
    if endings and path.suffix not in endings:
        raise InputError(f"{what} {path}", expected=f"a name that ends in {', '.join(endings)}")
    if path.is_dir():
        raise InputError(f"{what} {path} is a folder", expected="a file")
    return path


def safe_name(text: str) -> str:
    """`text` as a file's name: all but letters, digits, dot, dash and underscore replaced.

    It has at most 80 characters and 200 bytes, so that endings fit.
    """
    name = re.sub(r"[^\w.-]+", "-", text).strip("-.")[:80]
    return name.encode()[:200].decode(errors="ignore") or "unnamed"


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises InputError where that cannot be."""
    try:
        named_path(path, "the folder").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {path}: {error.strerror or error}",
            remedy="use a folder that can be written",
        ) from error


def open_regular(path: Path, limit: int | None = None) -> BufferedReader:
    """Open a file that somebody else made, for reading; as `regular_handle`."""
    return os.fdopen(regular_handle(path, limit)[0], "rb")


def regular_handle(path: Path, limit: int | None = None) -> tuple[int, int]:
    """Open a file that somebody else made, for `os.read`; with its size in bytes.

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
    except OSError:
        os.close(handle)
        raise
    return handle, status.st_size


def read_regular(path: Path, limit: int | None = None) -> bytes:
    """The content of a file that somebody else made. Raises OSError as `regular_handle`."""
    with open_regular(path, limit) as file:
        return file.read()


def file_sha256(path: Path) -> str:
    """64 hex digits for a file of any size. Raises OSError as `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: bytes | BufferedReader) -> None:
    """Write `path` so that a reader sees the old or the whole new file, even after a crash.

    Args:
        path: the file.
        content: its bytes, or an open file with them.

    Raises:
        InputError: the folder cannot be made or written (read-only, disk full); no file is left.
    """
    start = path.name.encode(errors="replace")[:200].decode(errors="ignore")
    temporary = path.with_name(f".{start}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                if isinstance(content, BufferedReader):
                    shutil.copyfileobj(content, file)
                else:
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
            remedy="free some space, or use a folder that can be written",
        ) from error


def remove(path: Path) -> None:
    """Delete a file if it is there. Raises InputError where that cannot be."""
    if os.path.lexists(path):  # a read-only file system refuses to delete even an absent file
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot delete {path}: {error.strerror or error}",
                remedy="mend that, and run the same command again",
            ) from error


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
