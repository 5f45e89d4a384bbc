"""Where the files of a cache are: a folder of this machine, or a bucket (docs/buckets.md).

A key is the path of a file below the root, with slashes: `datasets/road.parquet`.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jaxreg.cache.cache_url import bucket_url, file_path, is_bucket, lacks_slash
from jaxreg.cache.entry import Contents, Entry
from jaxreg.common.files import named_path, read_regular, remove, write_whole
from jaxreg.common.json_files import MOST_BYTES, encode_json, read_checked
from jaxreg.errors import InputError

CachePlace = str | os.PathLike[str]
"""What a user calls a cache: the path of a folder, or a URL."""


class Store(Protocol):
    """The files of one cache.

    What is there but cannot be read or written as a file raises OSError or InputError. What cannot
    be reached raises UnavailableError.
    """

    @property
    def root(self) -> str:
        """What the user called it, without secrets: for messages and commands."""
        ...

    def shown(self, key: str) -> str:
        """The path or the URL of a key, for messages."""
        ...

    def list(self, folder: str) -> list[Entry]:
        """All that is below a folder, at any depth, by key; nothing for an absent folder."""
        ...

    def children(self, folder: str) -> Sequence[str]:
        """The names of what is right below a folder: files and folders, in any order."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is a file; for the key "" whether there is anything at the root."""
        ...

    def size(self, key: str) -> int:
        """The bytes of a file. Raises FileNotFoundError."""
        ...

    def read(self, key: str, limit: int | None = None, digest: str | None = None) -> bytes:
        """The whole content of a file.

        Args:
            key: of the file.
            limit: the most bytes that it may have.
            digest: the SHA-256 that it should have, or the start of it. The content may then come
                from a copy. The name of a part says its digest.

        Raises:
            FileNotFoundError: it is absent.
            OSError: it is no regular file, has more than `limit` bytes, or may not be read.
        """
        ...

    def read_ahead(self, keys: Iterable[str], room: int | None = None) -> Contents:
        """Each key with its content or with what `read` raises, in their order.

        Several reads may be in flight. All of them have at most `room` bytes, or `ahead` if it is
        None; a single one may have more.
        """
        ...

    @property
    def ahead(self) -> int:
        """The bytes that `read_ahead` reads ahead; 0: each key only when it is asked for."""
        ...

    def fresh(self) -> "Store":
        """The same store without copies: what is there now."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """Write a file: a reader sees the old or the new one, whole. Raises InputError."""
        ...

    def rename(self, key: str, to: str) -> None:
        """Give a file another key; what is there is replaced.

        Raises:
            FileNotFoundError: it is absent.
            OSError: it cannot be renamed.
        """
        ...

    def delete(self, key: str) -> None:
        """Delete a file if it is there. Raises InputError where that cannot be."""
        ...

    def drop_empty(self, folder: str) -> None:
        """Delete a folder, and those below it, that hold no file. Buckets have no folders."""
        ...


@dataclass(frozen=True)
class LocalStore:
    """A folder of this machine, which need not exist yet."""

    folder: Path

    @property
    def root(self) -> str:
        path = str(self.folder)
        return f"./{path}" if lacks_slash(path) else path

    def path(self, key: str) -> Path:
        """Where a key is."""
        return self.folder / key

    def shown(self, key: str) -> str:
        return str(self.folder / key)

    def list(self, folder: str) -> list[Entry]:
        return sorted(self._below(folder))

    def _below(self, folder: str) -> Iterator[Entry]:
        try:
            with os.scandir(self.folder / folder) as inside:
                items = tuple(inside)
        except (FileNotFoundError, NotADirectoryError):
            return
        for item in items:
            key = f"{folder}/{item.name}" if folder else item.name
            if item.is_dir(follow_symlinks=False):
                yield from tuple(self._below(key)) or [Entry(key, 0, 0.0, "folder")]
                continue
            with suppress(FileNotFoundError):  # another process has just deleted it
                kind = "file" if item.is_file(follow_symlinks=False) else "other"
                status = item.stat(follow_symlinks=False)
                kind = "link" if item.is_symlink() else kind
                yield Entry(key, status.st_size, status.st_mtime, kind)

    def children(self, folder: str) -> Sequence[str]:
        try:
            return os.listdir(self.folder / folder)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise InputError(
                f"{self.folder / folder} cannot be read: {error.strerror or error}"
            ) from error

    def exists(self, key: str) -> bool:
        return (self.folder / key).exists() if key else self.folder.is_dir()

    def size(self, key: str) -> int:
        return (self.folder / key).stat().st_size

    def read(self, key: str, limit: int | None = None, digest: str | None = None) -> bytes:
        return read_regular(self.folder / key, limit)

    @property
    def ahead(self) -> int:
        return 0

    def fresh(self) -> "LocalStore":
        return self

    def read_ahead(self, keys: Iterable[str], room: int | None = None) -> Contents:
        for key in keys:
            content: bytes | Exception
            try:
                content = self.read(key)
            except OSError as error:
                content = error
            yield key, content
            del content  # before the next one is read

    def put(self, key: str, content: bytes) -> None:
        write_whole(self.folder / key, content)

    def rename(self, key: str, to: str) -> None:
        (self.folder / key).rename(self.folder / to)

    def delete(self, key: str) -> None:
        remove(self.folder / key)

    def drop_empty(self, folder: str) -> None:
        for inside, _, _ in os.walk(self.folder / folder, topdown=False):
            if not os.listdir(inside):
                os.rmdir(inside)


def open_store(root: CachePlace) -> Store:
    """The store of a folder, or of a URL.

    Raises:
        InputError: no folder can have that path, the URL is wrong, or there is no such bucket.
        UnavailableError: the bucket cannot be reached.
    """
    text = os.fspath(root)
    if is_bucket(text):
        from jaxreg.cache.bucket_store import BucketStore  # pyarrow.fs costs start time

        return BucketStore(text)
    if lacks_slash(text):
        start = text[: text.index("/")]
        raise InputError(
            f"--cache begins with {start}/",
            expected=f"{start}// for a URL (a Path of Python loses a slash: give the text), or "
            f"./{start}/ for a folder of this name",
        )
    return LocalStore(named_path(file_path(text), "--cache"))


def place_of(root: CachePlace) -> str:
    """Equal for two names of one cache; nothing is read from a bucket."""
    text = os.fspath(root)
    return bucket_url(text).place if is_bucket(text) else str(Path(file_path(text)).resolve())


def read_json_at(
    store: Store, key: str, shape: Mapping[str, Any], *, expected: str, again: str
) -> dict[str, Any]:
    """As `json_files.read_json`, of a key."""
    return read_checked(
        lambda: store.read(key, MOST_BYTES), store.shown(key), shape, expected=expected, again=again
    )


def write_json_at(store: Store, key: str, content: Mapping[str, Any]) -> None:
    """As `json_files.write_json`, to a key."""
    store.put(key, encode_json(content))
