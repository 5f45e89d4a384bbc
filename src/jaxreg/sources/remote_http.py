"""Bytes at web addresses: within a limit, tried again, many at a time on kept connections."""

import asyncio
import atexit
import errno
import random
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

import humanize

from jaxreg.common.remote_file import RemoteError, shown
from jaxreg.errors import InputError

TRIES = 5
FIRST_WAIT = 0.5  # seconds before the second try; twice as long before each further one
LONGEST_WAIT = 60.0  # seconds that a server may ask for
CONNECT, SILENT, WHOLE = 10.0, 30.0, 7200.0  # seconds: to connect, without a byte, for one answer
SLOWEST, GRACE = 10_000, 60.0  # bytes a second; after so many seconds, less is given up
LARGE = 2**25  # bytes: one larger body at a time is read, so that many need no more memory
DOWN = 20  # files in a row that a host did not give after all tries: then each gets one try

_AGAIN = (408, 425, 429)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_LEGAL = "%!#$&'()*+,/:;=?@[]~"  # that `quote` leaves as it is: all that a URL may have


@dataclass(frozen=True)
class Answer:
    """What a server gave."""

    content: bytes
    size: int  # bytes of the whole file
    version: str  # ETag or date; changes with the file, "" where the server says none
    partial: bool  # whether it gave only the range that was asked for


@dataclass
class _Session:
    """What belongs to one process: a forked one makes its own."""

    loop: Any
    client: Any = None
    large: Any = None  # the lock of large bodies
    down: dict[str, int] = field(default_factory=dict)  # by host


_lock = threading.Lock()
_sessions: list[_Session] = []  # the last one is in use; an older one belongs to a parent process


def import_url_extra(package: str) -> Any:
    """Import a package of the extra `url`. Raises InputError if it is not installed."""
    if find_spec(package) is None:
        raise InputError(f"{package} is not installed", remedy="pip install 'jaxreg[url]'")
    return import_module(package)


def get(
    url: str,
    limit: int,
    span: tuple[int, int] | None = None,
    headers: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> Answer:
    """The bytes at a web address.

    Args:
        url: of http or https; redirects lead to such addresses only.
        limit: the most bytes.
        span: the first byte and the one behind the last; a server may give the whole file instead.
        headers: more of them; `Authorization` is not sent to another host.
        stop: if it is set, the request is given up.

    Raises:
        RemoteError: it cannot be had, after TRIES tries where another try may help.
        InputError: the extra `url` is not installed.
    """
    session = _session()
    work = _get(session, url, limit, span, dict(headers or {}))
    future = asyncio.run_coroutine_threadsafe(work, session.loop)
    try:
        while True:
            try:
                return future.result(0.25)
            except TimeoutError:
                if stop is not None and stop.is_set():
                    raise RemoteError(errno.ECANCELED, "stopped", shown(url)) from None
    finally:
        future.cancel()


def _session() -> _Session:
    import_url_extra("aiohttp")
    loop = import_url_extra("fsspec.asyn").get_loop()  # a thread; a forked process gets its own
    with _lock:
        if not _sessions or _sessions[-1].loop is not loop:
            _sessions.append(_Session(loop))
        return _sessions[-1]


@atexit.register
def close() -> None:
    """Close the connections of this process."""
    for session in _sessions[-1:]:
        if session.client is not None and session.loop.is_running():
            asyncio.run_coroutine_threadsafe(session.client.close(), session.loop).result(5)
    _sessions.clear()


async def _get(
    session: _Session,
    url: str,
    limit: int,
    span: tuple[int, int] | None,
    headers: dict[str, str],
) -> Answer:
    import aiohttp

    if session.client is None:
        session.client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64),
            timeout=aiohttp.ClientTimeout(total=WHOLE, sock_connect=CONNECT, sock_read=SILENT),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,  # proxies, ~/.netrc
        )
        session.large = asyncio.Lock()
    headers |= {"Accept-Encoding": "identity"}
    if span is not None:
        headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"
    host = url.partition("://")[2].partition("/")[0]
    tries = 1 if session.down.get(host, 0) >= DOWN else TRIES
    for number in range(1, tries + 1):
        wait = FIRST_WAIT * 2 ** (number - 1) * random.uniform(0.75, 1.25)
        try:
            answer = await _once(session, url, limit, span, headers)
            session.down[host] = 0
            return answer
        except _Again as again:
            if number == tries:
                session.down[host] = session.down.get(host, 0) + 1
                times = f" ({tries} tries)" if tries > 1 else ""
                raise RemoteError(errno.EIO, f"{again.reason}{times}", shown(url)) from None
            await _pause(min(LONGEST_WAIT, max(wait, again.wait)))
        except RemoteError:
            session.down[host] = 0
            raise
    raise AssertionError


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


