"""A cache that is named by a URL: which text is one, and what of it may be shown."""

import re
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from jaxreg.common.remote_file import scheme_of, shown
from jaxreg.errors import InputError

BUCKETS = {"s3": "s3", "gs": "gs", "gcs": "gs"}
"""The schemes of buckets; two of them mean Google."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LOST_SLASH = re.compile(r"(s3|gs|gcs|file):/(?!/)", re.IGNORECASE)


class BucketUrl(NamedTuple):
    """What the URL of a cache in a bucket says."""

    scheme: str  # s3 or gs
    login: str  # user:password without escapes, `anonymous`, or ""
    bucket: str
    path: str  # as in the URL, without slashes at its end
    folder: str  # the same without escapes and without its first slash
    options: dict[str, str]
    root: str  # the URL without the keys that open the bucket: it may be shown and kept

    @property
    def place(self) -> str:
        """Equal for two URLs of one cache, whatever their options say."""
        return f"{self.scheme}://{self.bucket}/{self.folder}"

    @property
    def shown(self) -> str:
        """The URL without login and options."""
        return f"{self.scheme}://{self.bucket}{self.path}"


def is_url(text: str) -> bool:
    """Whether a cache is named by a URL."""
    return scheme_of(text) is not None


def lacks_slash(path: str) -> bool:
    """Whether a path looks like a URL that has lost a slash, as in `Path("s3://bucket")`."""
    return bool(_LOST_SLASH.match(path))


def is_bucket(text: str) -> bool:
    """Whether a cache is not a folder of this machine."""
    return is_url(text) and scheme_of(text) != "file"


def file_path(text: str) -> str:
    """The path of a folder that is named by its path or by a URL.

    Raises:
        InputError: the URL is wrong, of a folder of another machine, or of none.
    """
    if not is_url(text):
        return text
    parts = _split(text)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise InputError(
            f"--cache {text} names another machine, or no folder",
            expected="three slashes, as file:///path/of/a/folder",
        )
    if "?" in text:
        raise InputError(f"--cache {text} has a ?", expected="%3F in its place")
    return unquote(parts.path)


def bucket_url(url: str) -> BucketUrl:
    """The parts of the URL of a bucket.

    Raises:
        InputError: it is no such URL. The message holds no secret.
    """
    parts = _split(url)
    if parts.scheme not in BUCKETS:
        raise InputError(
            f"--cache {parts.scheme}://… names a kind of place that holds no cache",
            expected="a folder, or s3://bucket/folder, or gs://bucket/folder",
        )
    login, _, bucket = parts.netloc.rpartition("@")
    if not _BUCKET.fullmatch(bucket):  # it may be a key and the start of its secret
        raise InputError(
            f"--cache {parts.scheme}://… names no bucket",
            expected="s3://bucket/folder, where a bucket has letters, digits, dots, dashes",
            remedy="write %2F for / and %23 for # and %3F for ? in a secret, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    path = parts.path.rstrip("/")
    folder = unquote(path).removeprefix("/").rstrip("/")
    scheme, options = BUCKETS[parts.scheme], f"?{parts.query}" if parts.query else ""
    free = "anonymous@" if login == "anonymous" else ""  # how Google's public buckets are read
    root = shown(f"{scheme}://{bucket}{path}{options}").replace("://", f"://{free}", 1)
    settings = dict(parse_qsl(parts.query, keep_blank_values=True))
    found = BucketUrl(scheme, unquote(login), bucket, path, folder, settings, root)
    if folder and not {"", ".", ".."}.isdisjoint(folder.split("/")):
        raise InputError(
            f"--cache {found.shown} has a folder without a name, or named . or ..",
            expected="names between single slashes",
        )
    return found


def _split(url: str) -> SplitResult:
    """The parts of a URL. Raises InputError for what `urlsplit` would drop."""
    url = url.strip()
    scheme = scheme_of(url)
    if "#" in url or not url.isprintable():
        raise InputError(
            f"--cache {scheme}://… has a # or a character that cannot be printed",
            expected="%23 in place of #, and such an escape for each of the others",
        )
    try:
        return urlsplit(url)
    except ValueError as error:
        raise InputError(f"--cache {scheme}://…: {error}", expected="s3://bucket/folder") from None
