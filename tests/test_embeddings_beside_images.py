"""Embeddings and features of images in one dataset and in one run."""

import dataclasses
import io
import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import jaxreg
from cache_files import checked
from jaxreg import bundle
from jaxreg.arguments import parse
from jaxreg.cache.dataset_table import make_dataset
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.embeddings import Embeddings
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extract import ExtractArguments
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.sources.examples import Examples
from jaxreg.sources.pixels import digest
from jaxreg.train import _next_command
from jaxreg.usage import Usage

ROWS, BROKEN = 40, 5
RECIPE = Recipe(weights="random:0:v1", weights_tag="random0")
AVG = Column()


def _png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = [_png(row) for row in range(ROWS)]
FEATURES = np.random.default_rng(1).normal(size=(ROWS, 6)).astype(np.float32)
VECTORS = np.random.default_rng(2).normal(size=(ROWS, 4)).astype(np.float32)


def examples(**changes: Any) -> Examples:
    made = Examples(
        ids=tuple(f"r{row}" for row in range(ROWS)),
        images=IMAGES,
        columns=pa.table({"y": FEATURES[:, 0] + VECTORS[:, 0].astype(np.float64)}),
        description={"kind": "test"},
    )
    return dataclasses.replace(made, **changes)


@pytest.fixture
def both(tmp_path: Path) -> Cache:
    """A dataset with features of images, as if a network had computed them, and embeddings.

    One image is broken, and another row has no vector.
    """
    cache = Cache(tmp_path / "cache")
    cache.make_feature_set(RECIPE, None)
    digests: list[str | None] = list(map(digest, IMAGES))
    cache.add(RECIPE.feature_set, AVG, list(map(str, digests)), FEATURES)
    digests[BROKEN] = None
    dataset = make_dataset(
        "both",
        examples(),
        digests,
        feature_set=RECIPE.feature_set,
        columns=[AVG],
        opened="both",
        options=SourceOptions(),
        settings=ExtractConfig(weights="random"),
    )
    write_dataset(cache, dataset)
    add(cache, examples())
    return cache


def add(cache: Cache, source: Examples, vectors: np.ndarray = VECTORS[1:]) -> Any:
    """Extract embeddings of all rows but the first into the dataset."""
    file = Path(cache.root).parent / "vectors.npz"
    np.savez(file, ids=[f"r{row}" for row in range(ROWS - len(vectors), ROWS)], vectors=vectors)
    return jaxreg.extract_features(
        source,
        name="both",
        cache=cache.root,
        embeddings=str(file),
        embeddings_name="dino",
        max_failed=0.5,
    )


def test_a_dataset_keeps_the_digests_and_the_extracts_of_both(both: Cache) -> None:
    dataset = read_dataset(both, "both")
    assert len(dataset) == ROWS
    assert dataset.pictures[BROKEN] is None
    assert dataset.pictures[0] == digest(IMAGES[0])
    assert dataset.table["digest.dino"].null_count == 1
    assert [one.digest_column for one in dataset.extracted] == ["digest.dino", "digest"]
    assert dataset.split_digests[0] == digest(IMAGES[0])
    assert dataset.split_digests[BROKEN] == dataset.table["digest.dino"][BROKEN].as_py()
    assert checked(both)[1:] == ([], [])
    usage = Usage(both, Path(both.root).parent / "ckpts")
    assert usage.datasets_on(RECIPE.feature_set) == ["both"]
    assert "--embeddings" in dataset.extract_command()
    assert "--weights random" in dataset.extract_command(RECIPE.feature_set)


@pytest.mark.parametrize("names", [("mixed10.avg", "dino"), ("dino", "mixed10.avg")])
def test_columns_are_concatenated_as_they_are_named(both: Cache, names: tuple[str, ...]) -> None:
    x, y, ids, _ = jaxreg.load_features("both", cache=both.root, columns=names)
    kept = [row for row in range(ROWS) if row not in (0, BROKEN)]
    blocks = [FEATURES[kept], VECTORS[kept]]
    wanted = np.concatenate(blocks if names[0] != "dino" else blocks[::-1], axis=1)
    np.testing.assert_array_equal(x, wanted)
    assert y is not None
    np.testing.assert_allclose(y, FEATURES[kept, 0] + VECTORS[kept, 0], rtol=1e-6)
    assert ids.tolist() == [f"r{row}" for row in kept]
    named = f"{RECIPE.feature_set}/mixed10.avg"
    again = jaxreg.load_features("both", cache=both.root, columns=("dino", named))
    np.testing.assert_array_equal(again.X[:, 4:], FEATURES[kept])


