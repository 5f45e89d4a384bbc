"""A bucket as a store: what boto3 sees of it, and what a user sees of its faults."""

import hashlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from buckets import Bucket, access_to, environment
from faulty_proxy import Fault, Proxy, proxy_before
from jaxreg.cache import bucket_store, local_copies
from jaxreg.cache.bucket_store import BucketStore
from jaxreg.cache.object_store import open_store, place_of
from jaxreg.errors import InputError, UnavailableError


@pytest.fixture(autouse=True)
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this machine's copies, empty for each test."""
    monkeypatch.setattr(local_copies, "user_cache", lambda: tmp_path / "user")
    return tmp_path / "user" / "buckets"


@pytest.fixture
def store(bucket: Bucket) -> BucketStore:
    return BucketStore(f"{bucket.url}/some/folder/")


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[Proxy]:
    """A proxy before the server of `bucket`; stores that are made now go through it."""
    with (
        proxy_before(bucket.endpoint) as made,
        environment(access_to(made.endpoint, Path("/absent"))),
    ):
        yield made


def part_of(content: bytes) -> str:
    return f"features/x/part-{hashlib.sha256(content).hexdigest()[:16]}.parquet"


def test_files_are_listed_read_replaced_and_deleted(bucket: Bucket, store: BucketStore) -> None:
    assert store.list("") == []
    assert not store.exists("")
    store.put("a/b/één.json", b"one")
    store.put("a/c", b"")
    bucket.write("some/folder/a/b/x y+%", b"by boto3")
    bucket.write("some/folderless", b"another prefix")
    assert [(e.key, e.size, e.kind) for e in store.list("a")] == [
        ("a/b/x y+%", 8, "file"),
        ("a/b/één.json", 3, "file"),
        ("a/c", 0, "file"),
    ]
    assert store.list("a") == store.list("")
    assert sorted(store.children("a")) == ["b", "c"]
    assert store.exists("")
    assert store.read("a/b/x y+%") == b"by boto3"
    store.put("a/b/één.json", b"two!")
    assert bucket.read("some/folder/a/b/één.json") == b"two!"
    assert store.size("a/b/één.json") == 4
    store.rename("a/c", "a/d")
    assert (store.exists("a/c"), store.exists("a/d"), store.exists("a")) == (False, True, False)
    store.delete("a/d")
    store.delete("a/d")
    assert [entry.key for entry in store.list("a")] == ["a/b/x y+%", "a/b/één.json"]
    for missing in (store.read, store.size):
        with pytest.raises(FileNotFoundError, match=f"{bucket.url}/some/folder/a/d"):
            missing("a/d")


def test_more_than_a_page_is_listed(store: BucketStore) -> None:
    for number in range(1010):  # a listing has 1,000 objects
        store.put(f"many/{number}", b"")
    assert len(store.list("many")) == 1010


def test_a_small_object_is_one_put(store: BucketStore, bucket: Bucket, proxy: Proxy) -> None:
    through = BucketStore(bucket.url)
    through.put("small", bytes(9_000_000))
    assert proxy.count() == {"PUT": 1}
    proxy.requests.clear()
    through.put("large", bytes(25_000_000))
    assert proxy.count() == {"POST": 2, "PUT": 3}  # begin, three pieces, end
    assert bucket.read("large") == bytes(25_000_000)


def test_an_upload_that_breaks_leaves_the_old_object(bucket: Bucket, proxy: Proxy) -> None:
    store = BucketStore(bucket.url)
    store.put("a", b"old")
    proxy.fault = lambda method, path: "denied" if "partNumber=2" in path else None
    with pytest.raises(InputError, match=f"{bucket.url}/a: access is denied"):
        store.put("a", bytes(25_000_000))
    assert bucket.read("a") == b"old"


def test_too_large_an_object_is_not_read(store: BucketStore) -> None:
    store.put("a", b"12345")
    with pytest.raises(OSError, match="it has 5 Bytes; more than 4 Bytes are refused"):
        store.read("a", 4)
    assert store.read("a", 5) == b"12345"