class _Again(Exception):
    """Another try may help."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


async def _once(
    session: _Session,
    url: str,
    limit: int,
    span: tuple[int, int] | None,
    headers: dict[str, str],
) -> Answer:
    import aiohttp
    from yarl import URL

    try:
        # what a URL may have stays as it is: a signature may be of just these characters
        scheme, mark, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        path = quote(path, safe=_LEGAL)
        exact = URL(f"{scheme}{mark}{host}{slash}{path}", encoded=host.isascii())
        async with session.client.get(exact, headers=headers) as response:
            _check(response, url)
            return await _answer(session, response, url, limit, span)
    except aiohttp.ClientPayloadError:
        raise _Again("the connection ended in the middle") from None
    except (aiohttp.ServerTimeoutError, TimeoutError):
        raise _Again("no answer in time") from None
    except aiohttp.ClientConnectorCertificateError:
        raise RemoteError(errno.EACCES, "its certificate is not valid", shown(url)) from None
    except aiohttp.ClientConnectorError as error:
        raise _Again(f"no connection to {error.host}: {_cause(error)}") from None
    except aiohttp.ServerDisconnectedError:
        raise _Again("the server ended the connection") from None
    except aiohttp.TooManyRedirects:
        raise RemoteError(errno.EINVAL, "it redirects without an end", shown(url)) from None
    except aiohttp.NonHttpUrlRedirectClientError:
        what = "it redirects to what is no http or https address"
        raise RemoteError(errno.EACCES, what, shown(url)) from None
    except aiohttp.ClientResponseError:
        raise _Again("its answer is not as HTTP wants it") from None
    except (aiohttp.InvalidURL, ValueError):
        raise RemoteError(errno.EINVAL, "it is not a valid web address", shown(url)) from None
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error, RemoteError):
            raise
        raise _Again(f"the connection failed: {type(error).__name__}") from None


def _cause(error: Any) -> str:
    return error.os_error.strerror or type(error.os_error).__name__


def _check(response: Any, url: str) -> None:
    """Raise for a status that means no content."""
    status = response.status
    if status in (200, 206):
        return
    what = f"HTTP {status} {response.reason or ''}".strip()
    if status in _AGAIN or status >= 500:
        raise _Again(what, _asked_wait(response.headers.get("Retry-After", "")))
    kind = {401: errno.EACCES, 403: errno.EACCES, 404: errno.ENOENT, 410: errno.ENOENT}
    raise RemoteError(kind.get(status, errno.EINVAL), what, shown(url))


def _asked_wait(text: str) -> float:
    """Seconds that a server asks for: a number, or a date."""
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


async def _answer(
    session: _Session, response: Any, url: str, limit: int, span: tuple[int, int] | None
) -> Answer:
    length = response.content_length
    if length is not None and length > limit:
        raise too_large(url, length, limit)
    content = bytearray()
    waits = length is not None and length > LARGE
    if waits:
        await session.large.acquire()
    begin = time.monotonic()
    try:
        while True:
            async with asyncio.timeout(SILENT):  # aiohttp forgets its own after a broken chunk
                chunk = await response.content.read(2**18)
            if not chunk:
                break
            content += chunk
            if len(content) > limit:
                raise too_large(url, None, limit)
            if len(content) < SLOWEST * (time.monotonic() - begin - GRACE):
                raise RemoteError(errno.EIO, f"it comes at less than {SLOWEST} bytes/s", shown(url))
            if not waits and len(content) > LARGE:
                asked = time.monotonic()
                await session.large.acquire()
                begin += time.monotonic() - asked
                waits = True
    finally:
        if waits:
            session.large.release()
    version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    size, partial = len(content), False
    if span is not None and response.status == 206:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != span[0] or len(content) > span[1] - span[0]:
            raise RemoteError(errno.EINVAL, "the server gave another range of bytes", shown(url))
        size, partial = int(found[3]), True
        if len(content) != min(span[1], size) - span[0]:
            raise _Again("the server gave too few bytes")
    return Answer(bytes(content), size, version, partial)


def too_large(url: str, size: int | None, limit: int) -> RemoteError:
    """The error for a file of more than `limit` bytes."""
    most = humanize.naturalsize(limit)
    has = "more" if size is None else humanize.naturalsize(size)
    what = f"it has {has}; more than {most} are refused"
    if size is None:
        what = f"it has more than {most}, which is the limit"
    return RemoteError(errno.EFBIG, what, shown(url))
