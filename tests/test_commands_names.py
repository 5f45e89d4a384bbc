"""Names that users give: what no file can have is one message, before anything is computed."""

import os
import random
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxreg
from conftest import make_planted
from fuzzing import ODD_NAMES, survives
from jaxreg.cache.dataset_table import make_dataset
from jaxreg.cache.datasets import write_dataset
from jaxreg.cache.store import Cache
from jaxreg.common.files import TEMPORARY, named_path, write_whole
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.extraction.extract_source import default_name, refuse_other_source
from jaxreg.sources import open_source
from jaxreg.sources.examples import Examples
from jaxreg.train_config import TrainConfig
from jaxreg.training.run_directory import run_path
from planted_runs import run_quick

COMMANDS = (
    "train {}",
    "train none --run {} --resume",
    "train planted --cache {}",
    "train planted --config {}",
    "train planted --target {}",
    "train planted --feature-set {}",
    "train planted --layers {}",
    "train planted --columns {}",
    "train planted --memory-limit {}",
    "predict {} road:1 --out o.csv",
    "predict {}.zip road:1 --out o.csv",
    "predict none road:1 --out {}.csv",
    "predict none road:1 --out {}",
    "verify {}",
    "verify --cache {}",
    "verify none --ckpts {}",
    "diagnose {}",
    "diagnose planted --cache {}",
    "remove {} --yes",
    "remove none --cache {} --yes",
    "remove none --ckpts {} --yes",
    "bundle {} --out b.zip",
    "bundle none --out {}.zip",
    "list datasets --cache {}",
    "list feature-sets --ckpts {}",
    "runs {}",
    "runs ckpts --sort {}",
    "runs ckpts --csv {}",
    "extract {}",
    "extract road:1 --weights {}.h5",
    "extract road:1 --weights random:{}",
    "extract road:1 --backbone {}",
    "extract road:1 --pool {}",
    "extract road:1 --layers {}",
    "extract road:1 --shard {}",
    "extract road:1 --cache {} --weights none.h5",
    "extract road:1 --name {} --weights none.h5",
)
NAMES = [name for name in ODD_NAMES if name not in ("..", "/")]  # folders of others are there


def run(words: Sequence[str]) -> None:
    """Run a command in this process; only codes of a user's error may end it."""
    try:
        survives(lambda: import_module(f"jaxreg.{words[0]}").main(words[1:]))
    except SystemExit as ended:
        if ended.code != 2:
            raise
    except OSError as error:
        if error.filename is None:  # else `run_command` has a message
            raise


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_planted(tmp_path_factory.mktemp("names"))


def run_with(command: str, names: Sequence[str]) -> None:
    for name in names:
        words = [word.replace("{}", name) for word in command.split()]
        try:
            run(words)
        except Exception as error:
            raise AssertionError(words) from error


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_with_an_odd_name_ends_by_a_message(
    command: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cache.parent)
    run_with(command, random.Random(command).sample(NAMES, 5))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_with_every_odd_name(
    command: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cache.parent)
    run_with(command, NAMES)


@pytest.mark.parametrize(
    "words",
    [
        ["train", ""],
        ["predict", "", "x", "--out", "o.csv"],
        ["list", "datasets", "--cache", ""],
        ["verify", "--ckpts="],
    ],
)
def test_an_unset_variable_is_no_default(words: list[str]) -> None:
    with pytest.raises(InputError, match="is empty"):
        import_module(f"jaxreg.{words[0]}").main(words[1:])


@pytest.mark.parametrize(
    "name", ["a\0b", "\ud800", "ä" * 128, "x" * 256, "x/" * 2001, "", "s3://bucket/x"]
)
def test_a_path_that_no_file_can_have(name: str) -> None:
    with pytest.raises(InputError, match="--out is"):
        named_path(name, "--out")
    with pytest.raises(InputError):
        run_path(name, Path("ckpts"))


