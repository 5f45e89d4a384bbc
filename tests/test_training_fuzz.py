"""Records of a run and of a cache that another program, or an attacker, wrote: one message."""

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import jaxreg
from conftest import make_planted
from fuzzing import changed, damaged
from jaxreg import verify
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.common.json_files import write_json
from jaxreg.comparison.runs_table import read_runs
from jaxreg.config_io import from_json, to_json
from jaxreg.errors import JaxregError
from jaxreg.merge_settings import merge, read_settings
from jaxreg.train_config import TrainConfig
from jaxreg.training.bundle_file import pack_run
from jaxreg.training.resume import refuse_differences
from jaxreg.training.run_directory import RunDirectory
from jaxreg.usage import Usage
from planted_runs import run_quick

SEEDS = 40


def survives(call: Callable[[], Any]) -> Any:
    """What a call returns, None if it ends by an error for the user."""
    with suppress(JaxregError):
        return call()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache, and a run `one`."""
    planted = make_planted(tmp_path_factory.mktemp("records"))
    run_quick(planted, run="one", epochs=1)
    return planted.parent


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "made"))


def for_each_seed(name: str, make: Callable[[random.Random], Any], use: Callable[[], Any]) -> None:
    """Make and use something for each seed; a message may end the use, nothing else."""
    for seed in range(SEEDS):
        made = make(random.Random(f"{name} {seed}"))
        try:
            survives(use)
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{name} of seed {seed}: {str(made)[:500]}") from error


def use_run(folder: Path) -> None:
    cache, ckpts = Cache(folder / "cache"), folder / "ckpts"
    directory = RunDirectory(ckpts / "one")
    config = survives(directory.read_config)
    if config is not None:
        own = RunDirectory(ckpts / "one").read_config()
        survives(lambda: refuse_differences(own, {**own, "settings": to_json(TrainConfig())}, "x"))
    survives(lambda: verify.main(["one", "--ckpts", str(ckpts)]))
    survives(lambda: read_runs(ckpts))
    usage = Usage(cache, ckpts)
    survives(lambda: usage.runs_on(dataset="planted", feature_set="none"))
    survives(lambda: usage.of_dataset("planted"))
    survives(lambda: pack_run(directory))
    survives(lambda: jaxreg.load_run(directory.path))


@pytest.mark.parametrize("name", ["config.json", "summary.json", "checkpoints/*.json"])
def test_a_record_of_a_run_with_other_values(name: str, copied: Path) -> None:
    [path] = (copied / "ckpts" / "one").glob(name)
    whole = json.loads(path.read_text())

    def make(rng: random.Random) -> Any:
        content = changed(whole, rng)
        content = content if isinstance(content, dict) else {"content": content}
        write_json(path, content)  # with the digest that fits
        return content

    for_each_seed(name, make, lambda: use_run(copied))


def test_the_record_of_a_feature_set_with_other_values(copied: Path) -> None:
    cache = Cache(copied / "cache")
    [name] = cache.feature_sets()
    path = copied / "cache" / "features" / name / "feature_set.json"
    whole = json.loads(path.read_text())

    def make(rng: random.Random) -> Any:
        content = changed(whole, rng)
        write_json(path, content if isinstance(content, dict) else {"content": content})
        return content

    def use() -> None:
        survives(lambda: verify.main(["--cache", str(cache.root)]))
        survives(lambda: cache.recipe(name))

    for_each_seed("feature set", make, use)


def test_the_metadata_of_a_dataset_with_other_values(copied: Path) -> None:
    path = copied / "cache" / "datasets" / "planted.parquet"
    table = pq.read_table(path)
    whole = json.loads(table.schema.metadata[b"jaxreg"])

    def make(rng: random.Random) -> Any:
        content = changed(whole, rng)
        pq.write_table(table.replace_schema_metadata({"jaxreg": json.dumps(content)}), path)
        return content

    def use() -> None:
        dataset = read_dataset(Cache(copied / "cache"), "planted")
        assert dataset.extract_command()
        assert isinstance(dataset.stale, list)

    for_each_seed("dataset", make, use)


def test_settings_of_a_hand_written_file(tmp_path: Path) -> None:
    settings = {n: v for n, v in to_json(TrainConfig()).items() if v is not None}
    whole = {"format": 2, "settings": {**settings, "target": ["y"], "folds": 5}}

    def make(rng: random.Random) -> Any:
        content = json.dumps(changed(whole, rng)).encode()
        (tmp_path / "x.json").write_bytes(damaged(content, rng) if rng.random() < 0.5 else content)
        return content

    def use() -> None:
        from_json(TrainConfig, merge(file=read_settings(tmp_path / "x.json")))

    for_each_seed("settings", make, use)


def test_a_damaged_bundle(made: Path, tmp_path: Path) -> None:
    whole = pack_run(RunDirectory(made / "ckpts" / "one"))
    path = tmp_path / "one.zip"

    def make(rng: random.Random) -> None:
        path.write_bytes(damaged(whole, rng))

    for_each_seed("bundle", make, lambda: jaxreg.load_run(path))
