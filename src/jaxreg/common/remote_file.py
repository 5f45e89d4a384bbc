"""Files at URLs: what is one, how people see it, and what a path beside it means.

Imports nothing but the standard library: `train` asks it of every dataset.
"""

import errno
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode

SCHEMES = ("s3", "gs", "https", "http", "hf")
BUCKETS = ("s3", "gs")
EXPECTED = "a URL that begins with s3://, gs://, https://, http:// or hf://datasets/"

_Settings = TypeVar("_Settings", bound=Any)

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]+)://")
_SECRET = re.compile(
    r"sig|token|secret|passw|pwd|credential|auth|jwt|session|policy|expires|api[-_]?key"
    r"|access[-_]?key|^x-(amz|goog)-|^key(-pair-id)?$|^code$|^googleaccessid$",
    re.IGNORECASE,
)
_RANDOM = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[\w+/=~.-]{40,}", re.ASCII)
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]|~")


class RemoteError(OSError):
    """A file at a URL cannot be had; `strerror` says why, and has no secret in it."""

    @property
    def lasting(self) -> bool:
        """Whether another try would end in the same way."""
        return self.errno in (errno.ENOENT, errno.EACCES, errno.EFBIG, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file, or a folder, at a URL. As text it has no secret in it."""

    url: str

    def __str__(self) -> str:
        return shown(self.url)

    @property
    def scheme(self) -> str:
        return scheme_of(self.url) or ""

    @property
    def query(self) -> str:
        """What stands behind the `?`; of a bucket, how it is reached."""
        return _parts(self.url)[1]

    @property
    def place(self) -> str:
        """What stands between scheme and query: host, bucket or `datasets`, and the path."""
        return _parts(self.url)[0].partition("://")[2]

    @property
    def name(self) -> str:
        """The last part of the path, without escapes; "" for the whole host or bucket."""
        last = self.place.rstrip("/").partition("/")[2].rpartition("/")[2]
        return unquote(last) if self.scheme in ("http", "https") else last

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "RemoteFile":
        """The folder. The query of a web address belongs to one file only, and is left out."""
        base, query = _parts(self.url)
        head, _, _ = base.rstrip("/").rpartition("/")
        return RemoteFile(head + f"?{query}" * (bool(query) and self.scheme in BUCKETS))

    def __truediv__(self, path: str) -> "RemoteFile":
        """The file that a path below this folder means.

        Raises:
            ValueError: the path is absolute, or leads out of the host, bucket or data set.
        """
        if _ABSOLUTE.match(path) or "://" in path:
            raise ValueError("an absolute path, in a table at a URL")
        base, query = _parts(self.url)
        scheme, _, place = base.partition("://")
        parts = [part for part in place.split("/") if part]
        root = 3 if scheme == "hf" else 1  # datasets/OWNER/NAME; the host or the bucket
        for part in path.replace("\\", "/").split("/"):
            if part == ".." and len(parts) <= root:
                raise ValueError("a path that leads out of the place of its table")
            if part == "..":
                parts.pop()
            elif part not in ("", "."):
                parts.append(_quoted(part) if scheme in ("http", "https") else part)
        return RemoteFile(f"{scheme}://{'/'.join(parts)}" + f"?{query}" * bool(query))


def scheme_of(text: str) -> str | None:
    """The scheme of a URL in lower case; None of all that is no URL."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else None


AnyFile = Path | RemoteFile
"""A file, here or at a URL."""


def leads_out(path: str) -> bool:
    """Whether a path in a table that others wrote leads out of the folder of its images."""
    if is_url(path):
        return False
    try:
        return not RemoteFile("s3://root") / path
    except ValueError:
        return True


def is_url(text: str) -> bool:
    """Whether the text is a URL that jaxreg reads."""
    return "://" in text and scheme_of(text) in SCHEMES


def located(text: str) -> AnyFile:
    """The file that a user or a dataset names."""
    return RemoteFile(text.strip()) if is_url(text) else Path(text)


def shown(url: str) -> str:
    """The URL without user, password and secrets in the query; other text as it is.

    A signature belongs to the whole query of a web address, so all of it is left out.
    """
    if "://" not in url:
        return url
    base, query = _parts(url)
    scheme, _, place = base.partition("://")
    host, slash, path = place.partition("/")
    base = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    if scheme == "hf":  # an @ there names a revision
        base = f"{scheme}://{place}"
    kept = [(name, value) for name, value in parse_qsl(query, True) if not _secret(name, value)]
    if not query or not kept:
        return base
    if len(kept) == len(parse_qsl(query, True)):
        return f"{base}?{query}"
    return f"{base}?{urlencode(kept)}" if scheme in BUCKETS else base


def without_secrets(settings: _Settings) -> _Settings:
    """A dataclass of settings with the URLs among its texts as `shown`."""
    texts = {name: value for name, value in vars(settings).items() if isinstance(value, str)}
    return replace(settings, **{name: shown(value) for name, value in texts.items()})


def path_of(url: str) -> str:
    """A URL without its query, to look at the ending of its name; other text as it is."""
    return _parts(url)[0] if "://" in url and is_url(url) else url


def _secret(name: str, value: str) -> bool:
    return bool(_SECRET.search(name) or _RANDOM.fullmatch(value))


def _parts(url: str) -> tuple[str, str]:
    """The URL before its query, and the query; the fragment of a web address is left out."""
    url = url.strip()
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme == "hf":  # the names of its files may have any characters
        return f"{scheme}://{rest}", ""
    if scheme in ("http", "https"):
        rest = rest.partition("#")[0]
    base, _, query = rest.partition("?")
    return f"{scheme}{separator}{base}", query


def _quoted(part: str) -> str:
    """A part of a path as a web address has it; escapes that are there stay."""
    return quote(_NO_ESCAPE.sub("%25", part), safe="%!$&'()*+,;=:@~")
