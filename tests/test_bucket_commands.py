"""The commands with a cache in a bucket: the numbers of a folder, and one message for a fault."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxreg
from buckets import Bucket
from jaxreg import extract, predict, remove, train, verify
from jaxreg import list as list_command
from jaxreg.cache import local_copies
from jaxreg.cache.cache_url import bucket_url
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.object_store import LocalStore, open_store
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, JaxregError, UnavailableError
from planted_runs import predictions_of

ROWS = 60
VECTORS = np.random.default_rng(3).normal(size=(ROWS, 8)).astype(np.float32)


@pytest.fixture
def url(bucket: Bucket, planted: Path) -> str:
    """What the folder `planted` holds, below a prefix of a bucket."""
    for path in planted.rglob("*"):
        if path.is_file():
            bucket.write(f"team/{path.relative_to(planted).as_posix()}", path.read_bytes())
    return f"{bucket.url}/team"


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a table and vectors of its rows."""
    monkeypatch.chdir(tmp_path)
    np.save("vectors.npy", VECTORS)
    Path("labels.csv").write_text("y\n" + "".join(f"{y}\n" for y in VECTORS @ np.arange(8)))
    return tmp_path


def extracted(cache: str, name: str = "labels", **options):
    given = {"embeddings": "vectors.npy", "embeddings_name": "dino", **options}
    return jaxreg.extract_features("labels.csv", name=name, cache=cache, **given)


def files_of(bucket: Bucket, folder: str = "") -> list[str]:
    """The keys of objects that are no marks of folders."""
    every = bucket.keys(folder)
    return [key for key in every if not key.endswith("/")]


def parts_of(bucket: Bucket) -> list[str]:
    return [key for key in files_of(bucket, "team/features/") if key.endswith(".parquet")]