def test_a_run_on_both_needs_both_to_predict(both: Cache, tmp_path: Path) -> None:
    said: list[str] = []
    settings: Any = {"columns": ("mixed10.avg", "dino"), "head": "ridge", "split": "hash"}
    run = jaxreg.train_head(
        "both", cache=both.root, ckpts=tmp_path / "ckpts", say=said.append, **settings
    )
    assert any("1 row has no features in dino" in text for text in said)
    config = json.loads((run.path / "config.json").read_text())
    dino = read_dataset(both, "both").feature_set
    assert config["settings"]["columns"] == ["identity.mixed10.avg", f"{dino}/identity.dino.none"]
    assert config["others"][dino]["recipe"] == {"kind": "embeddings", "name": "dino", "width": 4}
    assert Usage(both, tmp_path / "ckpts").runs_on(feature_set=dino) == [str(run.path)]
    with pytest.raises(InputError, match=r"embeddings dino, which jaxreg cannot compute"):
        run.predict_table(examples())
    file = tmp_path / "all.npy"
    np.save(file, VECTORS)
    table = run.predict_table(examples(), embeddings=str(file))  # the cache has the images
    told = run.predict_features(np.concatenate([FEATURES, VECTORS], axis=1))
    np.testing.assert_allclose(table["prediction.y"].to_numpy(), told[:, 0], rtol=1e-6)
    # adding other embeddings does not change what the run was trained on
    more = Path(both.root).parent / "more.npy"
    np.save(more, VECTORS[:, :2])
    jaxreg.extract_features(
        examples(), name="both", cache=both.root, embeddings=str(more), embeddings_name="clip"
    )
    again = jaxreg.train_head(
        "both", cache=both.root, ckpts=tmp_path / "ckpts", run=run.path.name, resume=True
    )
    assert again.config["dataset_sha256"] == config["dataset_sha256"]


def test_rows_that_differ_are_named_and_nothing_is_lost(both: Cache) -> None:
    changed = examples().columns.set_column(0, "y", [np.arange(ROWS) + 0.5])
    other = dataclasses.replace(examples(), columns=changed)
    file = Path(both.root).parent / "clip.npy"
    np.save(file, VECTORS)
    before = read_dataset(both, "both")
    with pytest.raises(InputError, match="y differs in 40 rows, first r0"):
        jaxreg.extract_features(
            other, name="both", cache=both.root, embeddings=str(file), embeddings_name="clip"
        )
    assert read_dataset(both, "both") == before
    # of a kind that the dataset has, the new rows win
    add(both, other)
    after = read_dataset(both, "both")
    assert after.digest_columns == ["digest", "digest.dino"]
    assert [one.digest_column for one in after.extracted] == ["digest.dino"]
    assert after.table["y"].to_pylist()[:2] == [1.5, 2.5]


def test_a_column_that_nobody_has_gets_the_nearest_name(both: Cache) -> None:
    with pytest.raises(InputError, match=r"no[\s\S]*dion[\s\S]*try: --columns dino"):
        jaxreg.load_features("both", cache=both.root, columns="dion")


ONNX_RECIPE = Recipe("ab" * 32, "net", backbone="onnx", size=(4, 4), preprocess="unit")


@pytest.fixture
def networks(both: Cache) -> Cache:
    """The same cache with features of the images from an ONNX file, which is not there any more."""
    both.make_feature_set(ONNX_RECIPE, None)
    head = Column(layer="head")
    both.add(ONNX_RECIPE.feature_set, head, list(map(digest, IMAGES)), FEATURES[:, ::-1])
    return both


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (RECIPE, "--weights random"),
        (ONNX_RECIPE, "--backbone onnx:FILE --size 4 4 --preprocess unit"),
        (Embeddings("clip", 2), "--embeddings FILE --embeddings-name clip"),
        (Recipe("cd" * 32, "imagenet", size=None), "--size native"),
    ],
)
def test_the_command_into_any_feature_set_is_one_that_extract_takes(
    both: Cache, recipe: Recipe | Embeddings, words: str
) -> None:
    command = read_dataset(both, "both").command_into(recipe)
    assert command.endswith(words)
    parse("extract", ExtractArguments, [SourceOptions, ExtractConfig], shlex.split(command)[2:])


def test_the_remedy_for_random_weights_is_of_the_network_that_has_them(
    networks: Cache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = (f"{ONNX_RECIPE.feature_set}/head.avg", "mixed10.avg", "dino")
    ckpts = tmp_path / "ckpts"
    run = jaxreg.train_head("both", cache=networks.root, ckpts=ckpts, head="ridge", columns=columns)
    remedies = {one["code"]: one["remedy"] for one in run.summary["verdict"]["findings"]}
    assert remedies["random-weights"].endswith("--weights imagenet")
    assert not {"onnx:", "--embeddings"} & {*remedies["random-weights"].split()}
    # what the next commands say of such a run
    healthy: Any = SimpleNamespace(verdict={"healthy": True})
    assert _next_command(run, healthy).endswith("predictions.csv --embeddings FILE")
    bundle.main([str(run.path), "--out", str(tmp_path / "run.zip")])
    told = capsys.readouterr().err
    assert "the ONNX file too" in told
    assert "no other file" not in told
    assert told.endswith("--weights FILE --embeddings FILE\n")
    np.save(tmp_path / "one.npy", VECTORS[:1])
    new = examples(ids=("new",), images=[_png(99)], columns=pa.table({"y": [0.0]}))
    with pytest.raises(UnavailableError, match=r"\(net\) cannot be found, and --weights x\.onnx"):
        run.predict_table(new, embeddings=str(tmp_path / "one.npy"), weights="x.onnx")


def test_a_damaged_part_is_mended_by_the_extract_that_wrote_it(both: Cache) -> None:
    part = next((Path(both.root) / "features" / RECIPE.feature_set).glob("*/part-*"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(InputError, match="is damaged") as told:
        jaxreg.load_features("both", cache=both.root, columns=("dino", "mixed10.avg"))
    assert told.value.remedy.endswith("--weights random")


def test_a_column_in_the_place_of_a_wrong_one_is_named_once(both: Cache) -> None:
    with pytest.raises(InputError) as told:
        jaxreg.load_features(
            "both", cache=both.root, feature_set="dino", columns=("dino", "dino.avg")
        )
    assert told.value.remedy == "--columns dino"
