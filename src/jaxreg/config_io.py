"""Settings to and from JSON, and as the words of a command."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from jaxreg.errors import InputError, nearest
from jaxreg.train_config import PRESETS, HeadConfig

T = TypeVar("T")


def preset_settings(preset: str | None) -> dict[str, Any]:
    """What a preset says, nothing for None. Raises InputError if there is no such preset.

    Of the head, what other presets say otherwise is in it too: so a run of another is another run.
    """
    if preset is None:
        return {}
    if preset not in PRESETS:
        raise InputError(
            f"no preset {preset!r}",
            expected=" or ".join(PRESETS),
            remedy=nearest(preset, PRESETS) or "",
        )
    head = fields_of(HeadConfig, HeadConfig())
    decided = {name for said in PRESETS.values() for name in said if name in head}
    return {**{name: head[name] for name in decided}, **PRESETS[preset]}


def to_json(settings: Any) -> dict[str, Any]:
    """A settings dataclass as JSON values; tuples become lists."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(settings).items()
    }


def from_json(kind: type[T], settings: Mapping[str, Any]) -> T:
    """The inverse of `to_json`; settings left out keep their defaults.

    Raises:
        InputError: a setting that does not exist (the nearest is named), or a value out of range.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in settings:
        if name not in known:
            raise InputError(
                f"no setting {name!r}",
                expected="one of: " + ", ".join(known),
                remedy=nearest(name, known) or "",
            )
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in settings.items()}
    for name, hint in get_type_hints(kind).items():
        if hint == tuple[str, ...] and isinstance(values.get(name), str):
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
    """Whether a setting's value fits its annotation, for the few kinds that settings have."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        inner = parts[:1] * len(value) if parts[-1] is ... else parts
        return len(value) == len(inner) and all(map(_has_type, value, inner))
    if parts:  # a union
        return any(_has_type(value, part) for part in parts)
    if hint in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if hint is float else hint)


def fields_of(kind: type, settings: Any) -> dict[str, Any]:
    """The fields of the settings dataclass `kind` that `settings`, a wider one, has."""
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(kind)}


def command_line(module: str, words: Sequence[object], *settings: Any) -> str:
    """The command that says the same: `words`, then every setting that is not the default."""
    parts = [*module.split(), *map(str, words)]
    for group in settings:
        for field in dataclasses.fields(group):
            value = getattr(group, field.name)
            if value != field.default:
                parts += _words(field.name.replace("_", "-"), value)
    return shlex.join(parts)


def _words(flag: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