def verified(capsys: pytest.CaptureFixture[str], url: str, *more: str) -> tuple[int, dict]:
    code = verify.main(["--cache", url, "--json", *more])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_bucket_gives_the_numbers_of_a_folder_from_extract_to_predict(
    bucket: Bucket, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{bucket.url}/team"
    assert extracted(url).computed == ROWS
    again = extracted(url + "/")
    assert (again.computed, again.reused, again.change) == (0, ROWS, "60 rows (0 added, 0 gone)")
    assert extracted("cache").computed == ROWS
    assert [key.removeprefix("team/") for key in files_of(bucket)] == [
        entry.key for entry in LocalStore(Path("cache")).list("")
    ]
    for name, cache in (("far", f"{url}/"), ("near", "cache")):
        words = ["labels", "--cache", cache, "--run", name, "--head", "ridge", "--split", "hash"]
        assert train.main(words) == 0
    far, near = Path("ckpts/far"), Path("ckpts/near")
    assert predictions_of(far, "y") == predictions_of(near, "y")
    assert json.loads((far / "config.json").read_text())["cache"] == url
    assert json.loads((near / "config.json").read_text())["cache"] == "../../cache"
    run = jaxreg.load_run(far)
    assert run.cache == url
    np.save("new.npy", VECTORS[:5] + 1)
    Path("new.csv").write_text("y\n" + "0\n" * 5)
    words = ["new.csv", "--embeddings", "new.npy", "--out"]
    assert predict.main(["far", *words, "far.csv"]) == predict.main(["near", *words, "near.csv"])
    assert Path("far.csv").read_text() == Path("near.csv").read_text()
    x, *_ = jaxreg.load_features("labels", cache=url)
    np.testing.assert_array_equal(x, VECTORS)
    # the run is found by the cache's name, with and without a slash
    capsys.readouterr()
    assert list_command.main(["datasets", "--cache", f"{url}/", "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)["datasets"]
    table = bucket.read("team/datasets/labels.parquet")
    assert (row["runs"], row["bytes"]) == (["ckpts/far"], len(table))
    with pytest.raises(InputError, match="the dataset labels is needed by ckpts/far"):
        remove.main(["labels", "--cache", url, "--yes"])
    for key in bucket.keys(""):
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
    with pytest.raises(InputError, match=f"no cache {url}"):
        predict.main(["far", *words, "gone.csv"])


def test_damage_in_a_bucket_is_a_miss_to_extract_and_an_error_to_train(
    bucket: Bucket, labels: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    url = f"{bucket.url}/team"
    extracted(url)
    [part] = parts_of(bucket)
    whole = bucket.read(part)
    bucket.write(part, b"garbage")
    shown = f"{bucket.url}/{part}"
    digests = read_dataset(Cache(url), "labels").table["digest.dino"].to_pylist()
    assert verified(capsys, url) == (
        6,
        {"sound": 0, "damaged": [shown], "wrong": [], "warnings": []},
    )
    monkeypatch.setenv(local_copies.VARIABLE, "0")  # with a copy the damage does no harm
    cache = Cache(url)
    with pytest.raises(InputError, match=f"{part} is damaged"):
        cache.read(part.split("/")[2], [Column(layer="dino", pool="none")], digests)
    said: list[str] = []
    assert extracted(url, say=said.append).computed == ROWS
    assert f"damaged, set aside and written again: {shown}.bad" in said
    assert bucket.read(part) == whole
    assert bucket.read(f"{part}.bad") == b"garbage"
    assert verified(capsys, url)[0] == 0
    bucket.write(part, whole[:-1])
    code, told = verified(capsys, url, "--repair")
    assert (code, told["damaged"], part in files_of(bucket)) == (0, [shown], False)
    bucket.write("team/datasets/labels.parquet", b"PAR1")
    code, told = verified(capsys, url)
    assert code == 6
    assert "datasets/labels.parquet is damaged or not a dataset" in told["wrong"][0]


def test_remove_deletes_from_a_bucket_what_it_deletes_from_a_folder(
    bucket: Bucket, url: str, planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.write("team/datasets/planted.failed.csv", b"id,reason\n")
    bucket.write("other/datasets/planted.parquet", b"of somebody else")
    kept = Cache(url)
    rows = read_dataset(kept, "planted").rows(np.arange(3))
    write_dataset(kept, replace(rows, name="three"))
    assert remove.main(["planted", "--cache", url, "--yes"]) == 0
    told = capsys.readouterr().err
    assert "no run in ckpts was trained on " + url in told
    assert f"{url}/datasets/ (2 files)" in told
    left = files_of(bucket, "team/")
    assert sorted(key.split("/")[1] for key in left) == [
        "datasets",
        "features",
        "features",
        "thumbnails",
    ]
    foreign = f"team/features/{kept.feature_sets()[0]}/notes.txt"
    bucket.write(foreign, b"mine")
    with pytest.raises(InputError, match=r"a file that jaxreg did not write: .*/notes\.txt"):
        remove.main(["three", "--cache", url, "--yes"])
    bucket.client.delete_object(Bucket=bucket.name, Key=foreign)
    assert remove.main(["three", "--cache", url, "--yes"]) == 0
    assert files_of(bucket) == ["other/datasets/planted.parquet"]


def test_of_two_writers_of_a_table_the_last_wins_whole(url: str) -> None:
    one, other = Cache(url), Cache(f"{url}/")
    dataset = read_dataset(one, "planted")
    write_dataset(one, dataset.rows(np.arange(100)))
    write_dataset(other, dataset.rows(np.arange(7)))
    assert read_dataset(one, "planted").ids == read_dataset(other, "planted").ids
    assert len(read_dataset(one, "planted")) == 7


@pytest.mark.parametrize(
    ("cache", "kind", "message"),
    [
        ("ftp://host/place", InputError, "ftp://… names a kind of place"),
        ("s3://", InputError, "s3://… names no bucket"),
        ("s3:///place", InputError, "s3://… names no bucket"),
        ("s3://[", InputError, "Invalid IPv6 URL"),
        ("s3://no-such-bucket/place", InputError, "there is no bucket no-such-bucket"),
        ("s3://bucket/place?colour=red", InputError, "Unexpected query parameter"),
        ("file://host/place", InputError, "names another machine"),
        ("file:///no/such/place", InputError, "no cache /no/such/place"),
        (
            "s3://KEY:HIDDEN@bucket/place?scheme=http&endpoint_override=127.0.0.1:9",
            UnavailableError,
            "cannot be reached",
        ),
    ],
)
def test_a_wrong_place_is_one_message(
    bucket: Bucket, cache: str, kind: type[JaxregError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        list_command.main(["datasets", "--cache", cache])
    assert caught.value.exit_code == {InputError: 2, UnavailableError: 3}[kind]
    assert "HIDDEN" not in str(caught.value)


def test_secrets_of_a_url_are_neither_shown_nor_kept(
    bucket: Bucket, labels: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    url = f"s3://KEY:HIDDEN@{bucket.name}/team"
    open_form = f"{bucket.url}/team"
    words = ["labels.csv", "--name", "labels", "--embeddings", "vectors.npy"]
    monkeypatch.setattr("sys.argv", ["jaxreg extract", *words, "--cache", url])
    assert extract.main([*words, "--embeddings-name", "dino", "--cache", url]) == 0
    words = ["labels", "--head", "ridge", "--split", "hash", "--cache", url]
    monkeypatch.setattr("sys.argv", ["jaxreg train", *words])
    assert train.main(words) == 0
    bucket.write("team/datasets/broken.parquet", b"PAR1")
    assert list_command.main(["datasets", "--cache", url]) == 0
    [part] = parts_of(bucket)
    bucket.write(part, b"garbage")
    assert verify.main(["--cache", url]) == 6
    told = capsys.readouterr()
    assert f"jaxreg train labels --cache {open_form}" in told.err
    assert f"jaxreg verify --cache {open_form} --repair" in told.err
    kept = [path.read_bytes() for path in labels.rglob("*") if path.is_file()]
    kept += [bucket.read(key) for key in files_of(bucket)]
    assert not [content for content in (told.out + told.err).split() if "HIDDEN" in content]
    assert not [content for content in kept if b"HIDDEN" in content]
    assert json.loads(Path("ckpts/labels-1/config.json").read_text())["cache"] == open_form


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://KEY:S@b/p/", "s3://b/p"),
        ("s3://b/p?region=eu&secret_key=S", "s3://b/p?region=eu"),
        (
            "s3://b/p?endpoint_override=h:9&scheme=http",
            "s3://b/p?endpoint_override=h:9&scheme=http",
        ),
        ("gs://anonymous@b/p", "gs://anonymous@b/p"),
    ],
)
def test_what_of_a_url_is_shown(url: str, shown: str) -> None:
    assert bucket_url(url).root == shown


def test_a_url_of_a_folder_is_the_folder(planted: Path) -> None:
    assert Cache(planted.as_uri()).feature_sets() == Cache(planted).feature_sets()
    assert open_store(f"file://{planted}/a%20b").root == f"{planted}/a b"


def test_what_only_looks_like_a_part_does_no_harm_to_thumbnails(url: str, bucket: Bucket) -> None:
    cache = Cache(url)
    digests = read_dataset(cache, "planted").table["digest"].to_pylist()
    found = cache.read_thumbnails(digests)
    assert found
    bucket.write("team/thumbnails/part-0.parquet/x", b"of somebody else")
    assert cache.read_thumbnails([*digests, "absent"]) == found
