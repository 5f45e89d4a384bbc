"""Sources in buckets and on the Hugging Face Hub; what a table that others wrote may name."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxreg.common.remote_file import RemoteError, RemoteFile, is_url, shown, without_secrets
from jaxreg.errors import InputError, UnavailableError
from jaxreg.sources import SourceOptions, open_source, pixels, remote_http
from jaxreg.sources.remote_read import open_random, read_remote
from jaxreg.sources.source_file import SourceFile
from jaxreg.sources.vectors import open_vectors
from tables import png

SIGNED = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261130T000000Z&X-Amz-Signature=0a1b"


def contents(examples) -> list[bytes]:
    return [content for content in map(pixels.read, examples.images) if isinstance(content, bytes)]


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://host/a.png", "https://host/a.png"),
        ("https://host/image?id=5&w=80", "https://host/image?id=5&w=80"),
        (f"https://host/a.png?{SIGNED}", "https://host/a.png"),
        ("https://host/a.png?w=80&token=abc", "https://host/a.png"),
        ("https://host/a.png?sv=2024&sig=abc", "https://host/a.png"),
        ("https://user:word@host/a.png#part", "https://host/a.png"),
        ("https://host/a?k=Zx81kQ0pLm2Nn3Bb4Vv5Cc6Xx7Zz8Aa9Ss0Dd1Ff2", "https://host/a"),
        ("s3://key:word@bucket/a b.png?region=eu", "s3://bucket/a b.png?region=eu"),
        ("s3://bucket/a?secret_key=x&region=eu", "s3://bucket/a?region=eu"),
        ("hf://datasets/o/n@main/a?b.png", "hf://datasets/o/n@main/a?b.png"),
        ("a path/with?token=1", "a path/with?token=1"),
    ],
)
def test_what_people_see_of_a_url(url, seen):
    assert shown(url) == str(RemoteFile(url)) == seen
    assert without_secrets(SourceOptions(image_root=url)).image_root == seen


@pytest.mark.parametrize(
    ("folder", "path", "file"),
    [
        ("https://host/x/?t=1", "a b/ü#1?.png", "https://host/x/a%20b/%C3%BC%231%3F.png?t=1"),
        ("https://host/x", "a%20b.png", "https://host/x/a%20b.png"),
        ("https://host/x", "100%.png", "https://host/x/100%25.png"),
        ("https://host/x/y", "../a.png", "https://host/x/a.png"),
        ("s3://bucket/x?region=eu", "a%20b #1.png", "s3://bucket/x/a%20b #1.png?region=eu"),
        ("s3://bucket/x", "..\\a.png", "s3://bucket/a.png"),
        ("hf://datasets/o/n/x", "../a.png", "hf://datasets/o/n/a.png"),
    ],
)
def test_a_path_below_a_folder(folder, path, file):
    assert RemoteFile(folder) / path == RemoteFile(file)


@pytest.mark.parametrize(
    ("folder", "path"),
    [
        ("s3://bucket/x", "../../a.png"),
        ("https://host/x", "../../etc/passwd"),
        ("hf://datasets/o/n/x", "../../m/a.png"),
        ("s3://bucket/x", "/etc/passwd"),
        ("s3://bucket/x", "file:///etc/passwd"),
        ("s3://bucket/x", "~/a.png"),
        ("s3://bucket/x", "C:\\a.png"),
        ("s3://bucket/x", "\\\\host\\a.png"),
    ],
)
def test_a_path_that_leads_out(folder, path):
    with pytest.raises(ValueError, match="path"):
        _ = RemoteFile(folder) / path


def test_a_table_at_a_url_names_no_local_file(web, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(9))
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.png").write_bytes(png(1))
    chained = f"simplecache::file://{secret}"
    cells = [str(secret), f"file://{secret}", "../secret.png", f"../..{secret}", chained, "a.png"]
    text = "image,y\n" + "".join(f"{cell},1\n" for cell in cells)
    url = web.put("/deep/t.csv", text.encode())
    web.put("/deep/a.png", png(2))
    read: dict[str | None, list[bytes | str]] = {}
    for root in (None, str(tmp_path / "pics")):
        examples = open_source(url, SourceOptions(image_column="image", image_root=root))
        read[root] = []
        for image in examples.images:
            try:
                content = pixels.read(image)
                assert isinstance(content, bytes)
                read[root].append(content)
            except pixels.UnusableImage as error:
                read[root].append(str(error).split(";")[0])
    assert web.asked == ["/deep/t.csv", "/secret.png", "/deep/a.png", "/deep/t.csv"]
    assert read[None] == ["refused"] * 2 + ["HTTP 404 Not Found"] + ["refused"] * 2 + [png(2)]
    assert read[str(tmp_path / "pics")] == ["refused"] * 5 + [png(1)]


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://host/t.csv", "simplecache::https://host/t.csv"]
)
def test_other_addresses_are_refused_by_name(address):
    assert not is_url(address)
    with pytest.raises(InputError, match="is no address that jaxreg reads"):
        open_source(address)
    with pytest.raises(InputError, match="is no address that jaxreg reads"):
        open_vectors(address)
    with pytest.raises(RemoteError, match="refused"):
        read_remote(RemoteFile(address), 100)


def test_signatures_are_in_no_id_and_no_column(web, tmp_path):
    names = ["a.png", "b.png"]
    for place, name in enumerate(names):
        web.put(f"/{name}", png(place))
    cells = [f"{web.url}/{name}?{SIGNED}" for name in names]
    table = pa.table({"image": cells, "y": [1.0, 2.0]})
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("image,y\n" + f"{cells[0]},1\n{cells[1]},2\n")
    for kind in ("csv", "parquet"):
        for options in (SourceOptions(), SourceOptions(id_column="image")):
            examples = open_source(tmp_path / f"t.{kind}", options)
            said = repr(
                (examples.ids, examples.paths, examples.columns.to_pydict(), examples.description)
            )
            assert "Amz" not in said
            assert examples.ids == tuple(f"{web.url}/{name}" for name in names)
            web.asked.clear()
            assert contents(examples) == [png(0), png(1)]
            assert web.asked == [f"/{name}?{SIGNED}" for name in names]


def test_urls_and_paths_in_one_table(web, tmp_path):
    (tmp_path / "here.png").write_bytes(png(1))
    (tmp_path / "copied.png").write_bytes(png(2))
    web.put("/x/there.png", png(3))
    cells = ["here.png", f"{web.url}/x/there.png"]
    (tmp_path / "t.csv").write_text("image,y\n" + "".join(f"{cell},1\n" for cell in cells))
    examples = open_source(tmp_path / "t.csv")
    assert contents(examples) == [png(1), png(3)]
    assert examples.notes == ()
    (tmp_path / "t.csv").write_text(f"image,y\n{web.url}/x/copied.png,1\n")
    examples = open_source(tmp_path / "t.csv")
    assert contents(examples) == [png(2)]
    assert "jaxreg uses" in examples.notes[0]


def test_sources_in_a_bucket_are_those_here(bucket, tmp_path):
    (tmp_path / "d" / "p q").mkdir(parents=True)
    for number in range(12):
        (tmp_path / "d" / "p q" / f"{number}%20.png").write_bytes(png(number))
    (tmp_path / "d" / "notes.txt").write_text("text")
    (tmp_path / "d" / "p q" / ".hidden.png").write_bytes(png(0))
    names = [f"p q/{number}%20.png" for number in range(12)]
    for part in range(2):
        rows = slice(6 * part, 6 * part + 6)
        table = pa.table({"image": names[rows], "y": range(6)})
        pq.write_table(table, tmp_path / "d" / f"t-{part}.parquet")
    for file in (tmp_path / "d").rglob("*"):
        if file.is_file():
            bucket.write(str(file.relative_to(tmp_path)), file.read_bytes())
    sources = ["d", "d/", "d/p q", "d/*.parquet", "d/t-1.parquet", "d/**/*1*.png", "d/p q/3%20.png"]
    for source in sources:
        here = open_source(f"{tmp_path}/{source}")
        there = open_source(f"{bucket.url}/{source}")
        assert there.ids == here.ids
        assert contents(there) == contents(here)
        assert there.description == {
            **here.description,
            "location": f"{bucket.url}/{source}",
        }
        assert len(there.notes) == len(here.notes)
    assert open_source(f"{bucket.url}/d/p q/3%20.png").ids == ("3%20.png",)
    assert len(open_source(bucket.url)) == 12


def test_what_is_not_in_a_bucket(bucket, monkeypatch):
    bucket.write("d/t.txt", b"text")
    for source, found in {
        "d/none.csv": "no such object",
        "d/t.txt": "of a kind that jaxreg does not read",
        "d/*.png": "no image and no .parquet file matches",
        "d": "holds no image file",
    }.items():
        with pytest.raises(InputError, match=found):
            open_source(f"{bucket.url}/{source}")
    for source in ("s3://", "s3:///t.csv"):
        with pytest.raises(InputError, match="it names no bucket"):
            open_source(source)
    with pytest.raises(InputError, match="no such"):
        open_source("s3://no-such-bucket/t.csv")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("jaxreg.sources.remote_buckets.TRIES", 1)
    with pytest.raises(UnavailableError, match="no connection to the server"):
        open_source(f"{bucket.url}/d/t.csv")


def test_images_in_a_parquet_table_in_a_bucket(bucket, tmp_path):
    images = [np.random.default_rng(row).bytes(500) for row in range(200)]
    names = ["/elsewhere/a.png"] * 200
    cells = [{"bytes": b, "path": n} for b, n in zip(images, names, strict=True)]
    pq.write_table(pa.table({"image": cells, "y": range(200)}), tmp_path / "t.parquet")
    bucket.write("t.parquet", (tmp_path / "t.parquet").read_bytes())
    examples = open_source(f"{bucket.url}/t.parquet")
    assert list(examples.images) == images
    bucket.write("t.parquet", (tmp_path / "t.parquet").read_bytes() + b" ")
    with pytest.raises((InputError, RemoteError)):
        open_source(f"{bucket.url}/t.parquet")


def test_vectors_at_urls(bucket, web, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    np.savez(tmp_path / "v.npz", vectors=vectors, ids=np.array(list("abcde")))
    pq.write_table(pa.table({"id": list("abcde"), "v": vectors.tolist()}), tmp_path / "v.parquet")
    for kind in ("npy", "npz", "parquet"):
        content = (tmp_path / f"v.{kind}").read_bytes()
        bucket.write(f"v.{kind}", content)
        for url in (f"{bucket.url}/v.{kind}", web.put(f"/v.{kind}", content)):
            found = open_vectors(url)
            np.testing.assert_array_equal(found.read(np.arange(5)), vectors)
            assert found.ids is None or list(found.ids) == list("abcde")
    with pytest.raises(InputError, match="no such object"):
        open_vectors(f"{bucket.url}/none.npy")


def test_train_asks_no_server_whether_a_source_has_changed(monkeypatch):
    monkeypatch.setattr(remote_http, "get", None)
    (file,) = SourceFile.of_all([RemoteFile("https://host.invalid/t.csv?token=abc")])
    assert file.path == "https://host.invalid/t.csv"
    assert not file.has_changed


def test_a_bucket_of_google(web, tmp_path):
    """The answers are those of the JSON API of Cloud Storage, for an object and for a listing."""
    place = web.url.removeprefix("http://")
    about = {
        "kind": "storage#object",
        "bucket": "bucket",
        "name": "d/a.png",
        "size": str(len(png(5))),
        "updated": "2026-11-30T00:00:00Z",
        "generation": "1",
    }
    api = "/storage/v1/b/bucket/o"
    web.put(f"{api}/d%2Fa.png", json.dumps(about).encode())
    web.put(f"{api}/d%2Fa.png?alt=media", png(5))
    web.put(api, json.dumps({"kind": "storage#objects", "items": [about]}).encode())
    reached = f"?endpoint_override={place}&scheme=http"
    for source in ("d/a.png", "d/", "d/*.png"):
        examples = open_source(f"gs://anonymous@bucket/{source}{reached}")
        assert examples.ids == ("a.png",)
        assert contents(examples) == [png(5)]
    with pytest.raises(RemoteError, match="it has more than 10 Bytes"):
        read_remote(RemoteFile(f"gs://anonymous@bucket/d/a.png{reached}"), 10)


@pytest.fixture
def hub(web, monkeypatch):
    """A data set of a hub that has the two answers that jaxreg asks for: its state, its files."""
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", web.url)
    place = web.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", place)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    hub.HfFileSystem.clear_instance_cache()
    files = {f"pics/{number}.png": png(number) for number in range(4)}
    rows = "".join(f"{name},{number}\n" for number, name in enumerate(files))
    files["t.csv"] = f"image,y\n{rows}".encode()
    api = "/api/datasets/o/n"
    about = json.dumps({"id": "o/n", "sha": "0" * 40, "private": False, "siblings": []})
    web.put(api, about.encode())
    web.put(f"{api}/revision/main", about.encode())

    def listing(below: str, *, recursive: bool) -> bytes:
        found = [
            {"type": "file", "path": name, "size": len(content), "oid": "1" * 40}
            for name, content in files.items()
            if name.startswith(below) and (recursive or "/" not in name.removeprefix(below))
        ]
        if not below:
            found.append({"type": "directory", "path": "pics", "size": 0, "oid": "2" * 40})
        return json.dumps(found).encode()

    web.put(f"{api}/tree/main", listing("", recursive=True))
    web.put(f"{api}/tree/main/pics", listing("pics/", recursive=True))
    away = web.url.replace("127.0.0.1", "localhost")  # as the hub sends to another host
    for name, content in files.items():
        web.put(f"/stored/{name}", content)
        web.moved[f"/datasets/o/n/resolve/main/{name}"] = f"{away}/stored/{name}"
    yield files
    hub.HfFileSystem.clear_instance_cache()


def test_a_data_set_of_the_hub(hub, web):
    wanted = [png(number) for number in range(4)]
    table = open_source("hf://datasets/o/n/t.csv")
    assert table.ids == tuple(f"pics/{number}.png" for number in range(4))
    assert contents(table) == wanted
    assert contents(open_source("hf://datasets/o/n/pics")) == wanted
    assert contents(open_source("hf://datasets/o/n/pics/[12].png")) == wanted[1:3]
    assert contents(open_source("hf://datasets/o/n@main/pics/3.png")) == wanted[3:]
    asked = dict(zip(web.asked, web.sent, strict=True))
    assert asked["/datasets/o/n/resolve/main/t.csv"]["authorization"] == "Bearer hf_of_a_test"
    assert "authorization" not in asked["/stored/t.csv"]
    with pytest.raises(InputError, match="no such data set or file"):
        open_source("hf://datasets/o/n/none.csv")
    with pytest.raises(InputError, match="expected hf://datasets/OWNER/NAME"):
        open_source("hf://o/n/t.csv")


def test_parts_of_a_file_of_the_hub(hub):
    file = open_random(RemoteFile("hf://datasets/o/n/t.csv"))
    file.seek(6)
    assert file.read(3) == hub["t.csv"][6:9]
