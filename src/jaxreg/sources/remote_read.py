"""Bytes, listings and states of files at URLs; open files, here and there.

What reaches a URL is imported when one is read: it takes time, and most sources are files.
"""

import errno
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from jaxreg.common.files import open_regular
from jaxreg.common.remote_file import (
    BUCKETS,
    EXPECTED,
    SCHEMES,
    AnyFile,
    RemoteError,
    RemoteFile,
)

HEAD = 2**16  # bytes of a first request, which shows how large a file is


def read_remote(file: RemoteFile, limit: int, stop: threading.Event | None = None) -> bytes:
    """All bytes of a file at a URL.

    Args:
        file: its URL.
        limit: the most bytes that it may have.
        stop: if it is set, a request over the web is given up.

    Raises:
        RemoteError: it cannot be had; `strerror` says why.
        InputError: the extra `url` is not installed.
    """
    if file.scheme in BUCKETS:
        from jaxreg.sources.remote_buckets import read_object

        return read_object(file, limit)
    url, headers = _web(file)
    return _get(url, limit, headers=headers, stop=stop).content


def open_file(file: AnyFile, limit: int | None = None) -> BinaryIO:
    """A file that somebody else made, for reading; one at a URL is read whole into memory.

    Raises:
        OSError: it cannot be opened, or is larger than `limit`; RemoteError for one at a URL.
    """
    if isinstance(file, Path):
        return open_regular(file, limit)
    return io.BytesIO(read_remote(file, 2**32 if limit is None else limit))


def open_random(file: RemoteFile) -> Any:
    """A file at a URL of which parts are read, for Arrow. Raises RemoteError."""
    if file.scheme in BUCKETS:
        from jaxreg.sources.remote_buckets import open_object

        return open_object(file)
    return _Ranges(file)


def state_of(file: RemoteFile) -> tuple[int, int | str] | None:
    """Bytes, and time or name of the version; None for a folder. Raises RemoteError."""
    if file.scheme in BUCKETS:
        from jaxreg.sources.remote_buckets import object_state

        return object_state(file)
    if file.scheme == "hf":
        from jaxreg.sources.remote_hub import hub_state

        return hub_state(file)
    answer = _get(file.url, 2**30, span=(0, HEAD))
    return answer.size, answer.version


def files_below(folder: RemoteFile, *, recursive: bool = True) -> Iterator[str]:
    """Paths below a folder of the files in it. Raises RemoteError; the web has no listing."""
    if folder.scheme in BUCKETS:
        from jaxreg.sources.remote_buckets import objects_below

        return objects_below(folder, recursive=recursive)
    if folder.scheme == "hf":
        from jaxreg.sources.remote_hub import hub_files_below

        return hub_files_below(folder, recursive=recursive)
    raise RemoteError(errno.EINVAL, "a web server has no list of its files", str(folder))


def first_bytes(file: RemoteFile, count: int) -> bytes:
    """At most `count` bytes of a file on the web. Raises RemoteError."""
    return _get(file.url, 2**30, span=(0, count)).content[:count]


def _get(url: str, limit: int, **given: Any) -> Any:
    from jaxreg.sources.remote_http import get

    return get(url, limit, **given)


def _web(file: RemoteFile) -> tuple[str, dict[str, str]]:
    if file.scheme not in SCHEMES:
        what = f"refused; a table at a URL may name files below its own place, or by {EXPECTED}"
        raise RemoteError(errno.EACCES, what, str(file))
    if file.scheme != "hf":
        return file.url, {}
    from jaxreg.sources.remote_hub import web_address

    return web_address(file)


class _Ranges(io.RawIOBase):
    """A file on the web of which ranges are read; whole in memory where a server has no ranges."""

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._place = file, 0
        self._url, self._headers = _web(file)
        first = self._get(0, HEAD)
        self._size, self._version = first.size, first.version
        self._start, self._content = 0, first.content  # the bytes that are here

    def _get(self, start: int, stop: int) -> Any:
        return _get(self._url, 2**31, span=(start, stop), headers=self._headers)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = begin + offset
        return self._place

    def size(self) -> int:
        return self._size

    def readinto(self, buffer: Any) -> int:
        start = self._place
        stop = min(start + len(buffer), self._size)
        if start >= stop:
            return 0
        there = self._start + len(self._content)
        if not (self._start <= start and stop <= there):
            answer = self._get(start, stop)
            if (answer.size, answer.version) != (self._size, self._version):
                what = "it has changed while it was read"
                raise RemoteError(errno.EINVAL, what, str(self._file))
            self._start, self._content = (start if answer.partial else 0), answer.content
        found = self._content[start - self._start : stop - self._start]
        buffer[: len(found)] = found
        self._place = start + len(found)
        return len(found)
