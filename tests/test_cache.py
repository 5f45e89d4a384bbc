"""Parts, columns, feature sets and datasets on disk."""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cache_files import part_paths
from jaxreg.cache.dataset_table import Dataset, make_dataset
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.object_store import LocalStore
from jaxreg.cache.parts import DamagedPart, list_parts, read_part, write_part
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.common.json_files import write_json
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.sources.examples import Examples

RECIPE = Recipe(weights="random:0:v1", weights_tag="random0")
AVG = Column()


def digest_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


DIGESTS = [digest_of(i) for i in range(6)]
FEATURES = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)


@pytest.fixture
def cache(tmp_path) -> Cache:
    cache = Cache(tmp_path / "cache")
    cache.make_feature_set(RECIPE, None)
    cache.add(RECIPE.feature_set, AVG, DIGESTS[:3], FEATURES[:3])
    cache.add(RECIPE.feature_set, AVG, DIGESTS[3:], FEATURES[3:])
    return cache


def test_a_part_is_named_by_its_bytes_and_opens_in_any_parquet_reader(cache: Cache) -> None:
    parts = part_paths(cache, RECIPE.feature_set, AVG)
    assert len(parts) == 2
    for path in parts:
        assert path.parent.name == "identity.mixed10.avg"
        assert path.name == f"part-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.parquet"
        table = pq.read_table(path)
        assert table.column_names == ["digest", "feature"]
        assert table.schema.field("feature").type == pa.list_(pa.float32(), 5)
    assert not list(Path(cache.root).rglob("*.tmp"))


def test_rows_come_back_in_the_order_asked_for(cache: Cache) -> None:
    wanted = [5, 0, 3, 0]
    rows = cache.read(RECIPE.feature_set, [AVG], [DIGESTS[i] for i in wanted])
    np.testing.assert_array_equal(rows, FEATURES[wanted])


def test_several_columns_stand_side_by_side(cache: Cache) -> None:
    grid = Column(layer="mixed2", pool="grid:1x4")
    cache.add(RECIPE.feature_set, grid, DIGESTS, FEATURES[:, :2])
    rows = cache.read(RECIPE.feature_set, [grid, AVG], DIGESTS)
    np.testing.assert_array_equal(rows, np.hstack([FEATURES[:, :2], FEATURES]))
    assert cache.columns(RECIPE.feature_set) == [AVG, grid]


def test_of_two_parts_with_one_digest_the_first_by_name_counts(cache: Cache) -> None:
    cache.add(RECIPE.feature_set, AVG, DIGESTS[:1], FEATURES[:1] + 1)
    parts = list_parts(cache.store, cache.folder(RECIPE.feature_set, AVG))
    tables = [read_part(cache.store, key) for key in parts]
    first = next(table for table in tables if DIGESTS[0] in table["digest"].to_pylist())
    position = first["digest"].to_pylist().index(DIGESTS[0])
    expected = first["feature"].to_pylist()[position]
    assert cache.read(RECIPE.feature_set, [AVG], DIGESTS[:1])[0].tolist() == expected


def test_half_precision_comes_back_as_it_was_stored(tmp_path) -> None:
    cache = Cache(tmp_path)
    cache.add(RECIPE.feature_set, AVG, DIGESTS, FEATURES.astype(np.float16))
    rows = cache.read(RECIPE.feature_set, [AVG], DIGESTS)
    assert rows.dtype == np.float16
    np.testing.assert_array_equal(rows, FEATURES.astype(np.float16))
    cache.check_dtype(RECIPE.feature_set, AVG, "float16")
    with pytest.raises(InputError, match="holds float16, and --dtype float32 was asked for"):
        cache.check_dtype(RECIPE.feature_set, AVG, "float32")


