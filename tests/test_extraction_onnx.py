"""From `extract --backbone onnx:FILE` to predictions, with a tiny network."""

import hashlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxreg
from jaxreg import bundle, extract, predict, verify
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, UnavailableError
from jaxreg.list import main as list_main
from jaxreg.sources import open_source
from keras_models import bilinear, relative_error
from onnx_files import CHANNELS, DEEP, computed, convolutions, save, tokens

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed here"
)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return save(convolutions(), tmp_path / "my net.onnx")


def extracted(network: Path, source: str = "road:12", **settings: Any):
    asked = {"preprocess": "unit", "size": (32, 48), **settings}
    cache = network.parent / "cache"
    return jaxreg.extract_features(source, cache=cache, backbone=f"onnx:{network}", **asked)


def features(network: Path, done: Any) -> np.ndarray:
    cache = Cache(network.parent / "cache")
    dataset = read_dataset(cache, done.dataset)
    return cache.read(done.feature_set, dataset.columns, dataset.digests)


def test_from_images_to_predictions(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = network.parent
    said: list[str] = []
    done = extracted(network, columns=["maps.avg", f"{DEEP}.grid2x2"], say=said.append)
    assert "engine: openvino (the one that reads ONNX files)" in said
    assert done.feature_set.startswith("onnx-my-net-32x48-")
    assert done.columns == ("identity.maps.avg", "identity.blocks_blocks_1_Relu_output_0.grid2x2")
    images = [decoded(image) for image in open_source("road:12").images]
    pixels = np.stack([bilinear(image, 32, 48) for image in images]).transpose(0, 3, 1, 2) / 255
    [maps] = computed(convolutions(), pixels.astype(np.float32), "maps")
    assert relative_error(features(network, done)[:, :CHANNELS], maps.mean((2, 3))) < 1e-5

    run = jaxreg.train_head(
        "road", cache=folder / "cache", ckpts=folder, head="ridge", split="hash", validation=0.3
    )
    [recipe] = run.features.networks
    assert recipe.weights == hashlib.sha256(network.read_bytes()).hexdigest()
    with pytest.warns(UserWarning, match="was trained on 10 of the 12"):
        wanted = run.predict(images)
    assert "my-net" in (run.path / "report.html").read_text()
    # the file has moved: its identity is what counts
    moved = folder / "moved" / "other.onnx"
    moved.parent.mkdir()
    network.rename(moved)
    new = [image[:, ::-1] for image in images]
    with pytest.raises(UnavailableError, match="cannot be found"):
        run.predict(new)
    assert np.isfinite(run.predict(new, weights=str(moved))).all()
    with pytest.raises(InputError, match="is another file"):
        run.predict([new[0] // 2], weights=str(save(convolutions(last=True), folder / "b.onnx")))
    other = folder / "another cache"  # where all is computed anew
    with pytest.warns(UserWarning, match="a new cache is made"):
        again = run.predict(images, cache=other, weights=str(moved))
    np.testing.assert_allclose(again, wanted, rtol=1e-4, atol=1e-5)

    out = str(folder / "run.zip")
    assert bundle.main([str(run.path), "--out", out]) == 0
    assert "predicting needs the ONNX file too" in capsys.readouterr().err
    words = [out, "road:3", "--out", str(folder / "p.csv"), "--weights", str(moved)]
    assert predict.main([*words, "--cache", str(folder / "second")]) == 0
    assert len((folder / "p.csv").read_text().splitlines()) == 4

    # `verify` finds the file again where `predict` has written its new place
    assert verify.main(["--cache", str(folder / "cache"), "--recompute", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["recomputed"] == 10
    assert told["not_recomputed"] == []


def decoded(image: Any) -> np.ndarray:
    from jaxreg.sources import pixels

    return pixels.decode(pixels.read(image))


def test_a_renamed_file_keeps_its_features(network: Path) -> None:
    first = extracted(network)
    network = network.rename(network.with_name("new.onnx"))
    second = extracted(network)
    assert second.feature_set == first.feature_set
    assert (second.computed, second.reused) == (0, 12)
    assert extracted(network, preprocess="clip").feature_set.startswith("onnx-new-")


def test_without_layers_it_is_the_last_output(network: Path) -> None:
    said: list[str] = []
    done = extracted(network, say=said.append, views=("identity", "mirror"))
    assert "layer: vector, the last of 2 outputs; --layers takes maps too" in said
    assert done.columns == ("identity.vector.none", "mirror.vector.none")
    plain, mirrored = features(network, done)[:, :CHANNELS], features(network, done)[:, CHANNELS:]
    images = [decoded(image)[:, ::-1] for image in open_source("road:12").images]
    pixels = np.stack([bilinear(image, 32, 48) for image in images]).transpose(0, 3, 1, 2) / 255
    [wanted] = computed(convolutions(), pixels.astype(np.float32), "vector")
    assert relative_error(mirrored, wanted) < 1e-5
    assert relative_error(plain, wanted) > 1e-3


def test_the_file_decides_the_size(tmp_path: Path) -> None:
    network = save(tokens(), tmp_path / "vit.onnx")
    done = extracted(network, size=None, pool="cls")
    assert "-32x32-" in done.feature_set
    with pytest.raises(InputError, match=r"takes images of 32 x 32 pixels\n  try: --size 32 32"):
        extracted(network, size=(64, 64), pool="cls")
    with pytest.raises(InputError, match=r"--size native, and .* takes images of 32 x 32"):
        extracted(network, size="native", pool="cls")
    with pytest.raises(InputError, match=r"has tokens, shape .*\n  expected: --pool cls or --pool"):
        extracted(network)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "imagenet"}, r"--weights with --backbone onnx:.*\n  try: leave out --weights"),
        ({"preprocess": "keras"}, r"does not say how .*\n  expected: --preprocess unit, imagenet"),
        ({"size": None}, r"takes images of any size, and --size is left out"),
        ({"engine": "jax"}, r"--engine jax with --backbone onnx:FILE"),
        ({"layers": ("mapz",)}, r"no layer 'mapz'\n  expected: an output: maps \(\?, 4, \?, \?\)"),
        ({"layers": ("mapz",)}, "or an inner layer: a_0 .*try: use the layer maps$"),
        ({"layers": ("relu",)}, "try: use the layer blocks_blocks_1_Relu_output_0$"),
        ({"layers": ("maps",), "pool": "cls"}, r"--pool cls on maps, .*\n  expected: avg or max"),
        ({"layers": ("vector",), "pool": "avg"}, r"--pool avg on vector, .* is \(\?, 4\)\n.*none"),
        ({"columns": ("maps",)}, r"--pool none on maps, whose shape is .*avg or max"),
        ({"columns": ("maps.grid9x2",)}, r"(?s)--pool grid:9x2 on maps\n.*at most 8x12 cells"),
        ({"columns": ("maps.avg", "mirror.maps.avg")}, "without its view"),
        ({"preset": "best"}, "no layer 'mixed2'"),
    ],
)
def test_what_cannot_be_had_is_named(network: Path, settings: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        extracted(network, **settings)


def test_the_command(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["road:4", "--cache", str(network.parent / "c"), "--backbone", f"onnx:{network}"]
    assert extract.main([*words, "--preprocess", "imagenet", "--size", "32", "48", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["computed"], told["engine"]) == (4, "openvino")
    assert list_main(["backbones"]) == 0
    assert "--backbone onnx:FILE" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="nncf is not installed here")
@pytest.mark.parametrize("batch", ["batch", 1])
def test_int8_and_its_network_without_the_file(tmp_path: Path, batch: Any) -> None:
    network = save(convolutions([batch, 3, 32, 48]), tmp_path / "net.onnx")
    columns = ("maps.avg", f"{DEEP}.avg")
    exact = features(network, extracted(network, "road:40", columns=columns))
    done = extracted(network, "road:40", columns=columns, precision="int8")
    assert 1e-5 < relative_error(features(network, done), exact) < 0.15
    run = jaxreg.train_head(
        "road", cache=tmp_path / "cache", ckpts=tmp_path, head="ridge", split="hash"
    )
    network.unlink()
    shutil.rmtree(tmp_path / "jaxreg", ignore_errors=True)
    assert run.predict([np.zeros((40, 50, 3), np.uint8)]).shape == (1, 1)
