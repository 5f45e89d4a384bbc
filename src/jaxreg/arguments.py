"""The arguments of a command: parsed by tyro into the settings that were given, and no others."""

import dataclasses
import types
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as hints_of

from jaxreg.errors import InputError
from jaxreg.option_names import options_of, refuse_extra_words, refuse_unknown_options

Own = TypeVar("Own")

POSITIONAL = "positional"  # the group of arguments without a flag

_ORDER = (
    "Search",
    "Data",
    "Features",
    "Split",
    "Head",
    "Optimizer",
    "Computation",
    "Cluster",
    "Run",
    "Output",
)
"""The boxes of `--help` from top to bottom."""


def parse(
    command: str,
    own: type[Own],
    kinds: Sequence[type] = (),
    argv: Sequence[str] | None = None,
) -> tuple[Own, dict[str, Any]]:
    """Parse the words of a command; values that no type has end the process with exit code 2.

    Args:
        command: its name.
        own: dataclass of the command's own options, whose docstring is the text of `--help`.
        kinds: dataclasses of settings. Only those that were given are in the result, so that
            `merge_settings.merge` decides about all others.
        argv: the words, by default those of the process.

    Raises:
        InputError: an option that the command does not have, or twice the same; one that it needs
            and that is missing; a word too many.
    """
    import sys

    import tyro

    words = sys.argv[1:] if argv is None else list(argv)
    if not {"-h", "--help"} & set(words):
        refuse_unknown_options(command, words, options_of(kinds, own))
        refuse_repeated_options(words)
        refuse_empty_words(words)
    parsed, extra = tyro.cli(
        _arguments(own, kinds),
        prog=f"jaxreg {command}",
        args=words,
        return_unknown_args=True,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.PositionalMetavarFromFieldName),
    )
    refuse_extra_words(command, extra, words)
    values = _flat(parsed)
    names = {field.name for field in dataclasses.fields(own)} & values.keys()  # type: ignore[arg-type]
    mine = {name: values.pop(name) for name in names}
    for field in dataclasses.fields(own):  # type: ignore[arg-type]
        if field.default is tyro.MISSING and field.name not in mine:
            flag = f"--{field.name.replace('_', '-')}"
            raise InputError(f"{flag} is missing", expected=f"{flag}: {field.metadata['help']}")
    return own(**mine), values


def refuse_repeated_options(argv: Sequence[str]) -> None:
    """Of an option given twice the parser would silently keep the last: raise InputError."""
    flags = [word.split("=")[0].replace("_", "-") for word in argv if word.startswith("--")]
    flags = [flag.replace("--no-", "--") for flag in flags]
    if repeated := sorted({flag for flag in flags if flags.count(flag) > 1}):
        raise InputError(
            f"{repeated[0]} is given more than once",
            expected=f"each option once; several values follow one option: {repeated[0]} A B",
        )


def refuse_empty_words(argv: Sequence[str]) -> None:
    """Raise InputError for an empty word: a shell variable that is not set would mean a default."""
    for before, word in zip(["", *argv], argv, strict=False):
        flag, is_equal, value = (
            word.partition("=") if word.startswith("--") else (before, "=", word)
        )
        if is_equal and not value:
            named = f"the value of {flag}" if flag.startswith("--") else "a word of the command"
            raise InputError(
                f"{named} is empty", expected="a value (a shell variable may not be set)"
            )


def _arguments(own: Any, kinds: Sequence[type]) -> type:
    """A dataclass for tyro: a field for each positional argument and for each box.

    A box is a TypedDict, in which an option that is not given is absent.
    """
    import tyro

    boxes: dict[str, dict[str, Any]] = {}
    flags: dict[str, dict[str, bool]] = {}
    positional: list[Any] = []
    for kind in (*kinds, own):
        hints = hints_of(kind)
        for field in dataclasses.fields(kind):
            hint = _annotated(hints[field.name], field, is_own=kind is own)
            if (group := field.metadata["group"]) == POSITIONAL:
                positional.append((field.name, tyro.conf.Positional[hint], field.default))
            else:
                boxes.setdefault(group, {})[field.name] = hint
                if kind is own and field.default is False:
                    flags.setdefault(group, {})[field.name] = False
    nested = []
    for group in sorted(boxes, key=_ORDER.index):
        box: Any = TypedDict(group, boxes[group], total=False)  # type: ignore[operator]
        default = dataclasses.field(default_factory=flags.get(group, {}).copy)
        nested.append((group, Annotated[box, tyro.conf.arg(name=group)], default))
    required = [(name, hint) for name, hint, default in positional if default is tyro.MISSING]
    optional = [argument for argument in positional if argument[2] is not tyro.MISSING]
    made = dataclasses.make_dataclass("Arguments", [*required, *nested, *optional])
    made.__doc__ = own.__doc__
    return made


def _annotated(hint: Any, field: "dataclasses.Field[Any]", *, is_own: bool) -> Any:
    """The type of an argument, with its help text and its default in words."""
    import tyro

    is_option = field.metadata["group"] != POSITIONAL
    if is_option:  # None is what nobody says
        hint = _without_none(hint)
    if is_own and field.default is False:
        hint = tyro.conf.FlagCreatePairsOff[hint]
    text = _default_text(field.default)
    behavior = "(required)" if field.default is tyro.MISSING else text and f"(default: {text})"
    metavar = None
    if get_origin(hint) in (Union, types.UnionType):  # a pair; one value, or several such
        first = get_args(hint)[0]
        one = " ".join(part.__name__.upper() for part in get_args(first) or (first,))
        several = one if get_args(first) else f"{one} [{one} ...]"
        metavar = several if is_option else f"[{field.name.upper()}]"
    help_text = field.metadata["help"]
    shown = tyro.conf.arg(help=help_text, help_behavior_hint=behavior, metavar=metavar)
    return Annotated[hint, shown]


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    return Union[tuple(part for part in get_args(hint) if part is not type(None))]  # noqa: UP007


def _default_text(default: Any) -> str:
    """A default as it would be said, "" for one that the help text describes."""
    if default is None or default is False or default == ():
        return ""
    if default is True:
        return "on"
    if isinstance(default, tuple):
        return " ".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def _flat(parsed: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in vars(parsed).items():
        if isinstance(value, dict):
            values |= value
        else:
            values[name] = value
    return values
