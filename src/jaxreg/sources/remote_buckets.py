"""Files and listings of buckets (s3, gs), through `pyarrow.fs`."""

import errno
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from jaxreg.common.remote_file import RemoteError, RemoteFile
from jaxreg.sources.remote_http import CONNECT, LARGE, SILENT, TRIES, too_large

_TEXTS = ("access_key", "secret_key", "session_token", "region", "scheme", "endpoint_override")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_ENDED = r"IncompleteBody|curlCode: (18|56)|partial"
_REASONS = (  # of what Arrow's messages say
    (r"ACCESS_DENIED|HTTP status 403|INVALID_ACCESS_KEY|SIGNATURE|PERMISSION", "access denied"),
    (r"NO_SUCH_BUCKET", "no such bucket"),
    (r"HTTP status 404|NO_SUCH_KEY|NOT_FOUND|RESOURCE_NOT_FOUND", "no such object"),
    (r"curlCode: (6|7)\b|Couldn't connect|Couldn't resolve", "no connection to the server"),
    (r"curlCode: 28\b|[Tt]imeout|timed out", "no answer in time"),
    (_ENDED, "the connection ended in the middle"),
    (r"HTTP status (429|5\d\d)|SLOW_DOWN|INTERNAL_FAILURE", "the server fails, or is too busy"),
)
_large = threading.Lock()  # of large objects, as `LARGE` says
_LASTING = {
    "access denied": errno.EACCES,
    "no such bucket": errno.ENOENT,
    "no such object": errno.ENOENT,
}


def read_object(file: RemoteFile, limit: int) -> bytes:
    """The bytes of an object. Raises RemoteError; at most `limit` bytes are read."""
    if file.scheme == "gs":
        return _read_stream(file, limit)
    with reached(file) as (system, path), system.open_input_file(path) as stream:
        size = stream.size()
        if size > limit:
            raise too_large(file.url, size, limit)
        with _large if size > LARGE else nullcontext():
            content = stream.read()
        if len(content) != size:
            raise RemoteError(errno.EIO, "the connection ended in the middle", str(file))
        return content


def _read_stream(file: RemoteFile, limit: int) -> bytes:
    """As `read_object`. Google's files hold Python's lock while they are read, streams do not."""
    content = bytearray()
    with reached(file) as (system, path), ExitStack() as held:
        stream = held.enter_context(system.open_input_stream(path))
        while more := stream.read(2**20):
            content += more
            if len(content) > limit:
                raise too_large(file.url, None, limit)
            if len(content) - len(more) <= LARGE < len(content):
                held.enter_context(_large)
    return bytes(content)


def open_object(file: RemoteFile) -> Any:
    """An object as Arrow's own file, of which parts are read. Raises RemoteError."""
    with reached(file) as (system, path):
        return system.open_input_file(path)


def object_state(file: RemoteFile) -> tuple[int, int] | None:
    """Bytes, and nanoseconds of the last change; None for a folder. Raises RemoteError."""
    from pyarrow import fs

    with reached(file) as (system, path):
        info = system.get_file_info(path.rstrip("/"))
    if info.type == fs.FileType.NotFound:
        raise RemoteError(errno.ENOENT, "no such object, folder or bucket", str(file))
    return (info.size, info.mtime_ns or 0) if info.type == fs.FileType.File else None


def objects_below(folder: RemoteFile, *, recursive: bool = True) -> Iterator[str]:
    """Paths below a folder of its objects. Raises RemoteError; nothing where there is none."""
    from pyarrow import fs

    with reached(folder) as (system, path):
        root = path.rstrip("/")
        selector = fs.FileSelector(root, recursive=recursive, allow_not_found=True)
        found = system.get_file_info(selector)
    for info in found:
        if info.type == fs.FileType.File:
            yield info.path[len(root) + 1 :]


@contextmanager
def reached(file: RemoteFile) -> Iterator[tuple[Any, str]]:
    """The file system and the path in it; errors of Arrow become RemoteError with a reason."""
    bucket, _, key = file.place.partition("/")
    if not _name(bucket):
        raise RemoteError(errno.EINVAL, "it names no bucket", str(file))
    try:
        yield _system(file.scheme, bucket, file.query, _environment()), f"{_name(bucket)}/{key}"
    except RemoteError:
        raise
    except (OSError, ValueError) as error:  # of Arrow
        text = str(error)
        found = next((reason for said, reason in _REASONS if re.search(said, text)), "")
        if isinstance(error, FileNotFoundError) and not found:
            found = "no such object"
        kind = errno.EINVAL if isinstance(error, ValueError) else _LASTING.get(found, errno.EIO)
        raise RemoteError(kind, found or " ".join(text.split())[:200], str(file)) from None


def _name(bucket: str) -> str:
    """A bucket without the keys that may stand before its name."""
    return bucket.rpartition("@")[2]


def _environment() -> tuple[str | None, ...]:
    """What decides how a bucket is reached; a forked process makes its own connections."""
    names = (*_ENDPOINTS, "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_REGION")
    return (*map(os.environ.get, names), str(os.getpid()))


@lru_cache(16)
def _system(scheme: str, bucket: str, query: str, _environment: tuple[str | None, ...]) -> Any:
    from pyarrow import fs

    said = dict(parse_qsl(query))
    if scheme == "gs":
        given = {name: said[name] for name in ("scheme", "endpoint_override") if name in said}
        anonymous = bucket.startswith("anonymous@") or said.get("anonymous") == "true"
        wait = timedelta(seconds=TRIES * SILENT / 2)
        return fs.GcsFileSystem(anonymous=anonymous, retry_time_limit=wait, **given)
    given = {name: said[name] for name in _TEXTS if name in said}
    keys = bucket.rpartition("@")[0].split(":")
    if len(keys) == 2:
        given |= {"access_key": keys[0], "secret_key": keys[1]}
    if endpoint := next(filter(None, map(os.environ.get, _ENDPOINTS)), None):
        given.setdefault("endpoint_override", endpoint)
    if not {"region", "endpoint_override"} & given.keys():
        given |= _region(fs.resolve_s3_region, _name(bucket))
    return fs.S3FileSystem(
        anonymous=said.get("anonymous") == "true",
        connect_timeout=CONNECT,
        request_timeout=SILENT,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=TRIES),
        **given,
    )


def _region(resolve: Callable[[str], str], bucket: str) -> dict[str, str]:
    """The region of a bucket of AWS, where it can be asked for without keys."""
    try:
        return {"region": resolve(bucket)}
    except (OSError, ValueError):
        return {}
