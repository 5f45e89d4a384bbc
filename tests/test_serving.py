"""examples/serve.py: a real server and its clients; bad requests; runs of other kinds."""

import io
import runpy
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import jaxreg
from jaxreg.sources import open_source
from jaxreg.trained_run import TrainedRun
from planted_runs import run_quick
from served_runs import FirstPixels, served_run, values_of
from typed import pixels_of

pytest.importorskip("openvino")

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "serve.py"
SECONDS = 600  # a server ends by itself after these
START = f"""
import os, runpy, sys, threading
end = threading.Timer({SECONDS}, os._exit, [1])
end.daemon = True
end.start()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def file_of(pixels: np.ndarray, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def frames(count: int) -> list[np.ndarray]:
    """Frames behind those that the run was trained on."""
    return [pixels_of(image) for image in open_source("road:60").images][-count:]


class Served(NamedTuple):
    run: TrainedRun
    client: httpx.Client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run, and the example with it in a process of its own."""
    run = served_run(tmp_path_factory.mktemp("served"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-c", START, str(SCRIPT), str(run.path), "--port", str(port)]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(words, stdout=quiet, stderr=subprocess.PIPE)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as it:
            while not _answers(it):
                assert server.poll() is None, server.communicate()[1].decode()
                time.sleep(0.2)
            yield Served(run, it)
    finally:
        server.terminate()
        server.communicate(timeout=30)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.ConnectError:
        return False


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 3.6 billion pixels."""
    head = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    data = b"IDAT" + zlib.compress(b"\x00" * 1000)
    chunks = [
        (len(part) - 4).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big")
        for part in (head, data, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.slow
def test_twenty_clients_at_a_time_get_what_predict_gives(served: Served, tmp_path: Path) -> None:
    run, client = served
    images = [file_of(frame) for frame in frames(20)]
    (tmp_path / "cache").mkdir()
    level = run.summary["intervals"]["level"]
    expected = run.predict(images, interval=level, cache=tmp_path / "cache")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda image: client.post("/predict", content=image), images * 2))
    assert {answer.status_code for answer in answers} == {200}
    assert [a.json() for a in answers[:20]] == [a.json() for a in answers[20:]]
    for place, answer in enumerate(answers[:20]):
        found = answer.json()
        assert list(found) == ["value", "low", "high", "unlike"]
        wanted = [part[place].item() for part in expected]
        np.testing.assert_allclose(list(found.values()), wanted, rtol=1e-4, atol=1e-5)
    told = client.get("/health").json()
    assert told == {"run": run.path.name, "targets": ["steering"], "interval": level}


TORN = file_of(np.arange(30_000, dtype=np.uint8).reshape(100, 100, 3))[:700]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"content": b""}, 422, "the image cannot be used: "),
        ({"content": b"not an image at all"}, 422, "not a JPEG, PNG"),
        ({"content": TORN}, 422, "the image cannot be used: broken"),
        ({"content": bomb()}, 422, "pixels"),
        ({"content": b"\0" * 20_000_001}, 413, "more than 20000000 bytes"),
        ({"files": {"image": b"\0" * 100}}, 415, "send the bytes of one image"),
        ({"json": {"image": "frame.jpg"}}, 415, "send the bytes of one image"),
    ],
    ids=["empty", "text", "torn", "bomb", "large", "form", "json"],
)
def test_a_bad_request_has_a_reason_and_the_server_goes_on(
    served: Served, request_: dict[str, Any], status: int, said: str
) -> None:
    answer = served.client.post("/predict", **request_)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]
    good = served.client.post("/predict", content=file_of(frames(1)[0]))
    assert good.status_code == 200


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch):
    """A client of the example's application around a run on the planted dataset."""
    from jaxreg.extraction import image_features

    monkeypatch.setattr(image_features, "load_engine", lambda *_, **__: FirstPixels())
    make_app = runpy.run_path(str(SCRIPT))["make_app"]
    return lambda run: TestClient(make_app(jaxreg.Predictor(run)))


PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)


def test_several_targets_are_named(planted: Path, client_of) -> None:
    run = run_quick(planted, head="ridge", target=("angle", "speed"), folds=3)
    answer = client_of(run).post("/predict", content=file_of(PIXELS, "PNG"))
    assert answer.status_code == 200
    expected = run.predict_features(values_of(PIXELS)[None])[0]
    for part in ("value", "low", "high"):
        assert list(answer.json()[part]) == ["angle", "speed"]
    values = list(answer.json()["value"].values())
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)
    assert isinstance(answer.json()["unlike"], float)


def test_side_columns_are_in_the_address(planted: Path, client_of) -> None:
    run = run_quick(planted, head="ridge", side_columns=("speed", "mode"))
    client, image = client_of(run), file_of(PIXELS, "PNG")
    answer = client.post("/predict?speed=24.5&mode=user", content=image)
    side = {"speed": [24.5], "mode": ["user"]}
    expected = run.predict_features(values_of(PIXELS)[None], side=side)[0, 0]
    assert answer.json() == {"value": pytest.approx(float(expected), rel=1e-5)}  # no folds
    for address, said in [
        ("/predict", "needs its side columns"),
        ("/predict?speed=fast&mode=user", "the side column speed holds text, as 'fast'"),
        ("/predict?speed=1", "there is no column 'mode'"),
    ]:
        answer = client.post(address, content=image)
        assert answer.status_code == 422
        assert said in answer.json()["error"]
