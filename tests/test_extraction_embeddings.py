"""`extract --embeddings`: vectors that were computed elsewhere become features."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import jaxreg
from cache_files import checked, part_paths
from jaxreg import predict
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.embeddings import Embeddings
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.diagnosis.run_diagnosis import diagnose
from jaxreg.errors import InputError, TooManyFailed
from jaxreg.extract_config import SourceOptions
from jaxreg.extraction.recompute import recompute
from jaxreg.usage import Usage

ROWS, WIDTH = 60, 8
BY_ID = SourceOptions(id_column="name")


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(ROWS, WIDTH)).astype(np.float32)


@pytest.fixture
def labels(tmp_path: Path, vectors: np.ndarray) -> Path:
    """A table without images, whose target is a sum of the vectors' numbers."""
    file = tmp_path / "labels.csv"
    rows = [f"r{i},{vectors[i, 0] - vectors[i, 1]:.6f}" for i in range(ROWS)]
    file.write_text("\n".join(["name,y", *rows]) + "\n")
    return file


def extracted(labels: Path, file: Path, name: str = "dino-s14", **settings: Any) -> Any:
    settings.setdefault("options", BY_ID)
    return jaxreg.extract_features(
        labels,
        cache=labels.parent / "cache",
        embeddings=str(file),
        embeddings_name=name,
        **settings,
    )


def saved(folder: Path, vectors: np.ndarray) -> Path:
    np.save(folder / "vectors.npy", vectors)
    return folder / "vectors.npy"


def cached(folder: Path, width: int = WIDTH, name: str = "dino-s14") -> np.ndarray:
    """The features of the dataset `labels`, in the order of its rows."""
    cache, recipe = Cache(folder / "cache"), Embeddings(name, width)
    digests = read_dataset(cache, "labels").table[recipe.digest_column].to_pylist()
    return cache.read(recipe.feature_set, [recipe.column], digests)


