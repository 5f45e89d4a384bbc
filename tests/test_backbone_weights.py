"""`--weights` to an identity, and ImageNet's weights through Keras' own cache."""

import gc
import hashlib
import http.server
import inspect
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from jaxreg.backbone.download import download_imagenet
from jaxreg.backbone.registry import KerasFile
from jaxreg.backbone.weights import IMAGENET, identify_weights, keras_weights_file, random_kernels
from jaxreg.cache.recipe import Recipe
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extraction.feature_set import find_weights
from typed import known_weights


def test_a_file_is_known_by_its_bytes(tmp_path):
    path = tmp_path / "a.weights.h5"
    path.write_bytes(b"some weights")
    digest = hashlib.sha256(b"some weights").hexdigest()
    source = identify_weights(str(path))
    assert source is not None
    assert (source.identity, source.tag, source.path) == (digest, digest[:8], path)
    moved = path.rename(tmp_path / "b.keras")
    assert known_weights(str(moved)).identity == digest


@pytest.mark.parametrize(("spec", "seed"), [("random", 0), ("random:7", 7), ("random:007", 7)])
def test_random_weights_are_known_by_their_seed(spec, seed):
    source = known_weights(spec)
    assert source.identity == f"random:{seed}:v1"
    assert (source.tag, source.seed, source.path) == (f"random{seed}", seed, None)


@pytest.mark.parametrize("spec", ["random:abc", "random:-1", "random:", "random:4294967296"])
def test_a_seed_that_is_none(spec):
    with pytest.raises(InputError, match="random:SEED"):
        identify_weights(spec)


def test_a_missing_file_gets_the_nearest_name(tmp_path):
    (tmp_path / "fine.weights.h5").write_bytes(b"x")
    with pytest.raises(InputError, match=r"try: .*fine\.weights\.h5"):
        identify_weights(str(tmp_path / "fin.weights.h5"))
    with pytest.raises(InputError, match="try: --weights imagenet"):
        identify_weights("imagnet")
    with pytest.raises(InputError, match=r"\.weights\.h5, \.h5, \.keras") as error:
        identify_weights(str(tmp_path / "nowhere" / "x.h5"))
    assert error.value.remedy == ""


@pytest.mark.parametrize("name", ["folder.keras", "notes.txt", "empty.h5"])
def test_what_is_no_file_of_weights(tmp_path, name):
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty.h5").touch()
    with pytest.raises(InputError, match=r"\.weights\.h5, \.h5, \.keras"):
        identify_weights(str(tmp_path / name))


def test_imagenet_is_what_keras_has_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert identify_weights("imagenet") is None
    path = keras_weights_file()
    assert path.parent == tmp_path / "models"
    path.parent.mkdir()
    path.write_bytes(b"downloaded")
    source = known_weights("imagenet")
    assert source.identity == hashlib.sha256(b"downloaded").hexdigest()
    assert (source.tag, source.path) == ("imagenet", path)


def test_where_keras_keeps_its_files(tmp_path, monkeypatch):
    # The rule of keras/src/backend/config.py and of get_file in keras/src/utils/file_utils.py
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keras_weights_file().parent == tmp_path / ".keras" / "models"
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).startswith(str(tmp_path)))
    assert keras_weights_file().parent == Path("/tmp/.keras/models")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "other"))
    assert keras_weights_file().parent == Path("/tmp/.keras/models")
    assert keras_weights_file("resnet50").name.startswith("resnet50_weights_tf")
    with pytest.raises(InputError, match=r"expected: .*inception_v3"):
        keras_weights_file("resnet51")


def test_random_kernels_follow_the_published_rule():
    shapes = [(3, 3, 3, 32), (1, 7, 8, 4)]
    first, second = random_kernels(shapes, seed=5)
    # by hand, from docs/weights.md: one stream, kernel after kernel, glorot uniform, then float32
    unit = np.random.Generator(np.random.PCG64(5)).random(3 * 3 * 3 * 32 + 7 * 8 * 4)
    limits = (6 / (9 * 3 + 9 * 32)) ** 0.5, (6 / (7 * 8 + 7 * 4)) ** 0.5
    np.testing.assert_allclose(
        first.ravel(), (2 * unit[:864] - 1) * limits[0], rtol=1e-6, atol=1e-7
    )
    np.testing.assert_allclose(
        second.ravel(), (2 * unit[864:] - 1) * limits[1], rtol=1e-6, atol=1e-7
    )
    assert first.dtype == second.dtype == np.float32
    assert [kernel.shape for kernel in (first, second)] == shapes


