"""Heads and resizes of `--format onnx` and `--format openvino`, without a network."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from jaxreg.artefact.float16_rounding import rounded_to_float16
from jaxreg.artefact.keras_head import head_model
from jaxreg.artefact.keras_network import joined_features
from jaxreg.artefact.onnx_format import check_onnx_format
from jaxreg.artefact.onnx_graph import onnx_of_keras, refuse_large
from jaxreg.artefact.openvino_format import check_openvino
from jaxreg.artefact.openvino_parts import resized
from jaxreg.backbone.openvino_model import convert_function, import_openvino, traced
from jaxreg.backbone.resize import resize
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.errors import InputError
from jaxreg.target_types import difference
from made_heads import ROWS, made_run, some_features

pytest.importorskip("tf2onnx", reason="needs tf2onnx, which is not installed here")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
if importlib.util.find_spec("openvino") is None:  # an import would bring its telemetry
    pytest.skip("openvino is not installed here", allow_module_level=True)

RNG = np.random.default_rng(12)
ANGLES = RNG.vonmises(3, 1, (ROWS, 1)) * 180 / np.pi % 360
SHARES = RNG.uniform(0, 1, (ROWS, 1))
PLAIN = RNG.normal(20, 5, (ROWS, 1))
FAR = RNG.normal(1e6, 2, (ROWS, 1))  # float32 rounds it by up to 0.03
Y = np.hstack([ANGLES, PLAIN, SHARES])
TYPES = ("circular:360", "plain", "bounded:0:1")
KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "mlp": (Y, {"target_type": TYPES}),
    "ridge": (Y, {"target_type": TYPES, "head": "ridge"}),
    "blend": (Y, {"target_type": TYPES, "head": "blend", "components": 5}),
    "far": (np.hstack([ANGLES, FAR]), {"target_type": TYPES[:2], "members": 2}),
}


def computed_by_onnxruntime(model: Any, x: np.ndarray) -> np.ndarray:
    made = onnx_of_keras(model, ["features"], ["a b/c"], 17)
    onnx.checker.check_model(made, full_check=True)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    assert [one.name for one in session.get_outputs()] == ["a b/c"]
    return session.run(None, {"features": x})[0]


def computed_by_openvino(model: Any, x: np.ndarray) -> np.ndarray:
    converted = convert_function(traced(model))
    hints = {"INFERENCE_PRECISION_HINT": "f32"}
    return import_openvino().Core().compile_model(converted, "CPU", hints)(x)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_heads_compute_what_the_run_does(keras, kind: str) -> None:
    y, settings = KINDS[kind]
    asked: dict[str, Any] = {"members": 3} | settings
    run = made_run(y, **asked)
    x = some_features(40)
    x[:5] *= 1.2  # far from the training rows: cut at the limit
    wanted = run.predict_features(x)
    model = head_model(run)
    std = np.array([57.3, 2.0]) if kind == "far" else np.array([57.3, 5.0, 0.29])
    for compute in (computed_by_onnxruntime, computed_by_openvino):
        got = compute(model, x)
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        off = np.abs(difference(run.types, got, wanted)) / std
        # OpenVINO computes float64 in float32 on a CPU
        rounds = kind == "far" and compute is computed_by_openvino
        assert off[:, : 1 if rounds else None].max() < 2e-5
        assert (off.max() > 1e-3) == rounds


def test_features_are_rounded_as_a_cache_in_float16_has_them(keras) -> None:
    """Converters leave out a cast to float16 and back. NumPy has the right numbers."""
    from openvino import opset13 as ops

    x = (RNG.choice([-1, 1], 4000) * np.exp2(RNG.uniform(-13, 15, 4000))).astype(np.float32)
    bits = x.view(np.uint32)
    bits[bits & 0x1FFF == 0x1000] += np.uint32(1)  # one in the middle of two may go to either
    x, wanted = x.reshape(100, 40), x.astype(np.float16).astype(np.float32).reshape(100, 40)
    columns = tuple(Column(layer=name, pool="avg") for name in ("a", "b"))
    run = made_run(PLAIN, columns=columns, dtype="float16", hidden=(2,))
    halves = keras.Input((20,)), keras.Input((20,))
    values = joined_features(run, dict(zip(run.features.columns, halves, strict=True)))
    model = keras.Model(halves, values)
    np.testing.assert_array_equal(model([x[:, :20], x[:, 20:]]), wanted)
    made = onnx_of_keras(model, ["a", "b"], ["both"], 17)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    [found] = session.run(None, {"a": x[:, :20], "b": x[:, 20:]})
    np.testing.assert_array_equal(found, wanted)
    ov = import_openvino()
    given = ops.parameter([-1, 40], ov.Type.f32)
    rounded = ov.Model([ops.result(rounded_to_float16(ops, given))], [given], "rounded")
    compiled = ov.Core().compile_model(rounded, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_array_equal(compiled(x)[0], wanted)


@pytest.mark.parametrize("size", [(75, 90), (64, 64)])
def test_resizes_are_those_of_the_engines(size: tuple[int, int]) -> None:
    """backbone/resize.py has the bits of TensorFlow's, by its own test."""
    ov = import_openvino()
    from openvino import opset13 as ops

    limits = {"float32": 0.02, "int8": 5e-5}  # of levels from 0 to 255
    for precision, limit in limits.items():
        engine = None if precision == "float32" else "openvino"
        fields: dict[str, Any] = {"size": size, "precision": precision, "engine": engine}
        recipe = Recipe("random:0:v1", "random0", **fields)
        images = ops.parameter([-1, -1, -1, 3], ov.Type.u8)
        model = ov.Model([ops.result(resized(ops, images, recipe))], [images], "resize")
        for hint, most in (("f32", limit), ("bf16", 4.0)):
            compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
            for height, width in ((64, 64), (120, 160), (31, 200), (401, 33)):
                given = RNG.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
                wanted = np.empty((2, *size, 3), np.float32)
                for image, result in zip(given, wanted, strict=True):
                    resize(image, result)
                assert np.abs(compiled(given)[0] - wanted).max() <= most


