"""What cannot be trained says why, before anything is computed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import jaxreg
from cache_files import part_paths
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.common.json_files import write_json
from jaxreg.errors import InputError
from planted_runs import digests_of, edit_dataset, run_quick, with_column


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"target": ("angel",)},
            r"no column 'angel' in planted\n  expected: a numeric column: angle",
        ),
        ({"target": ("planted",)}, "'planted' is a dataset, not a column"),
        ({"target": ("mixed",)}, "the target mixed holds string, not numbers: 'fast' in row-17"),
        ({"target": ("nothing",)}, "no row of planted has a number for nothing"),
        ({"target": ("angle", "angle")}, "expected: each column once"),
        ({"feature_set": "vgg"}, "--feature-set vgg fits no feature sets"),
        (
            {"layers": ("mixed2",)},
            r"has no identity\.mixed2\.avg .*\n.*\n  try: .*planted.csv .* --columns mixed2\.avg",
        ),
        ({"layers": ("mixd10",)}, r"has no identity\.mixd10\.avg .*\n.*\n  try: --layers mixed10$"),
        ({"layers": ("last",)}, r"has no identity\.last\.avg .*\n.*\n  try: --layers mixed10$"),
        ({"pool": "grid:0x4"}, "no pool 'grid:0x4'"),
        ({"split": "blokcs"}, "blocks"),
        ({"split": "group:nope"}, "nope"),
        ({"validation": 1.5}, "--validation is 1.5"),
        ({"components": 13}, "--components 13, but there are [0-9]+ training rows of 12 columns"),
        ({"components": 0}, "--components is 0\n  expected: from 1 to"),
        ({"head": "tree"}, "--head is tree\n  expected: mlp or ridge"),
        ({"head": "ridge", "scale_features": False}, "--head ridge with --no-scale-features"),
        ({"components": 3, "scale_features": False}, "--components with --no-scale-features"),
        ({"batch_size": 0}, "--batch-size is 0\n  expected: from 1 to"),
        ({"decay_rate": 0.0}, "--decay-rate is 0.0"),
        (
            {"learning_rte": 0.1},
            r"no setting 'learning_rte'[\s\S]*try: use the setting learning_rate",
        ),
    ],
)
def test_what_cannot_be_trained_says_why(planted: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_quick(planted, **options)
    assert not list((planted.parent / "ckpts").glob("*"))


def test_the_rows_that_lack_each_target_are_counted(planted: Path) -> None:
    table = read_dataset(Cache(planted), "planted").table
    speed = pa.array([None if i in (0, 7) else float(i) for i in range(240)], pa.float64())
    edit_dataset(planted, table=with_column(table, "speed", speed))
    # `gaps` lacks rows 0, 60, 120 and 180; row 0 lacks both
    run = run_quick(planted, target=("angle", "gaps", "speed"), head="ridge", split="hash")
    lacks = "4 rows lack gaps, 2 rows lack speed. Each target is learned from the rows that have it"
    assert run.summary["notes"][-1] == lacks
    assert run.summary["rows"]["left-out"] == 0
    run = run_quick(planted, target=("gaps", "speed"), head="ridge", split="hash")
    assert run.summary["rows"]["left-out"] == 1
    left_out = "1 row has no number for any target and is left out: row-0"
    assert run.summary["notes"][-2:] == [lacks, left_out]


def test_a_target_that_no_row_has_is_named(planted: Path) -> None:
    message = (
        r"no row of planted has a number for nothing\n"
        r"  expected: rows with a number for each target\n"
        r"  try: --target angle$"
    )
    with pytest.raises(InputError, match=message):
        run_quick(planted, target=("angle", "nothing"))


def test_an_unknown_dataset_and_none_named(planted: Path) -> None:
    with pytest.raises(InputError, match=r"no dataset 'plnted'[\s\S]*try: use the dataset planted"):
        jaxreg.train_head("plnted", cache=planted)
    cache = Cache(planted)
    write_dataset(cache, replace(read_dataset(cache, "planted"), name="other"))
    with pytest.raises(InputError, match=r"which dataset of .*\?\n    other: 240 rows\n"):
        jaxreg.train_head(cache=planted)
    with pytest.raises(InputError, match="no dataset in"):
        jaxreg.train_head(cache=planted / "none")


def test_one_row_cannot_be_split(planted: Path) -> None:
    edit_dataset(planted, table=lambda dataset: dataset.table.slice(0, 1))
    with pytest.raises(InputError, match="the dataset has 1 usable row"):
        run_quick(planted)


def test_a_damaged_part_names_the_file_and_the_command_that_mends_it(planted: Path) -> None:
    feature_set = Cache(planted).feature_sets()[0]
    part = part_paths(Cache(planted), feature_set, Column())[0]
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{part.name}[\s\S]*jaxreg extract planted\.csv"):
        run_quick(planted)


def test_a_part_of_another_recipe_is_refused(planted: Path) -> None:
    feature_set = Cache(planted).feature_sets()[0]
    record = planted / "features" / feature_set / "feature_set.json"
    changed = json.loads(record.read_text())
    changed["recipe"]["preprocess"] = "unit"
    write_json(record, changed)
    with pytest.raises(InputError, match="is that of inception"):
        run_quick(planted)


def test_features_that_are_not_finite_are_named(planted: Path) -> None:
    cache = Cache(planted)
    feature_set, column = cache.feature_sets()[0], cache.columns(cache.feature_sets()[0])[0]
    digests = digests_of(planted)
    features = cache.read(feature_set, [column], digests)
    features[5, 0] = np.nan
    for part in part_paths(cache, feature_set, column):
        part.unlink()
    cache.add(feature_set, column, digests, features)
    with pytest.raises(InputError, match="the features of 1 rows are not finite, first row-5"):
        run_quick(planted)


def test_files_where_folders_are_expected(planted: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"):
        run_quick(planted, ckpts=tmp_path / "file")
    with pytest.raises(InputError, match="is a file"):
        run_quick(planted, run=tmp_path / "file")


def test_targets_beyond_float32_are_refused(planted: Path) -> None:
    huge = pa.array(np.linspace(-1e300, 1e300, 240))
    edit_dataset(planted, table=lambda dataset: with_column(dataset.table, "angle", huge))
    with pytest.raises(InputError, match=r"the target angle reaches 1e\+300"):
        run_quick(planted)


def test_a_column_that_is_not_there_gets_the_nearest_as_it_was_asked(planted: Path) -> None:
    with pytest.raises(
        InputError, match=r"no identity.mixed11.avg[\s\S]*try: --columns mixed10.avg"
    ):
        run_quick(planted, columns="mixed11.avg")
    with pytest.raises(InputError, match=r"try: --columns mixed10.avg mixed10.grid2x4$"):
        run_quick(planted, columns=("mixed10.avg", "mixd10.grid2x4"))
    with pytest.raises(InputError, match=r"no identity.mixed11.avg[\s\S]*try: --layers mixed10"):
        run_quick(planted, layers="mixed11")
    with pytest.raises(InputError, match=r"no column 'nonsense'\n  expected: LAYER.POOL"):
        run_quick(planted, columns="nonsense")


def test_another_feature_set_offers_a_column_as_the_columns_were_asked(planted: Path) -> None:
    cache = Cache(planted)
    recipe = Recipe(weights="random:5:v1", weights_tag="random5")
    cache.make_feature_set(recipe, None)
    rows = np.ones((1, 4), np.float32)
    cache.add(recipe.feature_set, Column(layer="mixed3", pool="max"), ["0" * 64], rows)
    for asked, remedy in [
        ({"columns": ("mixed10.avg",)}, "--columns mixed3.max"),
        ({"layers": ("mixed10",)}, "--layers mixed3 --pool max"),
    ]:
        with pytest.raises(InputError) as refused:
            run_quick(planted, feature_set=recipe.feature_set, **asked)
        assert refused.value.remedy == remedy


def test_a_run_of_format_1_is_refused_with_the_command_that_trains_it_again(planted: Path) -> None:
    old = planted.parent / "ckpts" / "old"
    old.mkdir(parents=True)
    (old / "config.json").write_text('{"format": 1, "dataset": "planted"}')
    with pytest.raises(
        InputError, match=r"has format 1\n.*\n  try: jaxreg train planted --run .*old-again"
    ):
        jaxreg.load_run(old)