def test_every_byte_flipped_and_every_truncation_of_a_part_is_noticed(tmp_path) -> None:
    store = LocalStore(tmp_path)
    key = write_part(store, "thumbnails", pa.table({"digest": ["a"]}))
    path = tmp_path / key
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(DamagedPart):
            read_part(store, key)
        path.write_bytes(whole[:position])
        with pytest.raises(DamagedPart, match="is damaged"):
            read_part(store, key)


def test_a_damaged_part_is_an_error_to_read_and_a_miss_to_extract(cache: Cache) -> None:
    part = part_paths(cache, RECIPE.feature_set, AVG)[0]
    dead = pq.read_table(part)["digest"].to_pylist()
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(DamagedPart, match=part.name):
        cache.read(RECIPE.feature_set, [AVG], DIGESTS)
    reported = []
    present = cache.present(cache.folder(RECIPE.feature_set, AVG), reported.append)
    assert present == set(DIGESTS) - set(dead)
    assert reported == [f"{part}.bad"]
    with pytest.raises(InputError, match=r"3 images have no identity\.mixed10\.avg features"):
        cache.read(RECIPE.feature_set, [AVG], DIGESTS)


def test_a_feature_set_says_its_whole_recipe_and_holds_no_other(cache: Cache, tmp_path) -> None:
    path = Path(cache.root) / "features" / RECIPE.feature_set / "feature_set.json"
    record = json.loads(path.read_text())
    assert record["format"] == 2
    assert record["recipe"] == {
        "backbone": "inception_v3",
        "weights": "random:0:v1",
        "size": [299, 299],
        "resize": "bilinear-half-pixel",
        "preprocess": "keras",
        "precision": "float32",
        "decode": 1,
        "engine": None,
    }
    assert cache.recipe(RECIPE.feature_set) == RECIPE
    record["recipe"]["preprocess"] = "unit"
    write_json(path, record)
    with pytest.raises(InputError, match="holds another recipe"):
        cache.make_feature_set(RECIPE, None)
    with pytest.raises(InputError, match="is that of inception"):
        cache.recipe(RECIPE.feature_set)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', None])
def test_a_damaged_feature_set_is_an_error_to_read_and_extract_writes_it_anew(
    cache: Cache, text: str | None
) -> None:
    path = Path(cache.root) / "features" / RECIPE.feature_set / "feature_set.json"
    whole = path.read_text()
    path.write_text(whole.replace('"keras"', '"unit"') if text is None else text)
    with pytest.raises(InputError, match="extract again"):
        cache.recipe(RECIPE.feature_set)
    cache.make_feature_set(RECIPE, None)  # as extract does, which knows the recipe
    assert path.read_text() == whole


def test_a_feature_set_of_format_1_is_passed_over(cache: Cache) -> None:
    folder = Path(cache.root) / "features" / "inception_v3-random1-299x299-00000000"
    folder.mkdir()
    (folder / "space.json").write_text('{"format": 1}')
    assert cache.feature_sets() == [RECIPE.feature_set]


def test_the_fingerprint_is_fixed_for_ever() -> None:
    # by hand: SHA-256 of the fields' JSON, keys sorted; another value here would orphan caches
    text = (
        '{"backbone": "inception_v3", "decode": 1, "engine": null, "precision": "float32", '
        '"preprocess": "keras", "resize": "bilinear-half-pixel", "size": [299, 299], '
        '"weights": "random:0:v1"}'
    )
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert RECIPE.fingerprint == expected
    assert RECIPE.feature_set == f"inception_v3-random0-299x299-{expected[:8]}"
    assert Recipe.from_json(RECIPE.to_json(), "random0", RECIPE.feature_set) == RECIPE
    asked = Recipe("random:0:v1", "random0", precision="int8", engine="openvino")
    int8 = replace(asked, quantized="f" * 64)
    assert len({recipe.fingerprint for recipe in (RECIPE, asked, int8)}) == 3
    assert Recipe.from_json(int8.to_json(), "random0", int8.feature_set) == int8


