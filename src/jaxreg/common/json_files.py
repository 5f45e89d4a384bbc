"""JSON files of jaxreg: each has the format and the SHA-256 of its content."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import typeguard

from jaxreg.common.files import read_regular, write_whole
from jaxreg.errors import InputError

MOST_BYTES = 64_000_000
"""The largest JSON file that is read."""

MOST_DEEP = 100
"""The most objects and lists within each other."""

_ALL = typeguard.CollectionCheckStrategy.ALL_ITEMS

FORMAT = 2
"""Version of all that jaxreg writes to disk: JSON files and the metadata of datasets."""


def json_line(value: Any) -> str:
    """One line of JSON: numbers that are not finite are null, other values their text."""
    return json.dumps(_finite(value), allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object whole, with its format and its digest."""
    write_whole(path, encode_json(content))


def encode_json(content: Mapping[str, Any]) -> bytes:
    """The file of a JSON object, with its format and its digest."""
    full = {"format": FORMAT, **content}
    full = {**full, "sha256": content_digest(full)}
    return json.dumps(full, indent=2).encode() + b"\n"


def load_json(path: Path) -> Any:
    """The JSON in a file that somebody else may have made.

    Raises:
        OSError: it cannot be opened, is no regular file, or is larger than MOST_BYTES.
        ValueError: it is not JSON.
    """
    return parse_json(read_regular(path, MOST_BYTES))


def parse_json(text: bytes | str) -> Any:
    """JSON of others. Raises ValueError for what is not JSON, or is nested deeper than MOST_DEEP.

    So what is done with it later, level by level, cannot run out of stack.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError(f"more than {MOST_DEEP} brackets within each other") from None
    level = [content] if isinstance(content, dict | list) else []
    for _ in range(MOST_DEEP):
        inner = [part.values() if isinstance(part, dict) else part for part in level]
        level = [part for parts in inner for part in parts if isinstance(part, dict | list)]
        if not level:
            return content
    raise ValueError(f"more than {MOST_DEEP} brackets within each other")


def read_json(
    path: Path, shape: Mapping[str, Any], *, expected: str, again: str | Callable[[], str]
) -> dict[str, Any]:
    """The content that was given to `write_json`.

    Args:
        path: the file.
        shape: the keys that it must have, and the type of the value of each.
        expected: what should be at `path`, for the error if there is nothing.
        again: the command that makes the file again, or what finds it, for the other errors.

    Raises:
        InputError: it is absent, damaged, changed since it was written, or of another format.
    """
    return read_checked(
        lambda: read_regular(path, MOST_BYTES), path, shape, expected=expected, again=again
    )


def read_checked(
    read: Callable[[], bytes],
    path: Path | str,
    shape: Mapping[str, Any],
    *,
    expected: str,
    again: str | Callable[[], str],
) -> dict[str, Any]:
    """The content that was given to `encode_json`; arguments and errors as of `read_json`.

    Args:
        read: gives the bytes, or raises FileNotFoundError, OSError or ValueError.
        path: what they are called in messages.
    """
    try:
        return _checked(path, parse_json(read()), shape)
    except FileNotFoundError:
        raise InputError(f"no {path}", expected=expected) from None
    except (OSError, ValueError) as error:
        known = isinstance(error, InputError)
        found = error.found if known else f"{path} cannot be read: {reason_of(error)}"
        wanted, remedy = (
            error.expected if known else "",
            again if isinstance(again, str) else again(),
        )
        raise InputError(found, expected=wanted, remedy=remedy) from None


def _checked(path: Path | str, content: Any, shape: Mapping[str, Any]) -> dict[str, Any]:
    """The content as `read_json` returns it. Raises InputError without a remedy."""
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no JSON object")
    check_format(path, content.get("format"), "")
    if content.get("sha256") != content_digest(content):
        raise InputError(f"{path} is damaged: its SHA-256 is not that of its content")
    for key, kind in shape.items():
        if key not in content:
            raise InputError(f"{path} has no {key!r}")
        if not _fits(content[key], kind):
            try:
                typeguard.check_type(content[key], kind, collection_check_strategy=_ALL)
            except typeguard.TypeCheckError as error:
                raise InputError(f"{path} has another kind of {key!r}: {error}") from None
    return {name: value for name, value in content.items() if name not in ("format", "sha256")}


def _fits(value: object, kind: Any) -> bool:
    """Whether a value is plainly of a kind; what is not so plain, typeguard decides.

    typeguard takes longer than all else for a file of many numbers.
    """
    if kind is Any or type(value) is kind or (value is None and kind is None):
        return True
    if isinstance(kind, UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    if value is None:
        return kind is type(None)
    inner = get_args(kind)
    if get_origin(kind) is dict and type(value) is dict:
        keys = all(type(name) is inner[0] for name in value)
        return keys and (inner[1] is Any or all(_fits(part, inner[1]) for part in value.values()))
    if get_origin(kind) is list and type(value) is list:
        return all(_fits(part, inner[0]) for part in value)
    return False


def reason_of(error: OSError | ValueError) -> str:
    """Why a file was not read: what the system says, without the path, or what is wrong in it."""
    return getattr(error, "strerror", None) or str(error)


def check_format(path: Path | str, found: object, again: str) -> None:
    """Raise InputError for what another version of jaxreg wrote; `again` computes it again."""
    if type(found) is not int or found != FORMAT:
        raise InputError(f"{path} has format {found}", expected=f"format {FORMAT}", remedy=again)


def content_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON object without its `sha256`, 64 hex digits; the order of keys is free."""
    plain = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
