"""Features of ONNX files, compared with onnx's own reference evaluator."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from jaxreg.backbone.engine import Engine, choose_engine, load_engine
from jaxreg.backbone.network_layers import NetworkFacts, map_axes, safe_layers
from jaxreg.backbone.onnx_network import onnx_facts
from jaxreg.backbone.weights import identify_onnx
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.errors import InputError
from keras_models import bilinear, relative_error
from onnx_files import CHANNELS, DEEP, computed, convolutions, model, save, tensor, tokens, value

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed here"
)

MAPS = Column(layer="maps")
DEEPER = Column(layer="blocks_blocks_1_Relu_output_0", pool="grid:2x3")


def facts_of(made: Any, path: Path) -> NetworkFacts:
    return onnx_facts(identify_onnx(str(save(made, path / "net.onnx"))))


def engine_on(made: Any, folder: Path, *columns: Column, **recipe: Any) -> Engine:
    weights = identify_onnx(str(save(made, folder / "net.onnx")))
    settings = {"size": (32, 48), "preprocess": "unit", **recipe}
    return load_engine(
        "auto", Recipe(weights.identity, weights.tag, backbone="onnx", **settings), columns, weights
    )


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    sizes = [(32, 48), (40, 30), (32, 48), (20, 70)] * 3  # more than one step of an engine
    return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes]


def prepared(images: list[np.ndarray], height: int = 32, width: int = 48) -> np.ndarray:
    """x / 255 of resized pixels, (batch, height, width, 3)."""
    return np.stack([bilinear(i, height, width) for i in images]).astype(np.float32) / 255


def test_pooled_maps_of_outputs_and_inner_layers(tmp_path: Path, images) -> None:
    made = convolutions()
    best = Column(layer="maps", pool="max")
    vector = Column(layer="vector", pool="none")
    got = engine_on(made, tmp_path, MAPS, best, vector, DEEPER).features(images)
    pixels = prepared(images).transpose(0, 3, 1, 2)
    maps, deep, mean = computed(made, pixels, "maps", DEEP, "vector")
    assert got[MAPS.name].dtype == np.float32
    assert relative_error(got[MAPS.name], maps.mean((2, 3))) < 1e-5
    assert relative_error(got[best.name], maps.max((2, 3))) < 1e-5
    assert relative_error(got[vector.name], mean) < 1e-5
    # 16 x 24 rows and columns in 2 x 3 cells of 8 x 8
    cells = deep.reshape(len(deep), -1, 2, 8, 3, 8).mean((3, 5)).transpose(0, 2, 3, 1)
    assert relative_error(got[DEEPER.name], cells.reshape(len(deep), -1)) < 1e-5


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("batch", ["batch", 1, 3])
def test_a_fixed_batch_and_channels_last(tmp_path: Path, images, batch, last: bool) -> None:
    shape = [batch, 32, 48, 3] if last else [batch, 3, 32, 48]
    made = convolutions(shape, last=last)
    got = engine_on(made, tmp_path, MAPS, DEEPER).features(images)
    pixels = prepared(images)
    [maps] = computed(made, pixels if last else pixels.transpose(0, 3, 1, 2), "maps")
    assert relative_error(got[MAPS.name], maps.mean((1, 2) if last else (2, 3))) < 1e-5
    assert got[DEEPER.name].shape == (len(images), 5 * 6)  # inside the channels come second


def test_a_batch_that_the_network_fixes_inside(tmp_path: Path, images) -> None:
    """A reshape to one row: then images go through one by one."""
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Reshape", ["flat", "one"], ["row"]),
        helper.make_node("MatMul", ["row", "w"], ["vector"]),
    ]
    weights = [
        numpy_helper.from_array(np.array([1, 108]), "one"),
        tensor("w", 108, 2),
    ]
    made = model(nodes, [value("pixels", [1, 3, 6, 6])], [value("vector", [1, 2])], weights)
    column = Column(layer="vector", pool="none")
    got = engine_on(made, tmp_path, column, size=(6, 6)).features(images)[column.name]
    pixels = prepared(images, 6, 6).transpose(0, 3, 1, 2)
    wanted = [computed(made, one[None], "vector")[0] for one in pixels]
    assert relative_error(got, np.concatenate(wanted)) < 1e-5


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_tokens(tmp_path: Path, images, pool: str) -> None:
    made, column = tokens(), Column(layer="tokens", pool=pool)
    got = engine_on(made, tmp_path, column, size=(32, 32)).features(images)[column.name]
    [wanted] = computed(made, prepared(images, 32, 32).transpose(0, 3, 1, 2), "tokens")
    assert relative_error(got, wanted[:, 0] if pool == "cls" else wanted.mean(1)) < 1e-5


def test_native_size(tmp_path: Path, images) -> None:
    made = convolutions()
    got = engine_on(made, tmp_path, MAPS, size=None).features(images[:4])[MAPS.name]
    for image, row in zip(images[:4], got, strict=True):
        [maps] = computed(made, image[None].transpose(0, 3, 1, 2) / np.float32(255), "maps")
        assert relative_error(row, maps[0].mean((1, 2))) < 1e-5


@pytest.mark.parametrize("kind", ["FLOAT16", "DOUBLE", "UINT8"])
def test_inputs_of_other_types(tmp_path: Path, images, kind: str) -> None:
    made = convolutions(kind=getattr(TensorProto, kind))
    whole = kind == "UINT8"
    settings = {"preprocess": "none"} if whole else {}
    got = engine_on(made, tmp_path, MAPS, **settings).features(images)[MAPS.name]
    dtype = {"FLOAT16": np.float16, "DOUBLE": np.float64, "UINT8": np.uint8}[kind]
    pixels = prepared(images).transpose(0, 3, 1, 2)
    [maps] = computed(made, (np.round(pixels * 255) if whole else pixels).astype(dtype), "maps")
    # a resized pixel near a half may be rounded the other way; OpenVINO computes in float32
    allowed = {"FLOAT16": 1e-3, "DOUBLE": 1e-5, "UINT8": 2e-3}[kind]
    assert relative_error(got, maps.mean((2, 3))) < allowed
    assert facts_of(made, tmp_path).uint8 is whole


def test_the_facts_of_a_file(tmp_path: Path) -> None:
    facts = facts_of(convolutions(["batch", 3, None, 64]), tmp_path)
    assert facts.size == (None, 64)
    found = {layer.layer: layer for layer in facts.layers}
    assert list(found) == ["a_0", "blocks_blocks_1_Relu_output_0", "maps", "vector"]
    assert [layer.layer for layer in facts.outputs] == ["maps", "vector"]
    turned = convolutions()
    outputs = [turned.graph.output[1], turned.graph.output[0]]
    del turned.graph.output[:]
    turned.graph.output.extend(outputs)
    assert [x.layer for x in facts_of(turned, tmp_path).outputs] == ["vector", "maps"]
    assert found["a_0"].names == ("a:0", "/blocks/conv")
    assert found["maps"].shape == (None, CHANNELS, None, 16)  # 64 / 4
    assert found["blocks_blocks_1_Relu_output_0"].names[0] == DEEP


def test_every_axis_may_be_open(tmp_path: Path) -> None:
    """As Hugging Face's exporter names all four; the kernels tell where the colours are."""
    assert facts_of(convolutions(["b", "c", "h", "w"]), tmp_path).size == (None, None)
    assert facts_of(convolutions(["b", "h", "w", "c"], last=True), tmp_path).size == (None, None)


