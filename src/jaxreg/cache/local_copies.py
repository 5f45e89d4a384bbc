"""Copies of immutable objects of buckets on this machine, in the user's cache directory."""

import functools
import hashlib
import os
import re
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path

from jaxreg.common.files import read_regular
from jaxreg.common.memory import parse_bytes
from jaxreg.common.user_cache import user_cache

VARIABLE = "JAXREG_BUCKET_COPIES"
"""The environment variable with the most bytes that copies may take; 0 for no copies."""

DEFAULT = "5GB"
LEFT = 0.9  # of the limit, after the least recently used copies have been deleted
OLD = 3600.0  # seconds after which an unfinished file belongs to a process that has died
_PART = re.compile(r"part-([0-9a-f]{16})\.parquet")


def digest_in(key: str) -> str | None:
    """The start of the SHA-256 of an object that is named by its content; else None."""
    found = _PART.fullmatch(key.rpartition("/")[2])
    return found and found[1]


def has_digest(content: bytes, digest: str) -> bool:
    """Whether the SHA-256 of `content` starts with `digest`."""
    return hashlib.sha256(content).hexdigest().startswith(digest)


class LocalCopies:
    """Objects by the start of their SHA-256, which every reading checks.

    Processes share the folder. A folder that cannot be written, or a full disk, holds no copies.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """`limit`: bytes of all copies; another process may add some beside them."""
        self.folder, self.limit = folder, limit
        self._lock = threading.Lock()
        self._used: int | None = None  # bytes when last looked, and what was written since

    def get(self, digest: str) -> bytes | None:
        """The object; None if there is no sound copy. A damaged copy is deleted."""
        path = self.folder / digest
        with suppress(OSError):
            content = read_regular(path)
            if not has_digest(content, digest):
                path.unlink()
                return None
            with suppress(OSError):
                os.utime(path)  # used now
            return content
        return None

    def put(self, digest: str, content: bytes) -> None:
        """Keep an object, if there is room for it; it is there whole or not at all."""
        if len(content) > self.limit * LEFT:
            return
        temporary = self.folder / f".{digest}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        with suppress(OSError):
            self._make_room(len(content))
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(content)  # not synced: its digest tells if it was lost
                temporary.replace(self.folder / digest)
            finally:
                temporary.unlink(missing_ok=True)

    def _make_room(self, count: int) -> None:
        with self._lock:
            if self._used is None or self._used + count > self.limit:
                self._used = self._trimmed(count)
            self._used += count

    def _trimmed(self, count: int) -> int:
        """The bytes of the copies, without the least recently used if there is no room."""
        copies, used = list[tuple[float, int, str]](), 0
        with suppress(FileNotFoundError), os.scandir(self.folder) as inside:
            for item in inside:
                with suppress(OSError):
                    status = item.stat(follow_symlinks=False)
                    if item.name.endswith(".tmp"):
                        if time.time() - status.st_mtime > OLD:
                            os.unlink(item.path)
                        continue
                    copies.append((status.st_mtime, status.st_size, item.path))
                    used += status.st_size
        if used + count <= self.limit:
            return used
        for _, size, path in sorted(copies):
            if used + count <= self.limit * LEFT:
                break
            with suppress(OSError):
                os.unlink(path)
            used -= size
        return used


@functools.cache
def _copies_in(folder: Path, limit: int) -> LocalCopies:
    return LocalCopies(folder, limit)


def local_copies() -> LocalCopies | None:
    """Those of this user; None if the user wants none. Raises InputError for a wrong limit."""
    text = os.environ.get(VARIABLE, "") or DEFAULT
    if text.strip() == "0":
        return None
    limit = parse_bytes(text, VARIABLE, "0 for no copies, or ")
    return _copies_in(user_cache() / "buckets", limit)