def with_recipe(**fields: Any) -> Any:
    recipe = Recipe(**{"weights": "ab" * 32, "weights_tag": "abababab", "size": (75, 75)} | fields)
    return made_run(PLAIN, recipe=recipe, columns=(Column(layer="a", pool="avg"),), hidden=(2,))


def test_what_onnx_cannot_have() -> None:
    int8 = with_recipe(precision="int8", engine="openvino", quantized="cd" * 32)
    with pytest.raises(InputError, match=r"int8[\s\S]*try: --format openvino"):
        check_onnx_format(int8)
    check_openvino(int8)
    with pytest.raises(InputError, match=r"2\.5 GB of weights, and one ONNX file holds 2 GiB"):
        refuse_large(2_500_000_000)


def test_numbers_that_openvino_rounds_too_much() -> None:
    """float32 rounds 1e6 by up to 0.03, a thousandth of a std of 31."""
    for std, fine in ((300.0, True), (2.0, False)):
        run = made_run(RNG.normal(1e6, std, (ROWS, 1)), hidden=(2,))
        if fine:
            check_openvino(run)
            continue
        with pytest.raises(InputError, match=r"a lie around 1e\+06 .* float32[\s\S]*--format onnx"):
            check_openvino(run)


def test_packages_that_are_not_installed(monkeypatch) -> None:
    found = importlib.util.find_spec

    def without(name: str) -> Any:
        return None if name in ("onnxruntime", "openvino") else found(name)

    for module in ("artefact.onnx_format", "backbone.openvino_model"):
        monkeypatch.setattr(f"jaxreg.{module}.find_spec", without)
    run = with_recipe()
    with pytest.raises(InputError, match=r"onnxruntime is not.*\n  try: .*'jaxreg\[export\]'"):
        check_onnx_format(run)
    with pytest.raises(InputError, match=r"openvino is not.*\n  try: .*'jaxreg\[openvino\]'"):
        check_openvino(run)