def test_a_name_of_255_bytes_is_written(tmp_path: Path) -> None:
    path = named_path(tmp_path / ("ä" * 125 + ".file"), "--out")
    write_whole(path, b"content")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert TEMPORARY.fullmatch(f".{'x' * 200}.123.0123abcd.tmp")


def test_what_cannot_be_written_is_said_before_a_run_is_read(tmp_path: Path) -> None:
    (tmp_path / "is.csv").mkdir()
    for out in (f"{'x' * 300}.csv", str(tmp_path / "is.csv"), "x.txt"):
        with pytest.raises(InputError, match="--out"):
            import_module("jaxreg.predict").main(["no-run", "no-source", "--out", out])


def test_a_path_is_a_path_wherever_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ckpts = Path("ckpts")
    assert run_path("one", ckpts) == Path("ckpts/one")
    assert run_path("a/one", ckpts) == Path("a/one")
    for path in ("./one", "one/", "../x/one", "."):
        found = run_path(path, ckpts)
        assert found.resolve() == Path(path).resolve()
        assert run_path(str(found), ckpts) == found  # copied from a message


def test_a_run_in_the_current_folder(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(planted.parent)
    run = run_quick(planted, run="./proj", head="ridge")
    assert (planted.parent / "proj" / "summary.json").exists()
    assert not Path("ckpts").exists()
    words = ["planted", "--run", "./proj", "--resume", "--cache", str(planted), "--head", "ridge"]
    assert import_module("jaxreg.train").main(words) == 0
    for words in (["verify", "./proj"], ["bundle", "./proj", "--out", "b.zip"]):
        assert import_module(f"jaxreg.{words[0]}").main(words[1:]) == 0
    assert jaxreg.load_run("proj").summary["metrics"] == run.summary["metrics"]
    assert import_module("jaxreg.remove").main(["./proj", "--cache", str(planted), "--yes"]) == 0
    assert not Path("proj").exists()


def test_names_that_are_equal_after_cleaning(tmp_path: Path) -> None:
    """A dataset is not replaced by another source whose name nobody chose."""
    cache, pixels = Cache(tmp_path / "cache"), np.zeros((2, 4, 4, 3), np.uint8)

    def examples_of(path: str | Path) -> Examples:
        return open_source(path)

    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "x y.npz", images=pixels, targets=[1.0, 2.0])
    first, second = (tmp_path / folder / "x y.npz" for folder in ("a", "b"))
    name = default_name(examples_of(first))
    assert name == default_name(examples_of(second)) == "x-y"
    refuse_other_source(cache, name, examples_of(first), "first")  # there is none yet
    made = make_dataset(
        name,
        examples_of(first),
        ["0" * 64] * 2,
        feature_set="none",
        columns=[],
        opened=str(first),
        options=SourceOptions(),
        settings=ExtractConfig(),
    )
    write_dataset(cache, made)
    refuse_other_source(cache, name, examples_of(os.path.relpath(first)), "first")
    with pytest.raises(InputError, match="the cache has a dataset") as caught:
        jaxreg.extract_features(second, cache=cache.root)
    assert caught.value.remedy == "--name x-y-2"


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": (16_384, 16_384), "seeds": 1000},
        {"folds": 3, "seeds": 1000, "epochs": 1_000_000, "split": "hash"},
    ],
)
def test_more_than_the_memory_is_refused_at_once(planted: Path, settings: dict) -> None:
    with pytest.raises(InputError, match=r"trainings of .* would take .* are free"):
        run_quick(planted, **{"run": "large", **settings})
    assert not (planted.parent / "ckpts" / "large").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("folds", 1_000_000),
        ("seeds", 10**9),
        ("hidden", (10**9,)),
        ("epochs", 10**12),
        ("batch_size", 10**12),
        ("seed", 2**40),
        ("decay_steps", 2**40),
        ("patience", 2**40),
        ("components", 2**40),
    ],
)
def test_a_number_over_its_limit_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')} is"):
        TrainConfig(**{name: value})
