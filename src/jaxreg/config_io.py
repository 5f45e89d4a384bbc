"""Settings merged from all that was said, to and from JSON, and as the words of a command."""

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_origin, get_type_hints

import typeguard

from jaxreg.common.json_files import FORMAT
from jaxreg.errors import InputError, nearest
from jaxreg.train_config import PRESETS, HeadConfig

T = TypeVar("T")


def merge(
    *,
    resumed: Mapping[str, Any] | None = None,
    preset: Mapping[str, Any] | None = None,
    file: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """All that was said of some settings; a later one of these sources wins.

    What nobody said is left out: the settings class has the default.

    Args:
        resumed: the settings of a run that goes on.
        preset: as `preset_settings` gives them.
        file: the settings of a `--config` file.
        given: flags, or keywords of the Python API.
    """
    return {**(resumed or {}), **(preset or {}), **(file or {}), **(given or {})}


def preset_settings(preset: str | None) -> dict[str, Any]:
    """The settings of a preset of `train`, nothing for None.

    Of the head, every setting that any preset decides is in it, so that `--resume` with another
    preset is another run.

    Raises:
        InputError: there is no such preset.
    """
    if preset is None:
        return {}
    check_preset(preset, PRESETS)
    head = fields_of(HeadConfig, HeadConfig())
    decided = {name for said in PRESETS.values() for name in said if name in head}
    return {**{name: head[name] for name in decided}, **PRESETS[preset]}


def check_preset(preset: str, presets: Mapping[str, Any]) -> None:
    """Raise InputError if there is no such preset; the nearest is named."""
    if preset not in presets:
        words, remedy = " or ".join(presets), nearest(preset, presets) or ""
        raise InputError(f"no preset {preset!r}", expected=words, remedy=remedy)


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a `--config` file: `asked` of a run, or `settings` of a hand-written file.

    Raises:
        InputError: it is absent, not JSON, of another format, or has no settings.
    """
    expected = f'a JSON file {{"format": {FORMAT}, "settings": {{…}}}}, or a run\'s config.json'
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"no {path}", expected=expected) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", expected=expected) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is not of format {FORMAT}", expected=expected)
    settings = content.get("asked", content.get("settings"))
    if not isinstance(settings, dict):
        raise InputError(f"the settings in {path} are {settings!r}", expected=expected)
    return settings


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
            expected, remedy = "one of: " + ", ".join(known), nearest(name, known) or ""
            raise InputError(f"no setting {name!r}", expected=expected, remedy=remedy)
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in said.items()}
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


def split_off(kind: type[T], given: dict[str, Any]) -> T:
    """Take the settings of `kind` out of all that were given."""
    names = [field.name for field in dataclasses.fields(kind) if field.name in given]  # type: ignore[arg-type]
    return from_json(kind, {name: given.pop(name) for name in names})


def command_line(command: str, words: Sequence[object], *settings: Any) -> str:
    """The command that says the same: `words`, then every setting that is not the default."""
    parts = [*command.split(), *map(str, words)]
    for group in settings:
        for field in dataclasses.fields(group):
            value = getattr(group, field.name)
            if value != field.default:
                parts += option_words(field.name, value)
    return shlex.join(parts)


def option_words(name: str, value: Any) -> list[str]:
    """A setting as words of the command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
