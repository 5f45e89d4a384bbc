"""A cache that is named by a URL: which text is one, and what of it may be shown."""

import re
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from jaxreg.errors import InputError

_SECRET = re.compile(r"key|secret|token|password|credential|signature", re.IGNORECASE)
"""In the name of an option of a URL: its value is a secret."""


def is_url(text: str) -> bool:
    """Whether a cache is named by a URL."""
    return "://" in text


def file_path(url: str) -> str:
    """The path that a URL of a file of this machine names. Raises InputError for another URL."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise InputError(
            f"--cache {without_secrets(url)}", expected="a folder, or file:///path/of/a/folder"
        )
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise InputError(
            f"--cache {url} names another machine, or no folder",
            expected="three slashes, as file:///path/of/a/folder",
        )
    return unquote(parts.path)


def without_secrets(url: str) -> str:
    """A URL as it may be shown and kept: without the keys that open the bucket."""
    parts = urlsplit(url)
    named, _, place = parts.netloc.rpartition("@")
    netloc = parts.netloc if named == "anonymous" else place
    options = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in options if not _SECRET.search(name)]
    query = urlencode(kept, safe=":/") if len(kept) < len(options) else parts.query
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), query, ""))


def bucket_of(url: str) -> str:
    """Scheme, bucket and prefix: equal for two URLs of one cache, whatever their options say."""
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
