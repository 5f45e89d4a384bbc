"""A network is converted once on a machine, whoever asks for it, and whatever ends who converts."""

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxreg.backbone import kept_networks, openvino_model
from jaxreg.backbone.kept_networks import kept_network
from jaxreg.backbone.openvino_engine import packed_network
from jaxreg.backbone.weights import identify_weights
from jaxreg.cache.recipe import Recipe
from jaxreg.common import stored_zip
from jaxreg.common.steps import running
from jaxreg.errors import InputError

PACKED = stored_zip.pack({"model.xml": b"network"})

CONVERT = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from jaxreg.backbone.kept_networks import kept_network
    from jaxreg.common import stored_zip

    def convert():
        with open(sys.argv[1], "a") as log:
            log.write("converted\\n")
        print("converting", flush=True)
        time.sleep(float(sys.argv[2]))
        return stored_zip.pack({"model.xml": b"network"})

    print(len(kept_network("some", convert)), flush=True)
    """
)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    return tmp_path


def start(places: Path, seconds: float) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", CONVERT, str(places / "log"), str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> list[str]:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    return output.split()


def left(places: Path) -> list[str]:
    return sorted(path.name for path in (places / "user" / "jaxreg" / "openvino").iterdir())


def test_of_several_processes_one_converts(places: Path) -> None:
    found = sorted(map(told, [start(places, 1.0) for _ in range(3)]))
    size = str(len(PACKED))
    assert found == [[size], [size], ["converting", size]]
    assert left(places) == ["some.zip"]


def test_if_it_is_killed_the_next_one_converts(places: Path) -> None:
    first = start(places, 600)
    assert first.stdout is not None
    assert first.stdout.readline() == "converting\n"
    second = start(places, 0)
    first.kill()
    first.communicate()
    assert told(second) == ["converting", str(len(PACKED))]
    assert told(start(places, 0)) == [str(len(PACKED))]
    assert left(places) == ["some.zip"]


def test_one_that_is_suspended_is_not_waited_for(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(places, 0.5)
    assert first.stdout is not None
    assert first.stdout.readline() == "converting\n"
    first.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(kept_networks, "PATIENCE", 0.3)
    assert kept_network("some", lambda: PACKED) == PACKED
    first.send_signal(signal.SIGCONT)
    assert told(first) == [str(len(PACKED))]
    assert left(places) == ["some.zip"]


def test_who_waits_says_so(places: Path) -> None:
    waiting: list[str] = []

    def convert() -> bytes:
        other.start()
        for _ in range(1000):
            if waiting[:] or not other.is_alive():
                break
            waiting.extend(one.name for one in list(running) if one.name.startswith("waiting"))
            other.join(0.01)
        return PACKED

    other = threading.Thread(target=lambda: kept_network("some", lambda: b"never"))
    assert kept_network("some", convert) == PACKED
    other.join(600)
    assert waiting == ["waiting for another command, which converts the network"]


@pytest.mark.parametrize("damage", [lambda zipped: zipped[:-9], lambda zipped: b""])
def test_a_damaged_one_is_converted_anew(places: Path, damage: Callable[[bytes], bytes]) -> None:
    kept_network("some", lambda: PACKED)
    [path] = (places / "user" / "jaxreg" / "openvino").iterdir()
    path.write_bytes(damage(PACKED))
    assert kept_network("some", lambda: PACKED) == PACKED == path.read_bytes()


def test_an_error_is_passed_on_and_the_next_one_may_try(places: Path) -> None:
    def fails() -> bytes:
        raise ValueError("no network")

    with pytest.raises(ValueError, match="no network"):
        kept_network("some", fails)
    assert kept_network("some", lambda: PACKED) == PACKED


def test_a_cache_that_cannot_be_made_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert kept_network("some", lambda: PACKED) == PACKED


def test_what_needs_another_conversion(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """InceptionV3's padding depends on no size; that of other networks does."""
    converted: list[tuple] = []

    def convert(backbone: str, weights: object, size: object) -> bytes:
        converted.append((backbone, size))
        return PACKED

    monkeypatch.setattr(openvino_model, "_converted", convert)
    random = identify_weights("random")
    assert random is not None
    for size in ((299, 299), (150, 150), None):
        packed_network(Recipe(random.identity, random.tag, size=size), random)
    low = Recipe(random.identity, random.tag, precision="bfloat16", engine="openvino")
    packed_network(low, random)
    assert converted == [("inception_v3", (299, 299))]
    for size in ((224, 224), (96, 96), (224, 224)):
        recipe = Recipe(random.identity, random.tag, backbone="mobilenet_v2", size=size)
        packed_network(recipe, random)
    assert converted[1:] == [("mobilenet_v2", (224, 224)), ("mobilenet_v2", (96, 96))]


def test_a_full_folder_of_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's limit of a file's size stands for the end of a disk."""
    resource = pytest.importorskip("resource")
    ov = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    constant = ops.constant(np.ones(2**16, np.float32))
    model = ov.Model([ops.result(constant)], [], "large")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**17, hard))
    try:
        with pytest.raises(InputError, match=f"cannot be written to {tmp_path}: File too large"):
            openvino_model.pack(model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [*tmp_path.iterdir()]
    assert openvino_model.pack(model)