@pytest.mark.parametrize("fault", ["lost", "unanswered", "cut", "half", "double", "busy", "broken"])
def test_each_request_may_fail_once(bucket: Bucket, proxy: Proxy, fault: Fault) -> None:
    store = BucketStore(bucket.url)
    seen = set[tuple[str, str]]()

    def once(method: str, path: str) -> Fault | None:
        first = (method, path) not in seen
        seen.add((method, path))
        return fault if first else None

    proxy.fault = once
    content = bytes(range(256)) * 100
    store.put("a/b", content)
    assert [entry.key for entry in store.list("a")] == ["a/b"]
    assert store.read("a/b") == content
    store.delete("a/b")
    assert bucket.keys() == ["a/"]  # pyarrow's sign of a folder


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ("denied", InputError, "access is denied"),
        ("lost", UnavailableError, "cannot be reached: NETWORK_CONNECTION"),
        ("busy", UnavailableError, "cannot be reached: .*(503|SLOW_DOWN)"),
    ],
)
def test_what_stays_is_one_message(
    bucket: Bucket,
    proxy: Proxy,
    fault: Fault,
    error: type[Exception],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bucket_store, "ATTEMPTS", 1)
    monkeypatch.setattr(bucket_store, "PATIENCE", 0.0)
    store = BucketStore(bucket.url)
    proxy.fault = lambda method, path: fault
    for work in (store.list, store.read, store.exists, store.delete, lambda k: store.put(k, b"")):
        with pytest.raises(error, match=f"^{bucket.url}/a.*{says}"):
            work("a")


def test_what_the_library_gives_up_at_once_is_done_again(
    bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_store, "ATTEMPTS", 1)
    monkeypatch.setattr(bucket_store, "PAUSE", 0.01)
    store = BucketStore(bucket.url)
    left: list[Fault] = ["lost", "busy", "lost"]
    proxy.fault = lambda method, path: left.pop() if left else None
    store.put("a", b"1")
    assert bucket.read("a") == b"1"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://", "names no bucket"),
        ("s3:///folder", "names no bucket"),
        ("http://host/folder", "names a kind of place that holds no cache"),
        ("s3://bucket/a//b", "a folder without a name"),
        ("s3://bucket/a/../b", r"named . or ..$"),
        ("s3://bucket/a#b", "has a #"),
        ("s3://bucket/a?access_key=me", "both access_key and secret_key"),
        ("s3:/bucket/a", "begins with s3:/"),
        ("s3://bucket/x?colour=red", "Unexpected query parameter.*colour"),
        ("s3://no-such-bucket/x", "there is no bucket no-such-bucket"),
    ],
)
def test_a_wrong_url_is_one_message(bucket: Bucket, url: str, says: str) -> None:
    with pytest.raises(InputError, match=f"(?m){says}"):
        open_store(url).list("")


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:HU/SH@bucket/x",  # secrets of AWS have slashes
        "s3://AKIA:HU#SH@bucket/x",
        "s3://AKIA:HU?SH@bucket/x",
        "s3://AKIA:HUSH@bucket:9000/x",
        "s3://AKIA:HUSH@bucket/a/../x",
        "s3://bucket/x?access_kye=AKIA&secret_key=HUSH",
        "s3:/AKIA:HUSH@bucket/x",
    ],
)
def test_a_refused_url_shows_no_secret(url: str) -> None:
    with pytest.raises(InputError) as refused:
        open_store(url)
    assert not re.search("HU|SH@|AKIA", str(refused.value))


def test_a_path_in_a_bucket_may_have_any_characters(bucket: Bucket) -> None:
    for path, key in (("a b", "a b"), ("a%20b", "a b"), ("é[1]%", "é[1]%"), ("x%23y", "x#y")):
        store = open_store(f"{bucket.url}/{path}/")
        store.put("k", b"1")
        assert bucket.keys(key) == [f"{key}/k"]
        assert [entry.key for entry in store.list("")] == ["k"]
        assert store.shown("k") == f"{bucket.url}/{path}/k"


def test_two_names_of_one_place_are_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = ("s3://b/a%20b", "S3://k:s@b/a b/", "s3://b/a b?region=us-east-1&secret_key=x")
    assert len(set(map(place_of, same))) == 1
    assert place_of("gcs://b/c") == place_of("gs://anonymous@b/c/")
    assert place_of("s3://b/cache") != place_of("s3://b/cache2")
    assert place_of(f"FILE://{tmp_path}/x%20y/") == str(tmp_path / "x y")
    assert open_store(tmp_path / "s3:/b").root == str(tmp_path / "s3:" / "b")
    monkeypatch.chdir(tmp_path)
    folder = open_store("./s3://b").root
    assert folder == "./s3:/b" == open_store(folder).root
    assert place_of(folder) == place_of(Path("s3:/b")) == str(tmp_path / "s3:" / "b")


