"""The settings: their keywords, their types, and the one merge."""

import dataclasses
import os
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import pytest

from jaxreg.cache.recipe import Recipe
from jaxreg.common.json_files import parse_json, read_json
from jaxreg.config_io import from_json, to_json
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig
from jaxreg.keywords import ExtractKeywords, Names, TrainKeywords
from jaxreg.merge_settings import merge, read_settings
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
    for others in (("pool",), ("layers", "pool")):
        with pytest.raises(InputError) as caught:
            merge(given={"columns": ("mixed10.avg",), **dict.fromkeys(others, "max")})
        told = " and ".join(f"--{name}" for name in others)
        assert caught.value.found == f"--columns with {told}"
        assert caught.value.expected.startswith("--columns, which names a pool with each layer")
        assert caught.value.remedy == f"leave out --columns, or leave out {told}"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"batch_size": 10**30}, "from 1 to 2147483647"),
        ({"decay_steps": 10**30}, "from 1 to 2147483647"),
        ({"components": 10**30}, "from 1 to 2147483647"),
        ({"patience": 10**30}, "from 0 to 2147483647"),
        ({"hidden": (10**30,)}, "layers of 1 to 16384 units"),
        ({"hidden": (16384,) * 3}, "at most 268,435,456 weights between the layers"),
        ({"folds": 10**6}, "from 2 to 1000"),
        ({"seeds": 10**6}, "from 1 to 1000"),
    ],
)
def test_numbers_that_no_training_can_have(setting: dict, expected: str) -> None:
    [name] = setting
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')} is .*\n.*{expected}"):
        TrainConfig(**setting)


def test_a_size_that_no_network_can_see() -> None:
    for size in ((99_999_999, 75), (75, 10_001), (0, 75)):
        with pytest.raises(InputError, match=r"--size is .*\n.*from 1 to 10000 pixels"):
            ExtractConfig(size=size)
    for size in ((99_999_999, 75), ("75", 75)):
        with pytest.raises((ValueError, TypeError)):  # from the file of a run or a feature set
            Recipe(weights="random:0:v1", weights_tag="random0", size=size)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_config_file_that_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(10**12)
    many = "[" * 100_000
    texts = {
        "deep": many,
        "deeper": '{"format": 2, "settings": ' + "[" * 101 + "]" * 101 + "}",
        "list": '{"format": 2, "settings": ' + str([0] * 10_000) + "}",
        "binary": "\x00\x01",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    for name, said in (
        ("fifo", "a FIFO"),
        ("zero", "a device"),
        ("huge", "it has 1.0 TB; more than 64.0 MB are refused"),
        (".", "a folder"),
        ("deep", "more than 100 brackets"),
        ("deeper", "more than 100 brackets"),
        ("list", r"the settings in .* are \[0, 0, 0, 0, 0, 0, ...\]"),
        ("binary", "cannot be read"),
        ("x" * 300, "name too long"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            read_settings(tmp_path / name)
        assert len(str(caught.value)) < 1000
        if name != "list":
            with pytest.raises(InputError, match=said):
                read_json(tmp_path / name, {}, expected="", again="")


def test_json_is_read_up_to_the_depth_that_is_allowed() -> None:
    assert parse_json("[" * 100 + "]" * 100)
    assert parse_json("3") == 3
    with pytest.raises(ValueError, match="more than 100"):
        parse_json('{"a":' * 101 + "1" + "}" * 101)
