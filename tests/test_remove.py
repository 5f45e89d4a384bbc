"""`jaxreg remove`, and what `jaxreg list` says of bytes and users."""

import hashlib
import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import jaxreg
from jaxreg import list as list_command
from jaxreg import remove
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, Stopped
from planted_runs import edit_dataset, run_quick


def removed(planted: Path, name: str, *more: str) -> list[str]:
    """The files below the cache and the runs that went."""
    root = planted.parent
    before = {path for path in root.rglob("*") if path.is_file()}
    places = ["--cache", str(planted), "--ckpts", str(root / "ckpts"), *more]
    assert remove.main([name, *places]) == 0
    after = {path for path in root.rglob("*") if path.is_file()}
    assert after <= before
    return sorted(path.relative_to(root).as_posix() for path in before - after)


def add_part(cache: Cache, first: int, count: int) -> list[str]:
    """A part of features in the planted feature set, for images that nobody else has."""
    features = np.random.default_rng(first).normal(size=(count, 12)).astype(np.float32)
    digests = [hashlib.sha256(f"{first}-{i}".encode()).hexdigest() for i in range(count)]
    cache.add(cache.feature_sets()[0], Column(), digests, features)
    return digests


def other_dataset(planted: Path, rows: list[int], name: str = "other") -> None:
    """A dataset of some rows of the planted one."""
    cache = Cache(planted)
    dataset = replace(read_dataset(cache, "planted").rows(np.array(rows)), name=name)
    write_dataset(cache, dataset)


def test_the_only_dataset_goes_with_its_features(planted: Path) -> None:
    gone = removed(planted, "planted", "--yes")
    assert "cache/datasets/planted.parquet" in gone
    assert not [path for path in planted.rglob("*") if path.is_file()]


def test_a_dataset_leaves_what_another_needs(planted: Path) -> None:
    cache = Cache(planted)
    own = add_part(cache, 1, 3)
    other_dataset(planted, [5, 6])
    (planted / "datasets" / "planted.failed.csv").write_text("id,reason\n")
    table = read_dataset(cache, "planted").table
    digests = [*own, *table["digest"].to_pylist()[3:]]
    edit_dataset(planted, table=table.set_column(1, "digest", [digests]))
    gone = removed(planted, "planted", "--yes")
    assert [path for path in gone if "part-" not in path] == [
        "cache/datasets/planted.failed.csv",
        "cache/datasets/planted.parquet",
    ]
    assert len(gone) == 3  # the part of the three images, but not that of row 5 and its neighbours
    assert len(cache.read(cache.feature_sets()[0], [Column()], digests[5:7])) == 2


def test_what_a_run_or_a_dataset_needs_stays(planted: Path) -> None:
    run = run_quick(planted, run="one", epochs=1)
    feature_set = Cache(planted).feature_sets()[0]
    with pytest.raises(InputError, match=r"the dataset planted is needed by .*ckpts/one"):
        removed(planted, "planted", "--yes")
    with pytest.raises(InputError, match=r"the feature set .* is needed by planted, .*ckpts/one"):
        removed(planted, feature_set, "--yes")
    gone = removed(planted, "one", "--yes")
    assert "ckpts/one/config.json" in gone
    assert not run.path.exists()
    assert removed(planted, "planted", "--yes")


def test_a_run_of_another_cache_needs_nothing_here(planted: Path) -> None:
    run = run_quick(planted, run="one", epochs=1)
    second = shutil.copytree(planted, planted.parent / "second")
    places = ["--cache", str(second), "--ckpts", str(planted.parent / "ckpts"), "--yes"]
    assert remove.main(["planted", *places]) == 0
    assert jaxreg.load_run(run.path).path == run.path


def test_a_feature_set_that_nobody_needs(planted: Path) -> None:
    cache = Cache(planted)
    other = Recipe(weights="random:1:v1", weights_tag="random1")
    cache.make_feature_set(other, None)
    digests = read_dataset(cache, "planted").digests
    cache.add(other.feature_set, Column(), digests, np.ones((240, 4), np.float32))
    notes = planted / "features" / other.feature_set / "my.notes.txt"
    notes.write_text("mine")
    with pytest.raises(InputError, match=r"holds a file that jaxreg did not write: .*my\.notes"):
        removed(planted, other.feature_set, "--yes")
    notes.unlink()
    gone = removed(planted, other.feature_set, "--yes")
    assert all(path.startswith(f"cache/features/{other.feature_set}/") for path in gone)
    assert not (planted / "features" / other.feature_set).exists()


def test_a_run_with_a_foreign_file_or_behind_a_link_stays(planted: Path) -> None:
    run = run_quick(planted, run="one", epochs=1)
    link = run.path.with_name("link")
    link.symlink_to(run.path)
    with pytest.raises(InputError, match="is a link"):
        removed(planted, "link", "--yes")
    (run.path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"did not write: notes\.txt"):
        removed(planted, "one", "--yes")
    assert (run.path / "summary.json").exists()


def test_a_run_that_trains_now_stays(planted: Path) -> None:
    with pytest.raises(Stopped):
        run_quick(planted, run="one", should_stop=lambda: True)
    with pytest.raises(InputError, match="is not finished, and a training wrote to it"):
        removed(planted, "one", "--yes")
    for path in (planted.parent / "ckpts" / "one").rglob("*"):
        os.utime(path, (1, 1))
    assert "ckpts/one/config.json" in removed(planted, "one", "--yes")


