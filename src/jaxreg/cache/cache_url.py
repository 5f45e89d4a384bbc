"""A cache that is named by a URL: which text is one, and what of it may be shown."""

from urllib.parse import unquote, urlsplit

from jaxreg.common.remote_file import shown
from jaxreg.errors import InputError


def without_secrets(url: str) -> str:
    """A URL as it may be shown and kept, without a slash at its end."""
    base, mark, options = shown(url).partition("?")
    if urlsplit(url).username == "anonymous":  # how Google's public buckets are read
        base = base.replace("://", "://anonymous@", 1)
    return f"{base.rstrip('/') if urlsplit(url).netloc else base}{mark}{options}"


def is_url(text: str) -> bool:
    """Whether a cache is named by a URL."""
    return "://" in text


def is_bucket(text: str) -> bool:
    """Whether a cache is not a folder of this machine. Raises InputError for a broken URL."""
    try:
        return is_url(text) and urlsplit(text).scheme != "file"
    except ValueError as error:
        raise InputError(f"--cache {shown(text)} is no URL: {error}") from error


def file_path(text: str) -> str:
    """The path of a folder that is named by its path or by a URL.

    Raises:
        InputError: the URL is of a folder of another machine, or of none.
    """
    if not is_url(text):
        return text
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise InputError(
            f"--cache {text} names another machine, or no folder",
            expected="three slashes, as file:///path/of/a/folder",
        )
    return unquote(parts.path)


def bucket_of(url: str) -> str:
    """Scheme, bucket and prefix: equal for two URLs of one cache, whatever their options say."""
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
