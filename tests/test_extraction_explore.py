"""`extract --preset explore`: the columns, and the bytes that it names before it starts."""

import importlib.util
from pathlib import Path
from typing import Any

import humanize
import pytest

import jaxreg
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.extract import main
from jaxreg.extract_config import ExtractConfig
from jaxreg.extraction.explore import CHANNELS, cost
from onnx_files import convolutions, save, tokens


def kept_for_1000(cache: Cache, done: Any, images: int) -> float:
    """Bytes of the numbers in the cache, scaled to 1,000 images."""
    dataset = read_dataset(cache, done.dataset)
    found = [cache.read(done.feature_set, [c], dataset.digests) for c in dataset.columns]
    assert all(len(features) == images for features in found)
    return 1000 / images * sum(features.nbytes for features in found)


def test_inception_v3(keras, tmp_path: Path) -> None:
    said: list[str] = []
    cache = Cache(tmp_path / "cache")
    settings: Any = {"weights": "random", "size": (75, 75), "views": ("identity", "mirror")}
    done = jaxreg.extract_features(
        "road:2",
        cache=cache.root,
        preset="explore",
        engine="tensorflow",
        dtype="float16",
        say=said.append,
        **settings,
    )
    assert len(done.columns) == 20
    expected = kept_for_1000(cache, done, 2)
    [told] = [text for text in said if "1,000 images" in text]
    assert told.endswith(f"take {humanize.naturalsize(expected)} (float16)")
    # said before the network is loaded
    assert said.index(told) < next(i for i, text in enumerate(said) if "engine" in text)


def test_widths_are_those_of_keras(blank) -> None:
    shapes = {name: blank.get_layer(name).output.shape[-1] for name in CHANNELS}
    assert shapes == CHANNELS


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed here"
)
@pytest.mark.parametrize(
    ("made", "columns"),
    [
        (convolutions(), ["maps.avg", "maps.grid2x2", "vector.none"]),
        (convolutions(["n", "h", "w", 3], last=True), ["maps.avg", "maps.grid2x2", "vector.none"]),
        (tokens(), ["tokens.cls", "tokens.mean"]),
    ],
)
def test_an_onnx_file(made: Any, columns: list[str], tmp_path: Path) -> None:
    said: list[str] = []
    cache, network = Cache(tmp_path / "cache"), save(made, tmp_path / "net.onnx")
    done = jaxreg.extract_features(
        "road:4",
        cache=cache.root,
        preset="explore",
        backbone=f"onnx:{network}",
        preprocess="unit",
        size=(32, 32),
        say=said.append,
    )
    assert list(done.columns) == [f"identity.{column}" for column in columns]
    expected = kept_for_1000(cache, done, 4)
    assert any(humanize.naturalsize(expected) in text for text in said)
    dataset = read_dataset(cache, done.dataset)
    assert cost(dataset.columns, ExtractConfig(backbone=f"onnx:{network}")) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": ("mixed2",)}, "--preset explore with --layers\n  expected: one of them"),
        ({"columns": ("mixed2.avg",), "pool": "max"}, "explore with --pool and --columns"),
        ({"backbone": "mobilenet_v2"}, r"with --backbone mobilenet_v2\n.*\n  try: name them with"),
        ({"backbone": "mobilnet"}, "no backbone 'mobilnet'"),
    ],
)
def test_what_explore_cannot_choose(tmp_path: Path, settings: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        jaxreg.extract_features("road:2", cache=tmp_path, preset="explore", **settings)


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed here"
)
def test_the_next_command_has_no_such_preset(tmp_path: Path, capsys) -> None:
    network = save(convolutions(), tmp_path / "net.onnx")
    words = ["--preprocess", "unit", "--size", "32", "32", "--preset", "explore"]
    words += ["--backbone", f"onnx:{network}", "--cache", str(tmp_path / "c")]
    assert main(["road:4", *words]) == 0
    told = capsys.readouterr().err
    assert "3 columns: the features of 1,000 images take 96.0 kB (float32)" in told
    assert "next: jaxreg train road" in told
    assert "train road --preset" not in told
