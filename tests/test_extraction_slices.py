"""Extraction of a Parquet table in slices writes what that of the whole table writes."""

import errno
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import jaxreg
from jaxreg.cache.dataset_pieces import DatasetPieces
from jaxreg.cache.datasets import read_dataset, read_description, read_some
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, JaxregError, Stopped
from jaxreg.extract_config import ExtractConfig
from jaxreg.extraction import network_choice
from jaxreg.extraction.sliced_dataset import SlicedDatasetWriter
from jaxreg.sources import SourceOptions, large_table, open_source, parquet_slices
from jaxreg.sources.sliced_examples import SlicedExamples
from tables import png
from test_extraction import MeanEngine

ROWS = 60
PLAIN = SourceOptions()
KIND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def mean_engine(monkeypatch: pytest.MonkeyPatch) -> list[MeanEngine]:
    """Whatever network is asked for, this one computes; the engines that were loaded."""
    loaded: list[MeanEngine] = []

    def load(*_asked, **_more) -> MeanEngine:
        loaded.append(MeanEngine())
        return loaded[-1]

    monkeypatch.setattr(network_choice, "load_engine", load)
    monkeypatch.setattr(parquet_slices, "SLICE_ROWS", 7)
    return loaded


def in_slices(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(large_table, "MOST_WHOLE", rows)


def write(path: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=20)
    return path


def pictures(folder: Path, count: int = 9) -> list[str]:
    """Names of files for the rows; one file is broken, another is its copy, some are absent."""
    for value in range(count):
        (folder / f"{value}.png").write_bytes(png(value))
    for name in ("broken", "copy"):
        (folder / f"{name}.png").write_bytes(png(1)[:40])
    names = [f"{row % count}.png" for row in range(ROWS)]
    names[5], names[30], names[59] = "copy.png", "broken.png", "broken.png"
    names[20], names[44] = "absent.png", "gone.png"
    return names


def extract(source: Path, cache: Path, options: SourceOptions = PLAIN, **settings):
    """What was said, and the result or the error."""
    said: list[str] = []
    try:
        done = jaxreg.extract_features(
            source, cache=cache, options=options, weights="random", say=said.append, **settings
        ).to_json()
        del done["seconds"], done["images_per_second"]
    except JaxregError as error:
        done = str(error)
    where = f"{cache}/datasets"
    return [line.replace(where, "CACHE") for line in said], json.dumps(done).replace(where, "CACHE")


def stored(cache: Path, name: str) -> dict:
    """All that the cache has of a dataset."""
    dataset = read_dataset(Cache(cache), name)  # checks its SHA-256
    failed = cache / "datasets" / f"{name}.failed.csv"
    file = pq.ParquetFile(cache / "datasets" / f"{name}.parquet")
    return {
        "fingerprint": dataset.fingerprint,
        "schema": dataset.table.schema,
        "rows": dataset.table.to_pydict(),
        "metadata": json.loads(file.schema_arrow.metadata[b"jaxreg"]),
        "failed": failed.read_text() if failed.exists() else None,
    }


def same(monkeypatch, tmp_path: Path, source: Path, options: SourceOptions = PLAIN, **settings):
    """Extract both ways, and what is then in the cache."""
    name = settings.setdefault("name", "t")
    said = []
    for cache in ("whole", "sliced"):  # a note says in which folders files were looked for
        (tmp_path / cache).mkdir()
    for most, cache in ((10**9, "whole"), (0, "sliced")):
        in_slices(monkeypatch, most)
        said.append(extract(source, tmp_path / cache, options, **settings))
    assert said[0] == said[1]
    whole, sliced = (stored(tmp_path / cache, name) for cache in ("whole", "sliced"))
    assert sliced == whole
    return said[1], sliced


def test_a_table_with_failures_and_missing_values(monkeypatch, tmp_path):
    names: list[str | None] = [*pictures(tmp_path)]
    names[10] = names[50] = None
    table = write(
        tmp_path / "t.parquet",
        image=names,
        y=[None if row == 8 else row / 3 for row in range(ROWS)],
        empty=pa.nulls(ROWS),
        kind=pa.array(["a", "b", None] * 20).dictionary_encode(),
        at=pa.array(range(ROWS), pa.timestamp("s")),
        took=pa.array(range(ROWS), pa.duration("us")),
        frame=[*range(30), *range(30)],
    )
    (_, done), found = same(monkeypatch, tmp_path, table, max_failed=0.2)
    assert json.loads(done)["failed"] == 7
    assert found["failed"].splitlines()[:4] == [
        "id,reason",
        "row-000010,no value in column 'image'",
        "row-000050,no value in column 'image'",
        found["failed"].splitlines()[3],
    ]
    failed = [line.split(",")[0] for line in found["failed"].splitlines()[3:]]
    assert failed == ["copy.png", "absent.png", "broken.png", "gone.png", "broken.png#2"]
    assert "at" in found["metadata"]["bookkeeping"]
    assert "empty" in found["metadata"]["bookkeeping"]


def test_too_many_failures_leave_the_good_rows(monkeypatch, tmp_path):
    table = write(tmp_path / "t.parquet", image=pictures(tmp_path), y=range(ROWS))
    (_, error), found = same(monkeypatch, tmp_path, table, max_failed=0.01)
    assert "5 of 60 images could not be used (copy.png: " in error
    assert len(found["rows"]["id"]) == ROWS - 5


def test_order_and_group_columns_over_several_files(monkeypatch, tmp_path):
    names = pictures(tmp_path)
    for part in range(3):
        rows = range(part * 20, part * 20 + 20)
        write(
            tmp_path / f"{part}.parquet",
            image=[names[row] for row in rows],
            o=[row * 7 % 11 / 2 for row in rows],
            g=[None if row == 33 else f"g{row % 4}" for row in rows],
            key=[f"k{row}" for row in rows],
        )
    options = SourceOptions(order_column="o", group_column="g", id_column="key")
    same(monkeypatch, tmp_path, tmp_path / "*.parquet", options, max_failed=0.2)


def test_embedded_images(monkeypatch, tmp_path):
    names = pictures(tmp_path)
    cells: list = [{"bytes": png(row % 30), "path": f"{row}.jpg"} for row in range(ROWS)]
    cells[13], cells[14] = None, {"bytes": b"no image", "path": None}
    cells[15] = {"bytes": None, "path": names[3]}
    table = write(tmp_path / "t.parquet", image=pa.array(cells, KIND), y=range(ROWS))
    same(monkeypatch, tmp_path, table, max_failed=0.2)


def test_an_engine_is_loaded_once_and_each_image_computed_once(monkeypatch, tmp_path, mean_engine):
    in_slices(monkeypatch, 0)
    table = write(tmp_path / "t.parquet", image=pictures(tmp_path), y=range(ROWS))
    asked = {"name": "t", "max_failed": 0.2, "batch_size": 4}
    extract(table, tmp_path / "c", **asked)
    assert [len(engine.seen) for engine in mean_engine] == [9]
    parts = list((tmp_path / "c").glob("features/*/*/*.parquet"))
    assert len(parts) == 1  # slices do not cut parts
    before = stored(tmp_path / "c", "t")
    _, done = extract(table, tmp_path / "c", **asked)
    assert json.loads(done)["reused"] == 9
    assert len(mean_engine) == 1
    assert stored(tmp_path / "c", "t") == before


def test_what_has_changed_since_the_dataset_before(monkeypatch, tmp_path):
    in_slices(monkeypatch, 0)
    names = pictures(tmp_path)
    asked = {"name": "t", "max_failed": 0.2}
    for count, change in ((40, "37 rows"), (60, "55 rows (18 added, 0 gone)"), (20, None)):
        table = write(tmp_path / "t.parquet", image=names[:count], y=range(count))
        done = jaxreg.extract_features(table, cache=tmp_path / "c", weights="random", **asked)
        assert done.change == (change or "19 rows (0 added, 36 gone)")
    other = write(tmp_path / "other.parquet", image=names[:20], y=range(20))
    done = jaxreg.extract_features(other, cache=tmp_path / "c", weights="random", **asked)
    assert done.change == f"19 rows (0 added, 0 gone; it was made from {table} before)"
    with pytest.raises(InputError, match=r"the cache has a dataset t from .*other"):
        jaxreg.extract_features(table, cache=tmp_path / "c", weights="random", max_failed=0.2)


def test_a_stopped_extraction_goes_on(monkeypatch, tmp_path, mean_engine):
    in_slices(monkeypatch, 0)
    table = write(tmp_path / "t.parquet", image=pictures(tmp_path), y=range(ROWS))
    asked = {"name": "t", "max_failed": 0.2, "batch_size": 2, "weights": "random"}
    seen: list[int] = []
    with pytest.raises(Stopped, match="run the same command again"):
        jaxreg.extract_features(
            table,
            cache=tmp_path / "c",
            on_progress=lambda progress: seen.append(progress.computed),
            should_stop=lambda: len(seen) > 2,
            **asked,
        )
    kept = len(mean_engine[0].seen)
    assert 0 < kept < 9
    assert not (tmp_path / "c" / "datasets").exists()
    jaxreg.extract_features(table, cache=tmp_path / "c", **asked)
    assert sum(len(engine.seen) for engine in mean_engine) == 9
    jaxreg.extract_features(table, cache=tmp_path / "once", **asked)
    assert stored(tmp_path / "c", "t") == stored(tmp_path / "once", "t")


def test_shares_of_a_table_in_slices(monkeypatch, tmp_path):
    table = write(tmp_path / "t.parquet", image=pictures(tmp_path), y=range(ROWS))
    asked = {"name": "t", "max_failed": 0.2}
    in_slices(monkeypatch, 10**9)
    extract(table, tmp_path / "whole", **asked)
    in_slices(monkeypatch, 0)
    changes = [
        jaxreg.extract_features(
            table, cache=tmp_path / "c", weights="random", shard=f"{share}/2", **asked
        ).change
        for share in range(2)
    ]
    assert changes == ["not written: the share that ends last writes it", "55 rows"]
    assert stored(tmp_path / "c", "t") == stored(tmp_path / "whole", "t")


def test_no_row_can_be_used(monkeypatch, tmp_path):
    table = write(tmp_path / "t.parquet", image=[f"{row}.png" for row in range(9)], y=range(9))
    for most, cache in ((10**9, "whole"), (0, "sliced")):
        in_slices(monkeypatch, most)
        _, error = extract(table, tmp_path / cache, name="t")
        assert "9 of 9 images could not be used" in error
        assert not (tmp_path / cache / "datasets" / "t.parquet").exists()
        failed = (tmp_path / cache / "datasets" / "t.failed.csv").read_text().splitlines()
        assert failed == ["id,reason", *(f"{row}.png,no such file" for row in range(9))]


def test_a_dataset_with_features_of_vectors_is_named(monkeypatch, tmp_path):
    import numpy as np

    table = write(tmp_path / "t.parquet", image=pictures(tmp_path), y=range(ROWS))
    np.save(tmp_path / "v.npy", np.eye(ROWS, 4, dtype=np.float32))
    jaxreg.extract_features(
        table,
        name="t",
        cache=tmp_path / "c",
        embeddings=str(tmp_path / "v.npy"),
        embeddings_name="v",
    )
    in_slices(monkeypatch, 0)
    with pytest.raises(InputError, match=r"has features of digest\.v, which the 60 rows of"):
        jaxreg.extract_features(table, name="t", cache=tmp_path / "c", weights="random")


def test_some_rows_of_a_dataset_are_evenly_spread(monkeypatch, tmp_path):
    table = write(tmp_path / "t.parquet", image=pictures(tmp_path), y=range(ROWS))
    extract(table, tmp_path / "c", name="t", max_failed=0.2)
    cache = Cache(tmp_path / "c")
    whole = read_dataset(cache, "t").table
    assert read_some(cache, "t", len(whole)).table == whole
    assert read_some(cache, "t", 11).table == whole.take(list(range(0, 55, 5)))
    assert len(read_some(cache, "t", 1)) == 1
    description = read_description(cache, "t")
    assert (len(description), description.source) == (0, read_dataset(cache, "t").source)


def test_secrets_of_urls_are_not_kept(monkeypatch, tmp_path):
    in_slices(monkeypatch, 0)
    examples = open_source(
        write(tmp_path / "t.parquet", image=pictures(tmp_path), y=range(ROWS)), in_slices=True
    )
    assert isinstance(examples, SlicedExamples)
    writer = SlicedDatasetWriter(
        Cache(tmp_path / "c"),
        "t",
        examples,
        "s3://key:word@b/t.parquet",
        SourceOptions(image_root="s3://key:word@b"),
        ExtractConfig(weights="https://host/w.h5?token=word"),
    )
    assert (writer.opened, writer.options.image_root) == ("s3://b/t.parquet", "s3://b")
    assert writer.settings.weights == "https://host/w.h5"


def test_no_space_for_temporary_files_is_said(monkeypatch, tmp_path):
    def full(*_asked: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    in_slices(monkeypatch, 0)
    monkeypatch.setattr(DatasetPieces, "add", full)
    table = write(tmp_path / "t.parquet", image=pictures(tmp_path), y=range(ROWS))
    _, error = extract(table, tmp_path / "c", name="t", max_failed=0.2)
    assert "no space for the dataset t in" in error
    assert "set TMPDIR" in error