def test_a_feature_set_is_found_by_its_unique_start(cache: Cache) -> None:
    other = Recipe(weights="random:1:v1", weights_tag="random1")
    cache.make_feature_set(other, None)
    assert cache.find_feature_set("inception_v3-random1") == other.feature_set
    with pytest.raises(InputError, match="fits 2 feature sets"):
        cache.find_feature_set("inception")
    with pytest.raises(InputError, match="fits no feature sets"):
        cache.find_feature_set("vgg")


def examples(ids: list[str]) -> Examples:
    return Examples(
        ids=tuple(ids),
        images=[b""] * len(ids),
        columns=pa.table(
            {"angle": [0.5 * i for i in range(len(ids))], "mode": ["user"] * len(ids)}
        ),
        description={"kind": "tub", "location": "t/"},
        group=tuple("a" for _ in ids),
        targets=("angle",),
    )


def dataset(name: str, ids: list[str], digests: Sequence[str | None]) -> Dataset:
    return make_dataset(
        name,
        examples(ids),
        digests,
        feature_set=RECIPE.feature_set,
        columns=[AVG],
        opened="my tub",
        options=SourceOptions(id_column="name"),
        settings=ExtractConfig(size=(75, 75), layers=("mixed2", "mixed4"), pool="max", shard="0/2"),
    )


def test_a_dataset_keeps_its_columns_and_says_what_changed(cache: Cache) -> None:
    first = dataset("drive", ["a", "b", "c"], [*DIGESTS[:2], None])
    assert write_dataset(cache, first) == "2 rows"
    again = read_dataset(cache, "drive")
    assert again == first
    assert again.table.column_names == ["id", "digest", "order", "group", "angle", "mode"]
    assert again.numeric_columns == ["angle"]
    second = dataset("drive", ["b", "c", "d"], DIGESTS[:3])
    assert write_dataset(cache, second) == "3 rows (2 added, 1 gone)"
    _, metadata = table_and_metadata(cache, "drive")
    assert (metadata["format"], metadata["feature_set"]) == (2, RECIPE.feature_set)
    assert (metadata["opened"], metadata["options"]) == ("my tub", {"id_column": "name"})
    assert metadata["settings"]["size"] == [75, 75]
    assert "shard" not in metadata["settings"]


def table_and_metadata(cache: Cache, name: str) -> tuple[pa.Table, dict]:
    table = pq.read_table(Path(cache.root) / "datasets" / f"{name}.parquet")
    return table, json.loads(table.schema.metadata[b"jaxreg"])


def rewrite(cache: Cache, name: str, table: pa.Table, metadata: dict) -> None:
    table = table.replace_schema_metadata({"jaxreg": json.dumps(metadata)})
    pq.write_table(table, Path(cache.root) / "datasets" / f"{name}.parquet")


def test_a_changed_dataset_is_an_error_to_read(cache: Cache) -> None:
    write_dataset(cache, dataset("drive", ["a", "b"], DIGESTS[:2]))
    table, metadata = table_and_metadata(cache, "drive")
    rewrite(cache, "drive", table, metadata)  # other bytes, the same content
    assert len(read_dataset(cache, "drive")) == 2
    angle = table.column_names.index("angle")
    changes = [
        (table.set_column(angle, "angle", pa.array([0.0, 0.25])), metadata),
        (table.set_column(angle, "angle", table["angle"].cast(pa.float32())), metadata),
        (table.slice(0, 1), metadata),
        (table, {**metadata, "targets": ["mode"]}),
        (table, {**metadata, "settings": {}}),
    ]
    for changed, facts in changes:
        rewrite(cache, "drive", changed, facts)
        with pytest.raises(InputError, match=r"SHA-256[\s\S]*try: jaxreg extract t/ --name drive"):
            read_dataset(cache, "drive")