def test_a_damaged_dataset_can_go_but_not_what_it_may_need(planted: Path) -> None:
    other_dataset(planted, [5, 6])
    path = planted / "datasets" / "other.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"other\.parquet is damaged"):
        removed(planted, "planted", "--yes")
    assert removed(planted, "other", "--yes") == ["cache/datasets/other.parquet"]


def test_nothing_goes_without_a_yes(planted: Path, monkeypatch, capsys) -> None:
    with pytest.raises(InputError, match=r"nothing was removed\n  try: ") as caught:
        removed(planted, "planted")
    ckpts = planted.parent / "ckpts"
    same = f"jaxreg remove planted --cache {planted} --ckpts {ckpts} --yes"
    assert caught.value.remedy == same  # not the dataset of this name in ./cache
    assert "the dataset planted: 4 files" in capsys.readouterr().err
    for answer, count in [("n\n", 0), ("", 0), ("y\n", 4)]:
        terminal = io.StringIO(answer)
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr("sys.stdin", terminal)
        if count:
            assert len(removed(planted, "planted")) == count
        else:
            with pytest.raises(InputError, match="nothing was removed"):
                removed(planted, "planted")


def test_a_name_of_nothing_or_of_two_things(planted: Path) -> None:
    with pytest.raises(
        InputError, match=r"no dataset or feature set 'plantd'[\s\S]*try: jaxreg remove planted"
    ):
        removed(planted, "plantd", "--yes")
    run_quick(planted, run="planted", epochs=1)
    table = planted / "datasets" / "planted.parquet"
    with pytest.raises(InputError, match=r"planted is the dataset planted and the run .*planted"):
        removed(planted, "planted", "--yes")
    with pytest.raises(InputError, match=r"the dataset planted is needed by "):
        removed(planted, str(table), "--yes")
    assert "ckpts/planted/config.json" in removed(
        planted, str(planted.parent / "ckpts" / "planted"), "--yes"
    )


def test_list_shows_bytes_and_users(planted: Path, capsys) -> None:
    run = run_quick(planted, run="one", epochs=1)
    places = ["--cache", str(planted), "--ckpts", str(planted.parent / "ckpts"), "--json"]
    capsys.readouterr()
    assert list_command.main(["datasets", *places]) == 0
    row = json.loads(capsys.readouterr().out)["datasets"][0]
    file = planted / "datasets" / "planted.parquet"
    assert (row["rows"], row["bytes"]) == (pq.read_metadata(file).num_rows, file.stat().st_size)
    assert row["runs"] == [str(run.path)]
    assert list_command.main(["feature-sets", *places]) == 0
    row = json.loads(capsys.readouterr().out)["feature-sets"][0]
    parts = (planted / "features").rglob("part-*.parquet")
    assert row["bytes"] == sum(path.stat().st_size for path in parts)
    assert (row["datasets"], row["runs"]) == (["planted"], [str(run.path)])


def test_list_names_only_the_users_of_a_column(planted: Path, capsys) -> None:
    """A feature set with two columns: `other` has images in the second alone."""
    run = run_quick(planted, run="one", epochs=1)
    cache = Cache(planted)
    [feature_set] = cache.feature_sets()
    column, digests = Column(layer="mixed2"), [f"{i:064x}" for i in range(8)]
    cache.add(feature_set, column, digests, np.ones((8, 3), np.float32))
    dataset = read_dataset(cache, "planted").rows(np.arange(8))
    table = dataset.table.set_column(1, "digest", pa.array(digests))
    write_dataset(cache, replace(dataset, name="other", table=table, columns=(column,)))
    capsys.readouterr()
    places = ["--cache", str(planted), "--ckpts", str(planted.parent / "ckpts"), "--json"]
    assert list_command.main(["feature-sets", *places]) == 0
    rows = json.loads(capsys.readouterr().out)["feature-sets"]
    users = {row["column"]: (row["datasets"], row["runs"]) for row in rows}
    assert users == {
        "identity.mixed10.avg": (["planted"], [str(run.path)]),
        "identity.mixed2.avg": (["other"], []),
    }


def test_a_feature_set_that_is_being_made_stays(planted: Path) -> None:
    """Another extraction has written its recipe, and no part yet."""
    other = Recipe(weights="random:1:v1", weights_tag="random1")
    Cache(planted).make_feature_set(other, None)
    removed(planted, "planted", "--yes")
    assert Cache(planted).feature_sets() == [other.feature_set]


def test_a_run_in_a_folder_of_the_runs_needs_its_dataset(planted: Path, capsys) -> None:
    run = run_quick(planted, run=planted.parent / "ckpts" / "project" / "one", epochs=1)
    with pytest.raises(InputError, match=r"is needed by .*project/one"):
        removed(planted, "planted", "--yes")
    shutil.rmtree(run.path)
    capsys.readouterr()
    removed(planted, "planted", "--yes")
    assert "ckpts was trained on" in capsys.readouterr().err


def test_what_a_damaged_dataset_needs_is_not_known(planted: Path) -> None:
    feature_set = Cache(planted).feature_sets()[0]
    (planted / "datasets" / "planted.parquet").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"planted\.parquet is damaged"):
        removed(planted, feature_set, "--yes")
    (planted / "datasets" / "link.parquet").symlink_to("nowhere")
    assert removed(planted, "planted", "--yes") == ["cache/datasets/planted.parquet"]


def test_a_folder_in_the_place_of_a_table_is_named(planted: Path) -> None:
    table = planted / "datasets" / "planted.parquet"
    table.unlink()
    table.mkdir()
    (table / "x").write_text("of somebody else")
    with pytest.raises(InputError, match=r"planted\.parquet is a folder"):
        removed(planted, "planted", "--yes")
    assert (table / "x").exists()