def test_vectors_are_kept_by_the_digest_of_each(
    labels: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    done = extracted(labels, saved(tmp_path, vectors))
    assert (done.images, done.computed, done.reused, done.failed) == (ROWS, ROWS, 0, 0)
    assert (done.engine, done.columns) == (None, ("identity.dino-s14.none",))
    np.testing.assert_array_equal(cached(tmp_path), vectors)
    dataset = read_dataset(Cache(tmp_path / "cache"), "labels")
    # by hand: SHA-256 of little-endian float32
    expected = [hashlib.sha256(row.astype("<f4").tobytes()).hexdigest() for row in vectors]
    assert dataset.table["digest.dino-s14"].to_pylist() == expected
    assert dataset.pictures == [None] * ROWS
    assert dataset.ids[:2] == ["r0", "r1"]
    assert dataset.source_columns == ["name", "y"]
    vectors[7] += 1
    again = extracted(labels, saved(tmp_path, vectors))
    assert (again.computed, again.reused) == (1, ROWS - 1)
    np.testing.assert_array_equal(cached(tmp_path), vectors)


@pytest.mark.parametrize("kind", ["npz", "fixed", "list", "float16", "float64", "int"])
def test_other_files_of_vectors_are_joined_by_id(
    labels: Path, vectors: np.ndarray, tmp_path: Path, kind: str
) -> None:
    order = np.random.default_rng(0).permutation(ROWS)
    ids = [f"r{row}" for row in order]
    types = {"float16": np.float16, "float64": np.float64, "int": np.int16}
    given = (9 * vectors[order]).astype(types.get(kind, np.float32))
    if kind in ("fixed", "list"):
        file = tmp_path / "vectors.parquet"
        lists: pa.Array = pa.array(list(given), pa.list_(pa.float32()))
        if kind == "fixed":
            lists = pa.FixedSizeListArray.from_arrays(pa.array(given.reshape(-1)), WIDTH)
        pq.write_table(pa.table({"id": ids, "emb": lists, "n": range(ROWS)}), file)
    else:
        file = tmp_path / "vectors.npz"
        np.savez(file, ids=np.array(ids), vectors=given)
    assert extracted(labels, file).failed == 0
    wanted = np.empty((ROWS, WIDTH), np.float32)
    wanted[order] = given
    np.testing.assert_array_equal(cached(tmp_path), wanted)


def test_rows_and_vectors_without_each_other_are_named(
    labels: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    ids = np.array([f"r{row}" for row in range(1, ROWS)] + ["x1"])
    np.savez(tmp_path / "v.npz", ids=ids, vectors=vectors)
    said: list[str] = []
    done = extracted(labels, tmp_path / "v.npz", max_failed=0.1, say=said.append)
    assert (done.images, done.failed) == (ROWS - 1, 1)
    assert "note: 1 vector has no row and is not used: x1" in said
    listed = (tmp_path / "cache" / "datasets" / "labels.failed.csv").read_text()
    assert "r0,no vector of this id in" in listed
    with pytest.raises(TooManyFailed, match="1 of 60 rows could not be used"):
        extracted(labels, tmp_path / "v.npz")


def _bad(folder: Path, vectors: np.ndarray, kind: str) -> Path:
    """A file with one fault."""
    file = folder / "bad.npy"
    ids = np.array([f"r{row}" for row in range(ROWS)])
    if kind == "ids":
        file = folder / "bad.npz"
        np.savez(file, ids=np.where(ids == "r3", "r5", ids), vectors=vectors)
    elif kind == "no id fits":
        file = folder / "bad.npz"
        np.savez(file, ids=np.char.add("z", ids), vectors=vectors)
    elif kind == "lists":
        file = folder / "bad.parquet"
        lists = pa.array(list(vectors), pa.list_(pa.float32()))
        pq.write_table(pa.table({"id": ids, "a": lists, "b": lists}), file)
    elif kind == "other ids":
        file = folder / "bad.npz"
        np.savez(file, ids=ids[:-1], vectors=vectors)
    elif kind == "nulls":
        file = folder / "bad.parquet"
        lists = pa.array([None] * ROWS, pa.list_(pa.float32(), WIDTH))
        pq.write_table(pa.table({"id": ids, "a": lists}), file)
    elif kind == "ragged":
        file = folder / "bad.parquet"
        rows = [row[: 8 - (i == 40)] for i, row in enumerate(vectors)]
        pq.write_table(pa.table({"id": ids, "a": pa.array(rows, pa.list_(pa.float32()))}), file)
    else:
        changed = vectors.copy()
        changed[11, 2] = np.inf if kind == "infinite" else np.nan
        made: dict[str, np.ndarray] = {
            "length": vectors[:-1],
            "flat": vectors[:, 0],
            "no width": vectors[:, :0],
            "complex": vectors.astype(np.complex64),
            "objects": np.array([None] * ROWS, object),
            "text": np.array([["a"] * WIDTH] * ROWS),
            "nan": changed,
            "infinite": changed,
            "too large": vectors.astype(np.float64) * 1e300,
        }
        np.save(file, made[kind])
    return file


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("length", "has 59 vectors, and the source has 60 rows"),
        ("ids", "has the id 'r5' twice"),
        ("no id fits", r"has the id of a row[\s\S]*such as r0, r1, r2"),
        ("lists", "has 2 columns of lists: a, b"),
        ("other ids", "has 59 ids and 60 vectors"),
        ("nulls", "has no vector: all 60 lists are null"),
        ("ragged", "has vectors of 8 numbers, and one of 7 in row 40"),
        ("flat", r"holds an array of shape \(60,\)"),
        ("no width", r"holds an array of shape \(60, 0\)"),
        ("complex", "holds vectors of complex64"),
        ("objects", "Python objects, which jaxreg never unpickles"),
        ("text", "holds vectors of <U1"),
        ("nan", "1 vector holds NaN, infinite or too large numbers.*first that of r11"),
        ("infinite", "1 vector holds NaN, infinite or too large numbers.*first that of r11"),
        ("too large", "60 vectors hold NaN, infinite or too large numbers.*first that of r0"),
    ],
)
def test_files_that_cannot_be_used(
    labels: Path, vectors: np.ndarray, tmp_path: Path, kind: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        extracted(labels, _bad(tmp_path, vectors, kind))
    assert not (tmp_path / "cache" / "datasets").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "imagenet"}, "--weights with --embeddings"),
        ({"backbone": "vgg16"}, "--backbone with --embeddings"),
        ({"views": ("identity", "mirror")}, "--views with --embeddings"),
        ({"preset": "best"}, "--preset with --embeddings"),
        ({"batch_size": 3}, "--batch-size with --embeddings"),
        ({"name": "a.b", "embeddings_name": "a.b"}, r"--embeddings-name 'a\.b'"),
        ({"embeddings_name": None}, "--embeddings without --embeddings-name"),
        ({"embeddings": None}, "--embeddings-name without --embeddings"),
        ({"embeddings": "gone.npy"}, r"no file gone\.npy"),
    ],
)
def test_settings_that_mean_nothing_beside_embeddings(
    labels: Path, vectors: np.ndarray, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    given: Any = {"embeddings": str(saved(tmp_path, vectors)), "embeddings_name": "dino"}
    with pytest.raises(InputError, match=message):
        jaxreg.extract_features(
            labels, cache=tmp_path / "cache", options=BY_ID, **(given | settings)
        )


def test_one_name_has_one_width(labels: Path, vectors: np.ndarray, tmp_path: Path) -> None:
    extracted(labels, saved(tmp_path, vectors))
    with pytest.raises(InputError, match=r"4 numbers[\s\S]*try: --embeddings-name dino-s14-4"):
        extracted(labels, saved(tmp_path, vectors[:, :4]))


def test_shards_write_their_vectors_and_the_last_one_the_dataset(
    labels: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    file = saved(tmp_path, vectors)
    first = extracted(labels, file, shard="0/2")
    assert first.change.startswith("not written")
    second = extracted(labels, file, shard="1/2", dtype="float32")
    assert first.computed + second.computed == ROWS
    np.testing.assert_array_equal(cached(tmp_path), vectors)


def test_pictures_come_from_the_image_column_and_may_be_missing(
    labels: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    for row in range(ROWS - 1):
        Image.fromarray(np.full((4, 5, 3), row, np.uint8)).save(tmp_path / f"{row}.png")
    text = [f"r{row},{row}.png,{row}" for row in range(ROWS)]
    labels.write_text("\n".join(["name,image,y", *text]))
    said: list[str] = []
    done = extracted(labels, saved(tmp_path, vectors), say=said.append)
    assert (done.images, done.failed) == (ROWS, 0)
    assert any(text.startswith(f"note: 1 row has no picture, first r{ROWS - 1}") for text in said)
    cache = Cache(tmp_path / "cache")
    pictures = read_dataset(cache, "labels").pictures
    assert pictures[-1] is None
    assert len(cache.read_thumbnails(p for p in pictures if p)) == ROWS - 1


def test_the_cache_lists_checks_and_removes_embeddings(
    labels: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    done = extracted(labels, saved(tmp_path, vectors), dtype="float16")
    cache, recipe = Cache(tmp_path / "cache"), Embeddings("dino-s14", WIDTH)
    assert cache.dtype(recipe.feature_set, recipe.column) == "float16"
    assert cache.columns(done.feature_set) == [Column("identity", "dino-s14", "none")]
    assert checked(cache)[1:] == ([], [])
    usage = Usage(cache, tmp_path / "ckpts")
    images = cache.digests(done.feature_set, recipe.column)
    assert usage.datasets_with(done.feature_set, images) == ["labels"]
    skipped = recompute(cache, 3, print).skipped
    assert skipped == (f"{done.feature_set}: embeddings were computed elsewhere: there is no "
                       "network to run",)  # fmt: skip
    gone = {PurePosixPath(entry.key).name for entry in usage.of_dataset("labels")}
    assert {"labels.parquet", "feature_set.json"} <= gone
    part = part_paths(cache, done.feature_set, recipe.column)[0]
    part.write_bytes(b"junk")
    assert extracted(labels, saved(tmp_path, vectors), dtype="float16").computed == ROWS


def test_no_network_is_imported(labels: Path, vectors: np.ndarray, tmp_path: Path) -> None:
    file = saved(tmp_path, vectors)
    words = [str(labels), "--id-column", "name", "--cache", str(tmp_path / "cache"), "--json"]
    words += ["--embeddings", str(file), "--embeddings-name", "dino-s14"]
    program = (
        f"import sys\nfrom jaxreg import extract\nassert extract.main({words!r}) == 0\n"
        "heavy = {'tensorflow', 'keras', 'openvino', 'flax', 'optax', 'orbax'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["engine"] is None
    assert f"wrote {ROWS} vectors (0 were there)" in done.stderr


def test_a_run_on_embeddings_from_training_to_predictions(
    labels: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    extracted(labels, saved(tmp_path, vectors))
    run = jaxreg.train_head(
        "labels", cache=tmp_path / "cache", ckpts=tmp_path / "ckpts", head="ridge", target="y"
    )
    assert run.metrics["mae"] is not None
    assert run.metrics["mae"] < 0.05
    assert "image" not in str(run.verdict["findings"])
    codes = {finding["code"] for finding in run.verdict["findings"]}
    assert "random-weights" not in codes
    page = run.report.read_text()
    assert "dino-s14" in page
    assert "Rows with the largest errors" in page
    assert "no picture" not in page
    assert "cannot be shown" not in page
    assert "inception" not in page.lower()
    new = np.random.default_rng(9).normal(size=(5, WIDTH)).astype(np.float32)
    table = tmp_path / "new.csv"
    table.write_text("name\n" + "\n".join(f"n{i}" for i in range(5)))
    out = tmp_path / "out.parquet"
    words = [str(run.path), str(table), "--out", str(out)]
    with pytest.raises(InputError, match=r"dino-s14, which jaxreg cannot compute[\s\S]*FILE"):
        predict.main(words)
    np.save(tmp_path / "new.npy", new)
    assert predict.main([*words, "--embeddings", str(tmp_path / "new.npy")]) == 0
    assert pq.read_table(out)["id"].to_pylist() == [f"n{i}" for i in range(5)]
    told = pq.read_table(out)["prediction.y"].to_numpy()
    np.testing.assert_allclose(told, run.predict_features(new)[:, 0], rtol=1e-6)
    np.testing.assert_allclose(told, new[:, 0] - new[:, 1], atol=0.05)
    np.savez(tmp_path / "new.npz", ids=[f"n{i}" for i in range(4, -1, -1)], vectors=new[::-1])
    assert predict.main([*words, "--embeddings", str(tmp_path / "new.npz")]) == 0
    np.testing.assert_array_equal(pq.read_table(out)["prediction.y"].to_numpy(), told)
    table.write_text("other\n" + "\n".join("abcde"))  # it lacks the column of the dataset's ids
    assert predict.main([*words, "--embeddings", str(tmp_path / "new.npy")]) == 0
    assert pq.read_table(out)["id"][0].as_py() == "row-000000"
    with pytest.raises(InputError, match="no column 'name'"):
        predict.main([*words, "--id-column", "name", "--embeddings", str(tmp_path / "new.npy")])
    with pytest.raises(InputError, match="use predict_features"):
        run.predict([np.zeros((4, 4, 3), np.uint8)])
    np.save(tmp_path / "wide.npy", np.zeros((5, 3)))
    with pytest.raises(InputError, match="has vectors of 3 numbers"):
        predict.main([*words, "--embeddings", str(tmp_path / "wide.npy")])
    with pytest.raises(InputError, match="has no network"):
        predict.main([*words, "--embeddings", str(tmp_path / "new.npy"), "--weights", "w.h5"])
    with pytest.raises(InputError, match="embeddings dino-s14, which have no other view"):
        jaxreg.train_head(
            "labels", cache=tmp_path / "cache", target="y", views=("identity", "mirror")
        )


def test_vectors_that_stay_while_the_rows_move_are_noted(
    labels: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    extracted(labels, saved(tmp_path, vectors))
    header, *rows = labels.read_text().splitlines()
    labels.write_text("\n".join([header, *rows[::-1]]) + "\n")
    said: list[str] = []
    extracted(labels, saved(tmp_path, vectors), say=said.append)
    assert any("60 rows have a vector that another row had before: r59, r58" in t for t in said)
    extracted(labels, saved(tmp_path, vectors[::-1]))
    said.clear()  # rows and vectors in the same new order
    extracted(labels, saved(tmp_path, vectors[::-1]), say=said.append)
    assert not any("another row" in text for text in said)


def test_embeddings_are_diagnosed_and_images_refused_at_once(
    labels: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    extracted(labels, saved(tmp_path, vectors))
    run = jaxreg.train_head(
        "labels", cache=tmp_path / "cache", ckpts=tmp_path / "ckpts", head="ridge"
    )
    said: list[str] = []
    asked: Any = {"cache": None, "ckpts": tmp_path / "ckpts", "say": said.append}
    with pytest.raises(InputError, match="these features are embeddings"):
        diagnose(str(run.path), images="nowhere", **asked)
    assert not any(text.startswith("columns") for text in said)
    done = diagnose(str(run.path), images=None, **asked)
    assert done["verdict"]["healthy"]
    assert "identity.dino-s14.none" in done["tests"]["columns"]["answer"]
    assert "image" not in " ".join(test["answer"] for test in done["tests"].values())