class Server(http.server.ThreadingHTTPServer):
    """Has an event that ends a silent answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Site)
        self.stop = threading.Event()


class Site(http.server.BaseHTTPRequestHandler):
    """Serves `/good`; `/cut` ends too soon, `/silent` never, and everything else is forbidden."""

    def do_GET(self):
        if self.path not in ("/good", "/cut", "/silent"):
            self.send_error(403)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(PUBLISHED)))
        self.end_headers()
        self.wfile.write(PUBLISHED if self.path == "/good" else PUBLISHED[:1000])
        if self.path == "/silent":
            assert isinstance(self.server, Server)
            self.server.stop.wait(20)

    def log_message(self, format, *args):
        pass


PUBLISHED = b"weights, as if of ImageNet" * 1000


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Has Keras' file come from a server of our own; yields how to choose what it answers."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def choose(page: str, md5: str = hashlib.md5(PUBLISHED).hexdigest()) -> None:
        url = f"http://127.0.0.1:{server.server_port}/{page}"
        monkeypatch.setitem(IMAGENET, "inception_v3", KerasFile("imagenet.h5", url, md5))

    yield choose
    server.stop.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_imagenet_is_downloaded_whole_and_quietly(site, tmp_path, capfd):
    site("good")
    source = download_imagenet(time_limit=60)
    assert source == identify_weights("imagenet")
    assert source.identity == hashlib.sha256(PUBLISHED).hexdigest()
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["imagenet.h5"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Keras drops an HTTPError unclosed
@pytest.mark.parametrize(
    ("page", "md5", "reason"),
    [
        ("forbidden", None, "403"),
        ("cut", None, "retrieval incomplete"),
        ("good", "0" * 32, "hash does not match"),
        ("silent", None, "not there after 0.5 s"),
    ],
)
def test_imagenet_that_cannot_be_had(site, tmp_path, capfd, page, md5, reason):
    site(page, **({"md5": md5} if md5 else {}))
    before = socket.getdefaulttimeout()
    with pytest.raises(UnavailableError) as error:
        download_imagenet(time_limit=0.5 if page == "silent" else None)
    text = str(error.value)
    assert error.value.exit_code == 3
    del error
    gc.collect()  # now, while that warning is ignored
    assert reason in text
    assert len(text.splitlines()) == 3
    for way in ("--weights FILE", "--weights random", str(tmp_path / "models" / "imagenet.h5")):
        assert way in text
    assert list((tmp_path / "models").iterdir()) == []
    assert identify_weights("imagenet") is None
    assert socket.getdefaulttimeout() == before
    assert capfd.readouterr() == ("", "")


def test_keras_still_publishes_what_we_say():
    from keras.src.applications import inception_v3

    file = IMAGENET["inception_v3"]
    assert file.url == inception_v3.WEIGHTS_PATH_NO_TOP
    assert f'"{file.name}"' in (source := inspect.getsource(inception_v3.InceptionV3))
    assert f'file_hash="{file.hash}"' in source


def test_weights_are_found_behind_records_that_name_other_files(tmp_path: Path) -> None:
    content = b"any bytes"
    right = tmp_path / "mine.h5"
    wrong = [tmp_path / "notes.txt", tmp_path / "empty.h5", tmp_path / ("x" * 300)]
    right.write_bytes(content)
    wrong[0].write_bytes(content)
    wrong[1].touch()
    recipe = Recipe(weights=hashlib.sha256(content).hexdigest(), weights_tag="mine")
    found = find_weights(recipe, None, [*map(str, wrong), str(right)])
    assert found.path == right
    with pytest.raises(UnavailableError, match="cannot be found"):
        find_weights(recipe, None, list(map(str, wrong)))
    with pytest.raises(InputError, match="unknown suffix"):
        find_weights(recipe, str(wrong[0]), [str(right)])
