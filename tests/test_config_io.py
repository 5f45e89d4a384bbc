"""The settings: their keywords, their types, and the one merge."""

import dataclasses
from typing import get_args, get_origin, get_type_hints

import pytest

from jaxreg.config_io import from_json, to_json
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig
from jaxreg.keywords import ExtractKeywords, Names, TrainKeywords
from jaxreg.merge_settings import merge
from jaxreg.train_config import TrainConfig


@pytest.mark.parametrize(
    ("keywords", "kind"), [(ExtractKeywords, ExtractConfig), (TrainKeywords, TrainConfig)]
)
def test_the_keywords_are_the_fields_of_the_settings(keywords: type, kind: type) -> None:
    fields, hints = get_type_hints(kind), get_type_hints(keywords)
    assert hints.keys() == fields.keys()
    for name, hint in hints.items():
        if hint == Names:
            assert fields[name] == tuple[str, ...], name
        elif get_origin(fields[name]) is not tuple or get_args(fields[name])[-1] is not ...:
            assert hint == fields[name], name


def test_every_setting_has_a_help_text_that_is_a_phrase() -> None:
    for kind in (ExtractConfig, TrainConfig):
        for field in dataclasses.fields(kind):
            assert len(field.metadata["help"].split()) >= 3, field.name


def test_the_later_source_wins() -> None:
    sources = {"resumed": 1, "preset": 2, "file": 3, "given": 4}
    said = {name: {name: value, "all": value} for name, value in sources.items()}
    assert merge(**said) == {**sources, "all": 4}
    del said["given"]
    assert merge(**said)["all"] == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 2.5), ("epochs", True), ("learning_rate", "fast"), ("hidden", ("a",)),
        ("hidden", (8, "a")), ("target", (1,)), ("scale_target", 1), ("folds", "5"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')} is "):
        from_json(TrainConfig, {name: value})


def test_settings_come_back_from_json() -> None:
    config = TrainConfig(target=("a", "b"), learning_rate=1, hidden=(3,), memory_limit="1GiB")
    assert from_json(TrainConfig, to_json(config)) == config
    assert from_json(TrainConfig, {"target": "a"}).target == ("a",)


def test_columns_replace_the_layers_and_the_pool_of_what_they_win_over() -> None:
    file = {"layers": ("mixed2",), "pool": "max"}
    merged = merge(file=file, given={"columns": ("mixed10.avg",)})
    assert merged == {"columns": ("mixed10.avg",)}
    assert merge(file=merged, given=file) == file
    resumed = {"layers": [], "pool": None, "columns": ["identity.mixed10.avg"]}
    assert merge(resumed=resumed, given={"layers": ("mixed2",)})["layers"] == ("mixed2",)
    with pytest.raises(InputError, match="--columns with --layers or --pool"):
        merge(given={"columns": ("mixed10.avg",), "pool": "max"})
