"""`jaxreg verify`: a file that is lost, or that stands in the place of another, is named."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import jaxreg
from cache_files import checked, column_folder, part_paths
from conftest import make_planted
from jaxreg import verify
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.failed_list import write_failed
from jaxreg.cache.parts import DamagedPart
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.common.json_files import write_json
from jaxreg.comparison.runs_table import read_runs
from jaxreg.errors import InputError
from jaxreg.training.run_directory import RunDirectory
from planted_runs import edit_dataset, run_quick

NOW = time.time()


def faults(cache: Path) -> str:
    """What `verify` finds in a cache: damaged files, then sentences."""
    _, damaged, wrong = checked(Cache(cache))
    return "\n".join([*(str(cache / key) for key in damaged), *wrong])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, `one` and `two`, of one dataset."""
    planted = make_planted(tmp_path_factory.mktemp("runs"))
    run_quick(planted, run="one", epochs=1)
    run_quick(planted, run="two", epochs=1, seed=1)
    return planted.parent / "ckpts"


@pytest.fixture
def pair(runs: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the two runs."""
    shutil.copytree(runs, tmp_path / "ckpts")
    return tmp_path / "ckpts" / "one", tmp_path / "ckpts" / "two"


def test_a_part_of_another_column_or_recipe_is_damage(planted: Path) -> None:
    """Both have the same number of features, so only the part itself can tell."""
    cache = Cache(planted)
    [name] = cache.feature_sets()
    [part] = part_paths(cache, name, Column())
    other = Recipe(weights="random:1:v1", weights_tag="random1")
    cache.make_feature_set(other, None)
    places = [
        column_folder(cache, name, Column(pool="max")),
        column_folder(cache, name, Column(view="mirror")),
        column_folder(cache, other.feature_set, Column()),
    ]
    digests = read_dataset(cache, "planted").digests
    for folder in places:
        folder.mkdir(parents=True)
        shutil.copy(part, folder)
        with pytest.raises(DamagedPart, match=f"a part of {name}/identity.mixed10.avg"):
            cache.read(folder.parent.name, [Column.parse(folder.name)], digests)
        assert cache.present(folder.relative_to(planted).as_posix()) == set()
        assert str(folder / part.name) in faults(planted)
        shutil.rmtree(folder)
    moved = Cache(planted.parent / "elsewhere")
    shutil.copytree(planted, moved.root)
    np.testing.assert_array_equal(
        moved.read(name, [Column()], digests), cache.read(name, [Column()], digests)
    )


def test_a_part_that_is_no_file_is_damage_and_repair_sets_it_aside(planted: Path) -> None:
    cache = Cache(planted)
    [name] = cache.feature_sets()
    [part] = part_paths(cache, name, Column())
    part.unlink()
    makers = [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)]
    for make in makers:
        make(part)
        with pytest.raises(DamagedPart, match="not a regular file"):
            cache.read(name, [Column()], ["0"])
        assert verify.main(["--cache", str(planted)]) == 6
        verify.main(["--cache", str(planted), "--repair"])
        assert not os.path.lexists(part)
        aside = part.with_name(part.name + ".bad")
        aside.rmdir() if aside.is_dir() else aside.unlink()


def test_a_dataset_under_the_name_of_another_is_refused(planted: Path) -> None:
    edit_dataset(planted, name="second", table=lambda old: old.table.slice(0, 100))
    first, second = (planted / "datasets" / f"{name}.parquet" for name in ("planted", "second"))
    assert faults(planted) == ""
    first.rename(planted / "other")
    second.rename(first)
    (planted / "other").rename(second)
    for name, holds in (("planted", "second"), ("second", "planted")):
        with pytest.raises(InputError, match=f"{name}.parquet holds the dataset '{holds}'"):
            read_dataset(Cache(planted), name)
    assert faults(planted).count("holds the dataset") == 2


def test_a_changed_or_lost_list_of_failures_is_named(planted: Path) -> None:
    cache = Cache(planted)
    sha256 = write_failed(cache, "planted", [("x", "no such file")])
    assert "planted.failed.csv is damaged, or of another extraction" in faults(planted)
    edit_dataset(planted, failed_sha256=sha256)
    assert faults(planted) == ""
    path = planted / "datasets" / "planted.failed.csv"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"x", b"y"))
    assert "failed.csv is damaged" in faults(planted)
    path.unlink()
    assert "failed.csv is absent" in faults(planted)
    os.mkfifo(path)
    assert "failed.csv is damaged" in faults(planted)


def test_lost_features_and_a_lost_record_are_named_with_the_command(planted: Path) -> None:
    cache = Cache(planted)
    [name] = cache.feature_sets()
    record = planted / "features" / name / "feature_set.json"
    whole = record.read_bytes()
    record.unlink()
    assert f"{name} has parts and no feature_set.json" in faults(planted)
    record.write_bytes(whole)
    assert faults(planted) == ""
    [part] = part_paths(cache, name, Column())
    part.unlink()
    assert "240 of 240 rows of planted have no identity.mixed10.avg features" in faults(planted)
    assert "jaxreg extract planted.csv --name planted" in faults(planted)


def test_a_file_of_another_run_is_named_and_no_number_comes_from_it(
    pair: tuple[Path, Path], capsys
) -> None:
    """Two runs that differ in the seed alone; each of their files is whole."""
    one, two = pair
    names = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    expected = jaxreg.load_run(one).summary["metrics"]
    for name in sorted(names):
        whole = (one / name).read_bytes()
        if not (two / name).exists() or (two / name).read_bytes() == whole:
            continue
        (one / name).write_bytes((two / name).read_bytes())
        assert verify.main([str(one)]) == 6, name
        with suppress(InputError):
            assert jaxreg.load_run(one).summary["metrics"] == expected
        rows = read_runs(one.parent).rows
        assert [row["mae"] for row in rows if row["run"] == str(one)] in ([], [expected["mae"]])
        (one / name).write_bytes(whole)
    assert verify.main([str(one), str(two)]) == 0


def test_each_lost_file_of_a_finished_run_is_named(pair: tuple[Path, Path], capsys) -> None:
    run = pair[0]
    for path in sorted(run.rglob("*")):
        if path.is_file() and path.name != "summary.json":
            whole = path.read_bytes()
            path.unlink()
            capsys.readouterr()
            if path.name == "config.json":
                with pytest.raises(InputError, match="no run"):
                    verify.main([str(run)])
            else:
                assert verify.main([str(run)]) == 6
                named = "checkpoints" if "checkpoints" in path.parts else path.name
                assert named in capsys.readouterr().err
            path.write_bytes(whole)
    shutil.rmtree(run / "checkpoints")
    assert verify.main([str(run)]) == 6
    (run / "summary.json").unlink()
    capsys.readouterr()
    assert verify.main([str(run)]) == 0
    assert "is not finished" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.json", "summary.json", "predictions.parquet"])
def test_what_is_no_file_in_a_run_is_one_message(pair: tuple[Path, Path], name: str) -> None:
    run = pair[0]
    (run / name).unlink()
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)):
        make(run / name)
        said: list[str] = []
        rows = read_runs(run.parent, say=said.append).rows
        assert [Path(row["run"]).name for row in rows] == ["two"]
        assert len(said) == 1
        assert f"{name}" in said[0]
        (run / name).rmdir() if (run / name).is_dir() else (run / name).unlink()


def test_a_run_whose_cache_was_above_it_looks_nowhere_else(pair: tuple[Path, Path]) -> None:
    """`--cache .` beside ckpts: the path from the run is `../..`, which has no name to look for."""
    directory = RunDirectory(pair[0])
    write_json(pair[0] / "config.json", {**directory.read_config(), "cache": "../.."})
    (pair[0].parents[2] / "features").mkdir()
    with pytest.raises(InputError, match=r"(?s)is not in .*--cache FOLDER"):
        directory.cache()


def test_a_copied_run_takes_the_cache_with_its_features_not_one_of_another_project(
    runs: Path, tmp_path: Path
) -> None:
    """The run stands where `../../cache` is a stranger's; its own cache was copied beside it."""
    strange, own = tmp_path / "cache", tmp_path / "ckpts" / "cache"
    (strange / "features" / "another").mkdir(parents=True)
    (strange / "datasets").mkdir()
    shutil.copytree(runs / "one", tmp_path / "ckpts" / "one")
    directory = RunDirectory(tmp_path / "ckpts" / "one")
    with pytest.raises(InputError, match=r"(?s)is not in .*--cache FOLDER"):
        directory.cache()
    assert jaxreg.load_run(directory.path).cache is None
    shutil.copytree(runs.parent / "cache", own)
    assert directory.cache() == own.resolve()
    shutil.rmtree(own / "features")  # deleted, as it may be: `predict` computes them again there
    assert directory.cache() == own.resolve()


def test_what_killed_commands_left_is_deleted_an_hour_later(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = pair
    before = sorted(path for path in run.parent.rglob("*") if path.is_file())
    [epoch] = (path for path in (run / "checkpoints").iterdir() if path.is_dir())
    step = run / "checkpoints" / "000007.orbax-checkpoint-tmp-12"
    shutil.copytree(epoch, step)
    left = [run / ".config.json.77.0123abcd.tmp", run / "plots" / ".curves.png.77.0123abcd.tmp"]
    for path in left:
        path.write_bytes(b"{")
    shutil.copytree(other, run.parent / ".one.old")
    said: list[str] = []
    monkeypatch.setattr(verify.cli, "say", said.append)
    words = ["one", "--ckpts", str(run.parent)]
    for more, hours, gone in (([], 2, False), (["--repair"], 0, False), (["--repair"], 2, True)):
        monkeypatch.setattr(verify.time, "time", lambda hours=hours: NOW + 3600 * hours)
        assert verify.main([*words, *more]) == 0
        assert "note: 4 unfinished files of writers that were killed" in said[0]
        for path in (*left, step, run.parent / ".one.old"):
            assert path.exists() is not gone
        said.clear()
    assert sorted(path for path in run.parent.rglob("*") if path.is_file()) == before


def test_a_folder_of_somebody_else_beside_a_run_stays(pair: tuple[Path, Path]) -> None:
    run, _ = pair
    (run.parent / ".one.new").mkdir()
    (run.parent / ".one.new" / "mine.txt").write_text("mine")
    os.utime(run.parent / ".one.new" / "mine.txt", (0, 0))
    os.utime(run.parent / ".one.new", (0, 0))
    assert verify.main(["one", "--ckpts", str(run.parent), "--repair"]) == verify.DAMAGED
    assert (run.parent / ".one.new" / "mine.txt").exists()
