"""Pictures and tables on the web: as the same files here, whatever the server does."""

import asyncio
import gzip
import pickle
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxreg.cache.store import Cache
from jaxreg.common.remote_file import RemoteError, RemoteFile
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extraction.fetch_ahead import REQUESTS
from jaxreg.extraction.pipeline import Task, extract
from jaxreg.sources import SourceOptions, open_source, pixels, remote_http
from jaxreg.sources.remote_read import open_random, read_remote
from tables import png
from test_extraction import AVG, MeanEngine, run
from web import Web

MOST = 2**20


def pictures(web: Web, folder: Path, count: int) -> list[str]:
    """The same pictures here and on the web; their names."""
    names = [f"pics/{number}.png" for number in range(count)]
    (folder / "pics").mkdir(exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(png(number))
        web.put(f"/{name}", png(number))
    return names


def tables(folder: Path, names: list[str]) -> None:
    """The same table in every format."""
    columns = {"image": names, "y": [float(place) for place in range(len(names))]}
    rows = [f"{name},{y}" for name, y in zip(*columns.values(), strict=True)]
    text = "\n".join(["image,y", *rows]) + "\n"
    (folder / "t.csv").write_text(text)
    (folder / "t.tsv").write_text(text.replace(",", "\t"))
    pq.write_table(pa.table(columns), folder / "t.parquet", row_group_size=2)
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [["image", "y"], *map(list, zip(*columns.values(), strict=True))]:
        book.active.append(row)
    book.save(folder / "t.xlsx")


@pytest.mark.parametrize("kind", ["csv", "tsv", "xlsx", "parquet"])
def test_a_table_on_the_web_is_the_table_here(web, tmp_path, kind):
    names = pictures(web, tmp_path, 5)
    tables(tmp_path, names)
    url = web.put(f"/t.{kind}", (tmp_path / f"t.{kind}").read_bytes())
    here, there = open_source(tmp_path / f"t.{kind}"), open_source(url)
    assert there.ids == here.ids == tuple(names)
    assert there.columns.equals(here.columns)
    assert there.images == [RemoteFile(f"{web.url}/{name}") for name in names]
    assert list(map(pixels.read, there.images)) == list(map(pixels.read, here.images))
    assert there.paths == tuple(f"{web.url}/{name}" for name in names)
    assert there.description == {**here.description, "location": url}


def test_an_archive_of_numpy_on_the_web(web, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 7, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, targets=np.arange(3.0))
    examples = open_source(web.put("/a.npz", (tmp_path / "a.npz").read_bytes()))
    assert len(examples) == len(images)
    for found, image in zip(examples.images, images, strict=True):
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, image)
    assert examples.columns["target"].to_pylist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["a.png", "picture"])
def test_one_image_on_the_web(web, name):
    examples = open_source(web.put(f"/{name}", png(7)))
    assert examples.ids == (name,)
    assert pixels.read(examples.images[0]) == png(7)


def test_what_is_no_table_and_no_image_has_one_message(web):
    web.put("/folder/", b"<html>a list</html>")
    for what in ("/folder/", "/folder/*.png"):
        with pytest.raises(InputError, match="a web server has no list of its files"):
            open_source(web.url + what)