def test_credentials_come_in_the_usual_ways(bucket: Bucket, proxy: Proxy, tmp_path: Path) -> None:
    profiles = tmp_path / "credentials"
    profiles.write_text(
        "".join(
            f"[{name}]\naws_access_key_id = {name}-key\naws_secret_access_key = secret\n"
            for name in ("default", "other")
        )
    )
    there = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": proxy.endpoint}
    in_file = {**there, "AWS_SHARED_CREDENTIALS_FILE": str(profiles)}
    variables = {"AWS_ACCESS_KEY_ID": "variable", "AWS_SECRET_ACCESS_KEY": "secret"}
    host = proxy.endpoint.removeprefix("http://")
    here = f"?scheme=http&endpoint_override={host}"
    for url, environ, signed_by in (
        (bucket.url, in_file, "default-key"),
        (bucket.url, {**in_file, "AWS_PROFILE": "other"}, "other-key"),
        (bucket.url, {**in_file, **variables}, "variable"),
        (bucket.url + here, {**in_file, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "default-key"),
        (bucket.url, {**in_file, "AWS_ENDPOINT_URL_S3": proxy.endpoint}, "default-key"),
        (f"s3://me:se%2Fcret@{bucket.name}", {**there, **variables}, "me"),
        (f"{bucket.url}?access_key=me&secret_key=se%2Fcret", {**there, **variables}, "me"),
    ):
        proxy.requests.clear()
        with environment(environ):
            store = BucketStore(url)
            store.put("a", b"1")
        assert [one.signed_by for one in proxy.requests] == [signed_by]
        assert "cret" not in store.root + store.shown("a")


def test_an_object_replaced_while_it_is_read_is_read_whole(bucket: Bucket, proxy: Proxy) -> None:
    store = BucketStore(bucket.url)
    store.put("table", b"short")
    new = [b"a much longer one"]

    def replace(method: str, path: str) -> None:
        if method == "GET" and new:  # its size has just been asked for
            bucket.write("table", new.pop())

    proxy.fault = replace
    assert store.read("table") == b"a much longer one"


# ---- copies on this machine


def test_a_part_is_fetched_once(bucket: Bucket, proxy: Proxy) -> None:
    content = b"features"
    key = part_of(content)
    store = BucketStore(bucket.url)
    store.put(key, content)
    assert store.read(key) == content
    proxy.requests.clear()
    assert BucketStore(bucket.url).read(key) == content
    assert proxy.requests == []
    assert store.fresh().read(key) == content
    assert proxy.count() == {"HEAD": 1, "GET": 1}


def test_a_damaged_copy_is_fetched_again(bucket: Bucket, copies: Path) -> None:
    key = part_of(b"features")
    store = BucketStore(bucket.url)
    store.put(key, b"features")
    store.read(key)
    (copy,) = copies.iterdir()
    copy.write_bytes(b"FEATURES")
    assert store.read(key) == b"features"
    assert copy.read_bytes() == b"features"


def test_a_damaged_object_is_never_copied(bucket: Bucket, copies: Path) -> None:
    key = part_of(b"features")
    store = BucketStore(bucket.url)
    bucket.write(key, b"garbage")
    assert store.read(key) == b"garbage"  # whose reader finds the damage
    assert not copies.exists()


def test_a_copy_does_not_hide_an_object_of_another_size(bucket: Bucket) -> None:
    key = part_of(b"features")
    store = BucketStore(bucket.url)
    store.put(key, b"features")
    store.read(key)
    bucket.write(key, b"feat")
    store.list("")
    assert store.read(key) == b"feat"


def test_tables_and_settings_are_never_copied(bucket: Bucket, copies: Path) -> None:
    store = BucketStore(bucket.url)
    for key in ("datasets/road.parquet", "features/x/feature_set.json"):
        store.put(key, b"1")
        store.read(key)
    assert not copies.exists()
    store.put("features/x/quantized.zip", b"network")
    store.read("features/x/quantized.zip", digest=hashlib.sha256(b"network").hexdigest())
    assert [path.read_bytes() for path in copies.iterdir()] == [b"network"]


# ---- several reads at a time


def test_reads_are_in_order_and_in_parallel(bucket: Bucket, proxy: Proxy) -> None:
    store = BucketStore(bucket.url)
    keys = [f"k/{number:02}" for number in range(40)]
    for key in keys:
        bucket.write(key, key.encode())
    proxy.delay = 0.02
    asked = [*keys[:20], "absent", *keys[20:]]
    found = list(store.read_ahead(asked))
    assert [key for key, _ in found] == asked
    for key, content in found:
        if key == "absent":
            assert isinstance(content, FileNotFoundError)
        else:
            assert content == key.encode()
    assert proxy.most_in_flight > 4


def test_threads_end_when_the_reader_stops(bucket: Bucket) -> None:
    store = BucketStore(bucket.url)
    for number in range(40):
        bucket.write(f"{number}", b"1")
    reading = store.read_ahead(str(number) for number in range(40))
    next(reading)
    reading.close()
    for thread in threading.enumerate():
        if thread.name.startswith("jaxreg-read"):
            thread.join(10)
            assert not thread.is_alive()
