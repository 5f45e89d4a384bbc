"""A cache in a bucket: objects of S3 or of Google Cloud Storage, through `pyarrow.fs`.

Every object is immutable or is replaced whole. One PUT writes it, so a reader sees the old or the
new one.
"""

import errno
import time
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import TypeVar
from urllib.parse import quote, urlencode

import humanize
import pyarrow as pa
from pyarrow import fs

from jaxreg.cache.bucket_errors import explained, no_bucket
from jaxreg.cache.cache_url import BucketUrl, bucket_url
from jaxreg.cache.entry import Contents, Entry
from jaxreg.cache.local_copies import digest_in, has_digest, local_copies
from jaxreg.cache.ordered_reads import ordered_reads
from jaxreg.errors import InputError

ATTEMPTS = 5  # of one request, with longer and longer pauses drawn at random: 5 to 12 s in all
PATIENCE = 5.0  # seconds after which jaxreg does not repeat what the library has given up
PAUSE = 0.5  # seconds before the first repetition; each next one is twice as long
AHEAD = 128_000_000  # bytes that are read ahead: a part has 8 MB where an image has 2,048 numbers
GUESS = 8_000_000  # bytes of an object that no listing has shown

T = TypeVar("T")


class BucketStore:
    """The objects below a prefix of a bucket; see `Store`.

    Raises:
        InputError: the URL is wrong, there is no such bucket, or it refuses the credentials.
        UnavailableError: the bucket cannot be reached.
    """

    def __init__(self, url: str) -> None:
        place = bucket_url(url)
        self.root, self._shown, self._bucket = place.root, place.shown, place.bucket
        try:
            self._files = _open(place)
        except (ValueError, pa.ArrowException) as error:  # ArrowInvalid is both
            raise InputError(
                f"--cache {self._shown}: {' '.join(str(error).split())}",
                expected="a URL as s3://bucket/folder?region=eu-west-1 or gs://bucket/folder",
            ) from error
        except OSError as error:  # it asks for the region of the bucket
            raise explained(error, self._shown, self._bucket) from error
        self._base = f"{place.bucket}/{place.folder}".rstrip("/")
        self._sizes: dict[str, int] = {}  # of listed objects, to bound what is read ahead
        self._known = False  # whether the bucket exists
        self._copies = local_copies()

    def shown(self, key: str) -> str:
        return f"{self._shown}/{key}" if key else self._shown

    # ---- what is there

    def list(self, folder: str) -> list[Entry]:
        found = self._select(folder, recursive=True)
        start = len(self._base) + 1
        entries = [
            Entry(info.path[start:], info.size, info.mtime_ns / 1e9 if info.mtime_ns else 0.0)
            for info in found
            if info.is_file  # a folder is an empty object that pyarrow leaves
        ]
        return sorted(entries)

    def children(self, folder: str) -> Sequence[str]:
        return [info.base_name for info in self._select(folder, recursive=False)]

    def exists(self, key: str) -> bool:
        if not key:
            return bool(self._select("", recursive=False))
        try:
            self.size(key)
        except FileNotFoundError:
            return False
        return True

    def size(self, key: str) -> int:
        def ask() -> int:
            with self._files.open_input_file(self._path(key)) as file:
                return file.size()  # one request; get_file_info also looks for a folder

        return self._try(key, ask)

    def _select(self, folder: str, *, recursive: bool) -> Sequence[fs.FileInfo]:
        selector = fs.FileSelector(self._path(folder), allow_not_found=True, recursive=recursive)
        found = self._try(folder, lambda: self._files.get_file_info(selector))
        if not found and not self._known:  # that of an absent bucket is empty too
            info = self._try(folder, lambda: self._files.get_file_info(self._bucket))
            if info.type == fs.FileType.NotFound:
                raise no_bucket(self.shown(folder), self._bucket)
        self._known = True
        start = len(self._base) + 1
        self._sizes.update((info.path[start:], info.size) for info in found if info.is_file)
        return found

    # ---- contents

    def read(self, key: str, limit: int | None = None, digest: str | None = None) -> bytes:
        digest = digest or digest_in(key)
        if digest is None:
            return self._try(key, lambda: self._read(key, limit, immutable=False))
        copied = self._copies and self._copies.get(digest)
        if copied is not None and self._sizes.get(key, len(copied)) == len(copied):
            return copied  # and in the bucket it is at least not cut short
        content = self._try(key, lambda: self._read(key, limit, immutable=True))
        if not has_digest(content, digest):  # it may have been damaged on its way
            content = self._try(key, lambda: self._read(key, limit, immutable=True))
        if self._copies and has_digest(content, digest):
            self._copies.put(digest, content)
        return content

    def _read(self, key: str, limit: int | None, *, immutable: bool) -> bytes:
        """One object; again if it was replaced between the request for its size and the GET."""
        path = self._path(key)
        while True:
            with self._files.open_input_file(path) as file:
                size = file.size()
                if limit is not None and size > limit:
                    sizes = [humanize.naturalsize(n) for n in (size, limit)]
                    what = f"it has {sizes[0]}; more than {sizes[1]} are refused"
                    raise _TooLarge(errno.EFBIG, what, self.shown(key))
                content = file.read(size)
            if immutable or len(content) == size == self._files.get_file_info(path).size:
                return content

    def fresh(self) -> "BucketStore":
        """The same, without the copies of this machine: what is in the bucket now."""
        other = copy(self)
        other._copies = None
        return other

    @property
    def ahead(self) -> int:
        return AHEAD

    def read_ahead(self, keys: Iterable[str], room: int | None = None) -> Contents:
        room = AHEAD if room is None else room
        return ordered_reads(keys, self.read, lambda key: self._sizes.get(key, GUESS), room=room)

    def put(self, key: str, content: bytes) -> None:
        def write() -> None:
            with self._files.open_output_stream(self._path(key)) as stream:
                stream.write(content)

        self._try(key, write)

    def rename(self, key: str, to: str) -> None:
        self._try(key, lambda: self._files.move(self._path(key), self._path(to)))

    def delete(self, key: str) -> None:
        try:
            self._try(key, lambda: self._files.delete_file(self._path(key)))
        except FileNotFoundError:
            return

    def drop_empty(self, folder: str) -> None:
        """Nothing: a bucket has no folders."""

    # ---- how

    def _path(self, key: str) -> str:
        return f"{self._base}/{key}" if key else self._base

    def _try(self, key: str, work: Callable[[], T]) -> T:
        """What `work` returns; errors as of the class. What failed at once is done again."""
        begun, pause = time.monotonic(), PAUSE
        while True:
            try:
                return work()
            except FileNotFoundError as error:
                what = "there is no such object"
                raise FileNotFoundError(errno.ENOENT, what, self.shown(key)) from error
            except _TooLarge:
                raise
            except (OSError, pa.ArrowException) as error:
                failure = explained(error, self.shown(key), self._bucket)
                late = time.monotonic() - begun + pause > PATIENCE
                if late or isinstance(failure, InputError):
                    raise failure from error
            time.sleep(pause)
            pause *= 2


class _TooLarge(OSError):
    """An object has more bytes than its reader takes."""


def _open(place: BucketUrl) -> fs.FileSystem:
    """The file system of a URL, with retries.

    `FileSystem.from_uri` heeds AWS_ENDPOINT_URL, which `S3FileSystem` does not.
    """
    options, login = dict(place.options), place.login
    if place.scheme == "s3":
        options.setdefault("allow_delayed_open", "true")  # small objects in one PUT
        if not login and "access_key" in options:
            login = f"{options.pop('access_key')}:{options.pop('secret_key', '')}"
    else:
        options.setdefault("retry_limit_seconds", "30")
    name, colon, secret = login.partition(":")
    login = f"{quote(name, safe='')}{colon}{quote(secret, safe='')}@" if login else ""
    files, _ = fs.FileSystem.from_uri(
        f"{place.scheme}://{login}{place.bucket}?{urlencode(options)}"
    )
    if isinstance(files, fs.S3FileSystem):
        _, (settings,) = files.__reduce__()
        given = {name: value for name, value in settings.items() if value not in ("", None)}
        retries = fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS)
        files = fs.S3FileSystem(**given, retry_strategy=retries)
    return files