def test_images_in_a_parquet_table_on_the_web_are_read_in_ranges(web, tmp_path):
    images = [np.random.default_rng(row).bytes(2000) for row in range(300)]
    pq.write_table(pa.table({"image": images, "y": range(300)}), tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    examples = open_source(web.put("/t.parquet", content))
    assert [examples.images[row] for row in range(300)] == images
    assert all("range" in headers for headers in web.sent)


@pytest.mark.parametrize("ranges", [True, False])
def test_any_part_of_a_file_on_the_web(web, ranges):
    content = np.random.default_rng(0).bytes(200_000)
    url = web.put("/file", content)
    web.no_ranges |= set() if ranges else {"/file"}
    file = open_random(RemoteFile(url))
    rng = np.random.default_rng(1)
    for _ in range(30):
        start, count = rng.integers(0, 210_000), int(rng.integers(0, 90_000))
        file.seek(start)
        assert file.read(count) == content[start : start + count]
    assert len(web.asked) == 1 or ranges


def test_a_file_that_changes_while_its_parts_are_read(web):
    file = open_random(RemoteFile(web.put("/file", bytes(200_000))))
    web.put("/file", bytes(200_001))
    file.seek(150_000)
    with pytest.raises(RemoteError, match="it has changed while it was read"):
        file.read(10)


def test_tries_end_well_after_all_usual_failures(web):
    url = web.put("/a.png", png(3))
    web.statuses["/a.png"] = [503, 429]
    web.cuts["/a.png"] = web.drops["/a.png"] = 1
    assert read_remote(RemoteFile(url), MOST) == png(3)
    assert len(web.asked) == 5 == remote_http.TRIES
    web.statuses["/a.png"] = [500] * 9
    with pytest.raises(RemoteError, match=r"HTTP 500 Internal Server Error \(5 tries\)") as caught:
        read_remote(RemoteFile(url), MOST)
    assert len(web.asked) == 10
    assert not caught.value.lasting


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_another_try_does_not_mend_is_tried_once(web, status):
    url = web.put("/a.png", png(3))
    web.statuses["/a.png"] = [status] * 9
    with pytest.raises(RemoteError, match=f"HTTP {status}") as caught:
        read_remote(RemoteFile(url), MOST)
    assert len(web.asked) == 1
    assert caught.value.lasting


def test_the_wait_that_a_server_asks_for(web, monkeypatch):
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(remote_http, "_pause", sleep)
    url = web.put("/a.png", png(3))
    web.headers["/a.png"] = {"Retry-After": "7"}
    web.statuses["/a.png"] = [429, 503]
    assert read_remote(RemoteFile(url), MOST) == png(3)
    assert slept == [7, 7]
    web.headers["/a.png"] = {"Retry-After": "90000"}
    web.statuses["/a.png"] = [503]
    assert read_remote(RemoteFile(url), MOST) == png(3)
    assert slept[2:] == [remote_http.LONGEST_WAIT]


def test_a_host_that_fails_again_and_again_gets_one_try_for_each_file(web, monkeypatch):
    web.put("/a.png", png(1))
    web.statuses["/a.png"] = [500] * 1000
    monkeypatch.setattr(remote_http, "DOWN", 3)
    for _ in range(3):
        with pytest.raises(RemoteError):
            read_remote(RemoteFile(f"{web.url}/a.png"), MOST)
    asked = len(web.asked)
    with pytest.raises(RemoteError):
        read_remote(RemoteFile(f"{web.url}/a.png"), MOST)
    assert len(web.asked) == asked + 1
    web.statuses.clear()
    assert read_remote(RemoteFile(f"{web.url}/a.png"), MOST) == png(1)
    web.statuses["/a.png"] = [500]
    assert read_remote(RemoteFile(f"{web.url}/a.png"), MOST) == png(1)


def test_a_body_ends_at_the_limit(web):
    url = web.put("/a.png", bytes(1000))
    with pytest.raises(RemoteError, match=r"it has 1\.0 kB; more than 100 Bytes are refused"):
        read_remote(RemoteFile(url), 100)
    web.put("/a.png", gzip.compress(bytes(10**7)))
    web.headers["/a.png"] = {"Content-Encoding": "gzip"}
    with pytest.raises(RemoteError, match=r"it has more than 100.0 kB, which is the limit"):
        read_remote(RemoteFile(url), 10**5)


def test_an_answer_that_comes_too_slowly_is_given_up(web, monkeypatch):
    url = web.put("/a.png", bytes(1000))
    monkeypatch.setattr(remote_http, "SLOWEST", 2000)
    monkeypatch.setattr(remote_http, "GRACE", -1.0)  # as if a second had passed
    with pytest.raises(RemoteError, match="it comes at less than 2000 bytes/s"):
        read_remote(RemoteFile(url), MOST)
    assert len(web.asked) == 1


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_that_waits_for_another_one_is_not_slow(web, monkeypatch, announced):
    """The lock takes five seconds of this clock, all else none."""
    monkeypatch.setattr(remote_http, "LARGE", 10_000)
    monkeypatch.setattr(remote_http, "GRACE", 2.0)
    monkeypatch.setattr(remote_http, "SLOWEST", 2**20)
    clock = [0.0]

    class Lock(asyncio.Lock):
        async def acquire(self) -> Literal[True]:
            clock[0] += 5.0
            return await super().acquire()

    monkeypatch.setattr(remote_http, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    content = bytes(600_000)
    url = web.put("/small", b"1")
    read_remote(RemoteFile(url), MOST)
    remote_http._sessions[-1].large = Lock()
    web.put("/large", content if announced else gzip.compress(content))
    web.headers["/large"] = {} if announced else {"Content-Encoding": "gzip"}
    assert read_remote(RemoteFile(f"{web.url}/large"), MOST) == content
    assert clock == [5.0]


def test_hosts_and_paths_in_other_letters_and_addresses_that_are_none(web):
    web.put("/%C3%BC%20x.png", png(1))
    wide = web.url.replace("127.0.0.1", "\uff4cocalhost")  # RFC 5895 maps it to localhost
    for url in (web.url, wide):
        assert read_remote(RemoteFile(f"{url}/\u00fc x.png?sig=a%2Fb"), MOST) == png(1)
    assert web.asked[0] == "/%C3%BC%20x.png?sig=a%2Fb"
    for wrong in ("http://", "http://[::1/a.png", "http://127.0.0.1:99999/a.png"):
        with pytest.raises(RemoteError, match="it is not a valid web address"):
            read_remote(RemoteFile(wrong), MOST)


def test_an_answer_in_broken_chunks_ends(web, monkeypatch):
    """aiohttp alone waits for ever for what comes behind a chunk that is none."""
    monkeypatch.setattr(remote_http, "SILENT", 0.3)
    remote_http.close()
    web.broken.add("/a.png")
    stop = threading.Event()
    timer = threading.Timer(20, stop.set)
    timer.start()
    try:
        with pytest.raises(RemoteError, match=r"\(5 tries\)"):
            read_remote(RemoteFile(web.put("/a.png", png(1))), MOST, stop)
    finally:
        timer.cancel()


def test_redirects_lead_to_the_web_only_and_take_no_password_along(web):
    web.put("/a.png", png(1))
    web.moved |= {"/to": "/a.png", "/round": "/round", "/file": "file:///etc/passwd"}
    url = web.url.replace("://", "://user:secret@")
    assert read_remote(RemoteFile(f"{url}/to"), MOST) == png(1)
    assert web.sent[0]["authorization"].startswith("Basic ")
    with pytest.raises(RemoteError, match="redirects to what is no http"):
        read_remote(RemoteFile(f"{url}/file"), MOST)
    with pytest.raises(RemoteError, match="redirects without an end") as caught:
        read_remote(RemoteFile(f"{url}/round"), MOST)
    assert "secret" not in str(caught.value)
    web.sent.clear()
    web.moved["/away"] = web.url.replace("127.0.0.1", "localhost") + "/a.png"
    assert read_remote(RemoteFile(f"{url}/away"), MOST) == png(1)
    assert ["authorization" in headers for headers in web.sent] == [True, False]


def test_servers_that_are_not_there_and_slow_ones(web, monkeypatch):
    with socket.socket() as taken:  # nobody listens at it
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UnavailableError, match=r"no connection to 127\.0\.0\.1"):
            open_source(f"http://127.0.0.1:{taken.getsockname()[1]}/t.csv")
    monkeypatch.setattr(remote_http, "SILENT", 0.05)
    remote_http.close()
    web.delays["/t.csv"] = 0.3
    with pytest.raises(UnavailableError, match="no answer in time"):
        open_source(web.put("/t.csv", b"image,y\na.png,1\n"))


def test_many_requests_are_under_way_and_each_failure_is_an_example(web, tmp_path):
    names = pictures(web, tmp_path, 100)
    for place, name in enumerate(names):
        web.delays[f"/{name}"] = 0.02
        web.statuses[f"/{name}"] = [503] * (place % 5 == 0)
    bad = {3: 404, 8: 403}
    for place, status in bad.items():
        web.statuses[f"/{names[place]}"] = [status] * 9
    web.put(f"/{names[50]}", b"<html>not an image</html>")
    here, there = Cache(tmp_path / "here"), Cache(tmp_path / "there")
    wanted, _ = run([tmp_path / name for name in names], here)
    got, engine = run([RemoteFile(f"{web.url}/{name}") for name in names], there)
    lost = {3, 8, 50}
    assert [digest for row, digest in enumerate(got.digests) if row not in lost] == [
        digest for row, digest in enumerate(wanted.digests) if row not in lost
    ]
    assert [row for row, _ in got.failed] == sorted(lost)
    reasons = dict(got.failed)
    assert reasons[3] == "HTTP 404 Not Found"
    assert reasons[8] == "HTTP 403 Forbidden"
    assert len(engine.seen) == 97
    assert 8 < web.most <= REQUESTS
    again, engine = run([RemoteFile(f"{web.url}/{name}") for name in names], there)
    assert (again.digests, engine.seen) == (got.digests, [])


def test_a_picture_of_many_rows_is_asked_for_once(web, tmp_path):
    names = pictures(web, tmp_path, 3)
    files = [RemoteFile(f"{web.url}/{names[row % 3]}") for row in range(900)]
    cache = Cache(tmp_path / "cache")
    outcome, engine = run(files, cache)
    assert len(set(outcome.digests)) == len(engine.seen) == 3
    assert len(web.asked) <= 3 * 3  # threads that need one at the same moment may all ask


def test_a_stop_gives_requests_up(web, tmp_path):
    web.put("/a.png", png(1))
    web.delays["/a.png"] = 5.0
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(RemoteError, match="stopped"):
        read_remote(RemoteFile(f"{web.url}/a.png"), MOST, stop)


def test_an_extraction_stops_while_it_waits_for_an_answer(web, tmp_path):
    images = [RemoteFile(web.put("/a.png", png(1)))]
    web.delays["/a.png"] = 20.0
    task = Task(images, Cache(tmp_path), "set", (AVG,))
    outcome = extract(task, MeanEngine, should_stop=lambda: bool(web.asked))
    assert outcome.stopped
    assert outcome.digests == []  # it did not wait for the picture


def test_a_remote_file_travels_as_its_url():
    file = RemoteFile("https://host.invalid/a.png")
    assert pickle.loads(pickle.dumps(file)) == file


def test_without_the_extra_there_is_one_message(monkeypatch, web):
    monkeypatch.setattr(remote_http, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="is not installed") as caught:
        open_source(f"{web.url}/t.csv")
    assert "pip install 'jaxreg[url]'" in caught.value.remedy
    with pytest.raises(InputError, match="is not installed"):
        pixels.read(RemoteFile(f"{web.url}/a.png"))


def test_options_name_places_on_the_web(web, tmp_path):
    names = pictures(web, tmp_path, 2)
    table = tmp_path / "elsewhere" / "t.csv"
    table.parent.mkdir()
    table.write_text("image,y\n0,1\n1,2\n")
    options = SourceOptions(image_root=f"{web.url}/pics", image_suffix="png", image_column="image")
    examples = open_source(table, options)
    assert examples.images == [RemoteFile(f"{web.url}/{name}") for name in names]