def test_names_of_layers() -> None:
    names = ["head", "/a/b.1/Add", "/a/b/1/Add", "a_b_1_Add", "::", "x" * 300]
    safe = safe_layers(names)
    # digits: the start of `printf %s NAME | sha256sum`
    assert safe[:4] == ["head", "a_b_1_Add-dd5cd4f1", "a_b_1_Add-2d56a352", "a_b_1_Add"]
    assert all(Column(layer=name).name for name in safe)
    assert len(set(safe)) == len(safe)
    assert max(map(len, safe)) < 120
    assert safe_layers(["/a/b.1/Add"]) == ["a_b_1_Add"]


@pytest.mark.parametrize(
    ("shape", "size", "axes"),
    [
        ((None, 40, None, None), (None, None), (2, 3, 1)),
        ((None, None, None, 40), (None, None), (1, 2, 3)),
        ((1, 40, 28, 28), (224, 224), (2, 3, 1)),
        ((1, 28, 28, 40), (224, 224), (1, 2, 3)),
        ((1, 7, 7, 7), (224, 224), (2, 3, 1)),  # unclear: as ONNX's own operations
        ((1, 1280, 1, 1), (224, 224), (2, 3, 1)),
        ((1, 15, 20, 48), (120, 160), (1, 2, 3)),
        ((1, 48, 8, 10), (120, 160), (2, 3, 1)),
    ],
)
def test_where_the_channels_are(shape, size, axes) -> None:
    assert map_axes(shape, size) == axes


def test_only_openvino_reads_onnx() -> None:
    assert choose_engine("auto", "float32", "onnx") == ("openvino", "the one that reads ONNX files")
    for asked in ("tensorflow", "jax"):
        with pytest.raises(InputError, match=f"--engine {asked} with --backbone onnx:FILE"):
            choose_engine(asked, "float32", "onnx")


def test_a_size_that_the_network_cannot_take(tmp_path: Path, images) -> None:
    made = tokens()
    made.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    made.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "width"
    column = Column(layer="tokens", pool="mean")
    with pytest.raises(InputError, match=r"of 48 x 32 pixels: (?!Check).*\n  exp.*--size"):
        engine_on(made, tmp_path, column, size=(48, 32))


def test_a_network_that_openvino_cannot_run_is_a_message(
    tmp_path: Path, images, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jaxreg.backbone import openvino_engine

    engine = engine_on(convolutions(), tmp_path, MAPS)
    for raised, said in (
        (
            "Exception from a.cpp\nno such kernel",
            "run the network of the ONNX file: no such kernel",
        ),
        ("std::bad_alloc", "not enough memory for 12 images"),
    ):

        def fail(*_: object, text: str = raised) -> None:
            raise RuntimeError(text)

        monkeypatch.setattr(openvino_engine, "_run", fail)
        with pytest.raises(InputError, match=said):
            engine.features(images)


def test_efficientnet_lite0(shared_data: Path, images) -> None:
    """Its README: the mean of the output head over rows and columns is the usual feature."""
    import openvino

    path = shared_data / "efficientnet_lite0.onnx"
    weights, column = identify_onnx(str(path)), Column(layer="head")
    recipe = Recipe(
        weights.identity, weights.tag, backbone="onnx", size=(64, 96), preprocess="imagenet"
    )
    engine = load_engine("openvino", recipe, [column], weights)
    got = engine.features(images[:3])[column.name]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = ((prepared(images[:3], 64, 96) - mean) / std).transpose(0, 3, 1, 2)
    whole = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    head = whole({"image": pixels.astype(np.float32)})[whole.output("head")]
    assert relative_error(got, head.mean((2, 3))) < 1e-5
