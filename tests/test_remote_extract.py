"""An extraction from URLs: the dataset, its failures, what it keeps of URLs, its pictures again."""

import csv
from pathlib import Path

import numpy as np
import pytest

import jaxreg
from faulty_proxy import proxy_before
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.originals import Originals
from jaxreg.cache.store import Cache
from jaxreg.errors import TooManyFailed
from jaxreg.extraction import network_choice
from jaxreg.extraction.extract_source import default_name
from jaxreg.sources import SourceOptions, open_source, pixels
from tables import png
from test_extraction import MeanEngine


@pytest.fixture(autouse=True)
def mean_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever network is asked for, this one computes."""
    monkeypatch.setattr(network_choice, "load_engine", lambda *asked, **more: MeanEngine())


def labels(folder: Path, cells: list[str]) -> str:
    folder.mkdir(exist_ok=True)
    file = folder / "labels.csv"
    file.write_text("image,y\n" + "".join(f"{cell},{row}\n" for row, cell in enumerate(cells)))
    return str(file)


def extract(source: str, cache: Path, **more):
    return jaxreg.extract_features(source, cache=cache, weights="random", **more)


def failures(cache: Path, name: str) -> dict[str, str]:
    with open(cache / "datasets" / f"{name}.failed.csv", newline="") as file:
        return {row["id"]: row["reason"] for row in csv.DictReader(file)}


def test_a_dataset_from_urls_is_that_of_the_same_files(web, bucket, tmp_path):
    cells = []
    (tmp_path / "here").mkdir()
    for row in range(30):
        (tmp_path / "here" / f"{row}.png").write_bytes(png(row))
        bucket.write(f"d/{row}.png", png(row))
        cells.append(f"{row}.png")
    here = tmp_path / "cache-here"
    extract(labels(tmp_path / "here", cells), here)
    wanted = read_dataset(Cache(here), "labels")
    there = tmp_path / "cache-there"
    cells = [web.put(f"/{row}.png", png(row)) if row % 2 else f"{row}.png" for row in range(30)]
    cells += [f"{web.url}/none.png", "none.png", f"{web.url}/text.png", "/etc/passwd"]
    web.put("/text.png", b"<html>")
    bucket.write("d/labels.csv", Path(labels(tmp_path / "there", cells)).read_bytes())
    options = SourceOptions(image_column="image")
    source = f"{bucket.url}/d/labels.csv"
    done = extract(source, there, options=options, max_failed=0.2)
    got = read_dataset(Cache(there), "labels")
    assert (done.images, done.failed) == (30, 4)
    assert got.table["digest"].equals(wanted.table["digest"])
    assert got.table["y"].equals(wanted.table["y"])
    reasons = failures(there, "labels")
    assert reasons[f"{web.url}/none.png"] == "HTTP 404 Not Found"
    assert reasons["none.png"] == "no such object"
    assert reasons["/etc/passwd"].startswith("refused")
    assert len(reasons) == 4
    with pytest.raises(TooManyFailed):
        extract(source, there, options=options)
    again = extract(source, there, options=options, max_failed=0.2)
    assert (again.computed, again.reused) == (0, 30)


def test_nothing_that_is_kept_has_a_secret(web, tmp_path):
    cells = [web.put(f"/{row}.png", png(row)) + f"?sig=SECRET{row}" for row in range(4)]
    url = web.put("/t.csv", Path(labels(tmp_path, cells)).read_bytes())
    said: list[str] = []
    cache = tmp_path / "cache"
    url = url.replace("://", "://user:SECRET@")
    extract(f"{url}?token=SECRET", cache, say=said.append)
    dataset = read_dataset(Cache(cache), "t")
    kept = [dataset.table.to_pydict(), dataset.source, dataset.opened, dataset.extract_command()]
    assert "SECRET" not in repr([*kept, vars(dataset), said])
    assert dataset.opened == f"{web.url}/t.csv"
    assert dataset.table["id"].to_pylist() == [f"{web.url}/{row}.png" for row in range(4)]


def test_a_signed_picture_is_read_again_through_its_table(web, tmp_path):
    """The server here refuses what is not signed."""
    cells = [web.put(f"/{row}.png", png(row)) + f"?sig={row}" for row in range(3)]
    source = labels(tmp_path, cells)
    cache = tmp_path / "cache"
    extract(source, cache)
    for row in range(3):
        web.statuses[f"/{row}.png"] = [403]  # the first request, of the unsigned URL
    dataset = read_dataset(Cache(cache), "labels")
    originals = Originals(dataset)
    assert [originals.read(row) for row in range(3)] == [png(row) for row in range(3)]
    web.asked.clear()
    with pytest.raises(pixels.UnusableImage, match="it is at a URL"):
        Originals(dataset, quick=True).read(0)
    assert web.asked == []


@pytest.mark.parametrize(
    ("location", "kind", "name"),
    [
        ("s3://bucket/d/labels.parquet", "parquet", "labels"),
        ("https://host/d/labels.csv?id=5", "csv", "labels"),
        ("s3://bucket/photos.2024/", "directory", "photos.2024"),
        ("s3://bucket", "directory", "bucket"),
        ("s3://bucket/d/train-*.parquet", "parquet", "d"),
        ("hf://datasets/o/n/**/*.png", "glob", "n"),
        ("hf://datasets/o/n", "directory", "n"),
    ],
)
def test_the_name_of_a_dataset(location, kind, name):
    examples = open_source("road:1")
    examples.description.update(kind=kind, location=location)
    assert default_name(examples) == name


def test_vectors_for_a_table_at_urls(bucket, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    bucket.write("v.npy", (tmp_path / "v.npy").read_bytes())
    table = labels(tmp_path / "t", [f"{row}.png" for row in range(6)])
    bucket.write("t.csv", Path(table).read_bytes())
    cache = tmp_path / "cache"
    done = jaxreg.extract_features(
        f"{bucket.url}/t.csv",
        cache=cache,
        embeddings=f"{bucket.url}/v.npy?access_key=testing&secret_key=SECRET",
        embeddings_name="made",
    )
    assert done.images == 6
    dataset = read_dataset(Cache(cache), "t")
    assert "SECRET" not in repr([vars(one.settings) for one in dataset.extracted])


def test_one_request_in_five_of_a_bucket_fails(s3_endpoint, bucket, tmp_path, monkeypatch):
    for row in range(40):
        bucket.write(f"{row}.png", png(row))
    with proxy_before(s3_endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.draw_faults(seed=0, share=0.2)
        images = open_source(bucket.url).images
        assert [pixels.read(image) for image in images] == [png(row) for row in range(40)]
    assert any(request.fault == "cut" for request in proxy.requests)
