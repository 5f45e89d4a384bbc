"""Settings to and from JSON, and as the words of a command."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, get_origin, get_type_hints

import typeguard

from jaxreg.common.remote_file import shown
from jaxreg.errors import InputError, nearest

T = TypeVar("T")


def to_json(settings: Any) -> dict[str, Any]:
    """A settings dataclass as JSON values; tuples become lists."""
    return said_to_json(dataclasses.asdict(settings))


def said_to_json(said: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that were said, as JSON values."""
    return {n: list(value) if isinstance(value, tuple) else value for n, value in said.items()}


def from_json(kind: type[T], said: Mapping[str, Any]) -> T:
    """Settings of a class from JSON values or keywords; what is left out keeps its default.

    Raises:
        InputError: a setting that does not exist (the nearest is named), of another type, or with
            a value out of range.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in said:
        if name not in known:
            expected, near = "one of: " + ", ".join(known), nearest(name, known)
            raise InputError(
                f"no setting {name!r}",
                expected=expected,
                remedy=f"use the setting {near}" if near else "",
            )
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in said.items()}
    for name, hint in get_type_hints(kind).items():
        for one in (str, int):
            if hint == tuple[one, ...] and type(values.get(name)) is one:
                values[name] = (values[name],)  # target="angle" is target=("angle",)
        if get_origin(hint) is Literal:
            continue  # the words allowed are named when the settings are made
        if name in values and not _has_type(values[name], hint):
            raise InputError(
                f"--{name.replace('_', '-')} is {values[name]!r}",
                expected=str(hint).removeprefix("<class '").rstrip("'>"),
            )
    return kind(**values)


def _has_type(value: object, hint: Any) -> bool:
    """Whether a value fits an annotation; an int is a float, but a bool is no number."""
    if isinstance(value, bool) and hint is not bool:
        return False
    every = typeguard.CollectionCheckStrategy.ALL_ITEMS
    try:
        typeguard.check_type(value, hint, collection_check_strategy=every)
    except typeguard.TypeCheckError:
        return False
    return True


def fields_of(kind: type, settings: Any) -> dict[str, Any]:
    """The fields of the settings dataclass `kind` that `settings`, a wider one, has."""
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(kind)}


def changed_fields(settings: Any) -> dict[str, Any]:
    """The fields of a settings dataclass that have not their default."""
    values = {field: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return {field.name: value for field, value in values.items() if value != field.default}


def split_off(kind: type[T], given: dict[str, Any]) -> T:
    """Take the settings of `kind` out of all that were given."""
    names = [field.name for field in dataclasses.fields(kind) if field.name in given]  # type: ignore[arg-type]
    return from_json(kind, {name: given.pop(name) for name in names})


def command_line(command: str, words: Sequence[object], *settings: Any) -> str:
    """The command that says the same: `words`, then every setting that is not the default."""
    parts = [*command.split(), *(shown(str(word)) for word in words)]
    for group in settings:
        for name, value in changed_fields(group).items():
            parts += option_words(name, value)
    return shlex.join(parts)


def words_given(own: Any, *names: str) -> list[str]:
    """Some fields of a command's arguments as words, without those that are the default."""
    default = {field.name: field.default for field in dataclasses.fields(own)}
    given = [(name, getattr(own, name)) for name in names if getattr(own, name) != default[name]]
    return [word for name, value in given for word in option_words(name, value)]


def option_words(name: str, value: Any) -> list[str]:
    """A setting as words of the command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
