"""From `KEY=VALUES`, the words of `--search`, to the space of a sweep."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from jaxreg.config_io import from_json
from jaxreg.errors import InputError, nearest
from jaxreg.experiment.finalists import NUMERIC
from jaxreg.option_names import meant
from jaxreg.search.space import ALL, STATIC, Dimension, Space, text_of
from jaxreg.train_config import HeadConfig, TrainConfig

LOG_FROM = 100.0  # the ends of a range differ by this factor: it is drawn on a log scale
MOST_CHOICES = 1000

_REASONS = {
    "target": "each target is a sweep of its own",
    "epochs": "halving stops bad trials early, so --epochs is what the best may train",
    "seed": "a seed is no setting: --seeds averages over several",
    "seeds": "a seed is no setting: --seeds averages over several",
    "split": "a score on other rows is another question",
    "folds": "a score on other rows is another question",
    "validation": "a score on other rows is another question",
    "test": "a score on other rows is another question",
    "gap": "a score on other rows is another question",
    "layers": "columns=all or columns=LAYER.POOL,LAYER.POOL searches features",
    "pool": "columns=all or columns=LAYER.POOL,LAYER.POOL searches features",
    "feature_set": "columns=FEATURE_SET/LAYER.POOL,… searches features",
}


DEFAULT = {
    "head": "blend,ridge",
    "learning_rate": "3e-4..3e-2",
    "dropout": "0..0.5",
    "weight_decay": "0..0.1",
    "hidden": "512-256-128-64,64",
}
"""The space without `--search`; `columns=all` too where the dataset has several columns."""


def read_space(search: Sequence[str] | Mapping[str, Any], given: Mapping[str, Any]) -> Space:
    """The space of some `KEY=VALUES`.

    Args:
        search: words as `learning_rate=1e-5..1e-2`, or a mapping of keys to such values; a list is
            choices.
        given: the settings that stay as they were given, by flag or keyword.

    Raises:
        InputError: a key that does not exist, is given twice, stays fixed or cannot be searched; a
            value that `train` refuses.
    """
    pairs = search.items() if isinstance(search, Mapping) else map(_pair, search)
    dimensions: dict[str, Dimension] = {}
    for key, values in pairs:
        name = _known(str(key))
        if name in dimensions:
            raise InputError(
                f"--search names {name} more than once",
                expected=f"all its values at once, as {name}=A,B",
            )
        fixed = ("columns", "layers", "pool") if name == "columns" else (name,)
        for other in fixed:
            if other in given:
                raise InputError(
                    f"{name} is searched and fixed: --{other.replace('_', '-')} gives it one value",
                    expected="one of them",
                    remedy=f"leave --{other.replace('_', '-')} out, or {name} of --search",
                )
        dimensions[name] = _dimension(name, values)
    return Space(tuple(dimensions.values()))


def default_space(given: Iterable[str], *, several_columns: bool) -> Space:
    """The space of a sweep without `--search`: what is given stays fixed."""
    asked = dict(DEFAULT)
    if several_columns:
        asked["columns"] = ALL
    fixed = set(given)
    if fixed & {"columns", "layers", "pool"}:
        fixed.add("columns")
    return read_space({key: value for key, value in asked.items() if key not in fixed}, {})


def _pair(word: str) -> tuple[str, str]:
    key, equal, values = word.partition("=")
    if not equal or not key or not values:
        raise InputError(
            f"--search {word}",
            expected="KEY=VALUES, as learning_rate=1e-5..1e-2 or head=mlp,ridge",
        )
    return key, values


def _known(key: str) -> str:
    """The setting that a key names, if it can be searched."""
    name = key.strip().replace("-", "_")
    searchable = (*STATIC, *NUMERIC)
    if name in searchable:
        return name
    known = get_type_hints(TrainConfig)
    if name in known:
        why = _REASONS.get(name, "a sweep gives it one value: use the option")
        raise InputError(
            f"--search {name} cannot be searched: {why}",
            expected="one of: " + ", ".join(searchable),
        )
    other = meant(name).replace("-", "_")
    near = other if other in searchable else nearest(name, [*searchable, *known])
    raise InputError(
        f"--search {key}: there is no setting {name!r}",
        expected="one of: " + ", ".join(searchable),
        remedy=f"--search {near}=…" if near in searchable else "",
    )


def _dimension(name: str, values: Any) -> Dimension:
    if isinstance(values, str):
        if name == "columns" and values.strip() == ALL:
            return Dimension(name, choices=(ALL,))
        if ".." in values and "," not in values and name != "columns":
            return _range(name, *values.split("..", 1))
        parts: list[Any] = [_value(name, text.strip()) for text in values.split(",")]
    elif isinstance(values, Sequence):
        parts = [_given(name, value) for value in values]
    else:
        parts = [_given(name, values)]
    if repeated := next((part for part in parts if parts.count(part) > 1), None):
        raise InputError(f"--search {name} has {text_of(repeated)} twice", expected="each once")
    if not 1 <= len(parts) <= MOST_CHOICES:
        raise InputError(
            f"--search {name} has {len(parts)} choices", expected=f"from 1 to {MOST_CHOICES}"
        )
    return Dimension(name, choices=tuple(parts))


def _range(name: str, low_text: str, high_text: str) -> Dimension:
    kinds = _kinds(name)
    if not {int, float} & kinds:
        raise InputError(
            f"--search {name}={low_text}..{high_text}, and {name} is no number",
            expected=f"choices, as {name}={_example(name)}",
        )
    whole = float not in kinds
    try:
        known = float(low_text) < float(high_text)
    except ValueError:
        known = False
    if not known:
        raise InputError(
            f"--search {name}={low_text}..{high_text}",
            expected=f"A..B, two {'whole numbers' if whole else 'numbers'}, A below B",
        )
    low, high = (_value(name, text.strip()) for text in (low_text, high_text))
    return Dimension(
        name, float(low), float(high), log=low > 0 and high / low >= LOG_FROM, whole=whole
    )


def _value(name: str, text: str) -> Any:
    """One value of a setting from its text, as `train` would take it."""
    if name == "columns":
        return _checked(name, tuple(text.split("+")))
    kinds = _kinds(name)
    if text == "none" and type(None) in kinds:
        return None
    if name == "hidden":
        try:
            layers = tuple(int(part) for part in text.split("-"))
        except ValueError:
            expected = f"units of the layers with dashes, as hidden={_example(name)}"
            raise InputError(f"--search hidden={text}", expected=expected) from None
        return _checked(name, layers)
    if bool in kinds:
        words = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
        if text.lower() not in words:
            raise InputError(f"--search {name}={text}", expected=f"{name}=on,off")
        return words[text.lower()]
    for kind in (int, float):
        if kind in kinds:
            try:
                number = kind(text)
            except ValueError:
                continue
            return _checked(name, number)
    if {int, float} & kinds:
        what = "a number" if float in kinds else "a whole number"
        raise InputError(f"--search {name}={text}", expected=f"{what}, A..B, or choices A,B")
    return _checked(name, text)


def _given(name: str, value: Any) -> Any:
    """One value of Python code: the setting itself, or its text."""
    if isinstance(value, str) and (name in ("hidden", "columns") or str not in _kinds(name)):
        return _value(name, value)
    if name == "hidden" and isinstance(value, int):
        value = (value,)
    return _checked(name, tuple(value) if isinstance(value, list) else value)


def _checked(name: str, value: Any) -> Any:
    """The value, if `train` takes it; else the error that `train` gives."""
    beside = {"loss": "huber"} if name == "huber_delta" else {}
    made = from_json(TrainConfig, {name: value, **beside})
    found = getattr(made, name)
    return float(found) if isinstance(found, int) and float in _kinds(name) else found


def _kinds(name: str) -> set[Any]:
    """The types that the values of a setting may have; str for its words."""
    hint = get_type_hints(HeadConfig).get(name, str)
    parts = get_args(hint) if get_origin(hint) not in (tuple, None) else (hint,)
    return {str if isinstance(part, str) else part for part in parts}


def _example(name: str) -> str:
    return {"head": "mlp,ridge,blend", "hidden": "512-256-128-64,64"}.get(name, "A,B")