@pytest.mark.parametrize(
    ("source", "opened"),
    [
        ({"kind": "tub", "location": "my tub"}, "'my tub'"),
        ({"kind": "road", "count": 50}, "road:50"),
    ],
)
def test_a_dataset_of_format_1_names_the_command_that_computes_it_again(
    cache: Cache, source: dict, opened: str
) -> None:
    write_dataset(cache, dataset("drive", ["a"], DIGESTS[:1]))
    table, _ = table_and_metadata(cache, "drive")
    rewrite(cache, "drive", table, {"format": 1, "source": source, "extract_command": "x"})
    with pytest.raises(InputError) as caught:
        read_dataset(cache, "drive")
    assert caught.value.found.endswith("drive.parquet has format 1")
    again = f"jaxreg extract {opened} --name drive --cache {cache.root}"
    assert caught.value.remedy == again
    assert write_dataset(cache, dataset("drive", ["a"], DIGESTS[:1])) == "1 rows"


def test_the_extract_command_with_other_settings(cache: Cache) -> None:
    write_dataset(cache, dataset("drive", ["a"], DIGESTS[:1]))
    there = read_dataset(cache, "drive")
    start = f"jaxreg extract 'my tub' --name drive --cache {cache.root} --id-column name"
    assert there.extract_command() == f"{start} --size 75 75 --layers mixed2 mixed4 --pool max"
    changed = there.extract_command(layers=("mixed1",), pool=None, views=("identity", "mirror"))
    assert changed == f"{start} --size 75 75 --layers mixed1 --views identity mirror"
    columns = there.extract_command(columns=("mixed10.avg", "mixed2.grid2x4"))
    assert columns == f"{start} --size 75 75 --columns mixed10.avg mixed2.grid2x4"


def test_without_a_dataset_the_remedy_names_the_cache(tmp_path) -> None:
    with pytest.raises(InputError, match=r"expected: a dataset; none is there yet") as caught:
        read_dataset(Cache(tmp_path), "drive")
    assert caught.value.remedy == f"jaxreg extract SOURCE --name drive --cache {tmp_path}"


def test_an_unknown_dataset_gets_the_nearest_name(cache: Cache) -> None:
    write_dataset(cache, dataset("drive", ["a"], DIGESTS[:1]))
    with pytest.raises(InputError, match=r"no dataset 'drvie' in .*\n  expected: one of: drive\n"):
        read_dataset(cache, "drvie")
    (Path(cache.root) / "datasets" / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="is damaged or not a dataset"):
        read_dataset(cache, "broken")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_dataset_that_is_no_file_is_refused_at_once(cache: Cache) -> None:
    write_dataset(cache, dataset("drive", ["a"], DIGESTS[:1]))
    os.mkfifo(Path(cache.root) / "datasets" / "pipe.parquet")
    with pytest.raises(InputError, match=r"pipe.parquet is damaged or not .* a FIFO"):
        read_dataset(cache, "pipe")


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, None, 3], pa.timestamp("s")),
        pa.array([1_600_000_000_123_456_789, 0, 1], pa.timestamp("ns")),
        pa.array([1, 2, 3], pa.time32("s")),
        pa.array([86_400_000, 0, None], pa.date64()),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array([Decimal("1.50"), None, Decimal("2")], pa.decimal128(8, 2)),
    ],
    ids=lambda values: str(values.type),
)
def test_a_dataset_with_columns_of_any_type_is_read_as_it_was_written(
    tmp_path: Path, values: pa.Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)  # users need not have it
    cache = Cache(tmp_path)
    examples = Examples(("a", "b", "c"), [b""] * 3, pa.table({"x": values}), {"kind": "test"})
    dataset = make_dataset(
        "typed", examples, ["0" * 64] * 3, feature_set="f", columns=[Column()],
        opened="typed.csv", options=SourceOptions(), settings=ExtractConfig(),
    )  # fmt: skip
    write_dataset(cache, dataset)
    again = read_dataset(cache, "typed")
    written = pa.chunked_array([values]).cast(again.table["x"].type)
    assert again.table["x"].cast(pa.string()) == written.cast(pa.string())
