"""The features that TensorFlow reads from the Keras network."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from jaxreg.backbone.engine import load_engine
from jaxreg.backbone.preprocess import preprocessing
from jaxreg.backbone.tensorflow_engine import TensorFlowEngine
from jaxreg.backbone.weights import WeightsSource, identify_weights
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.errors import InputError
from keras_models import bilinear, relative_error
from typed import known_weights

# get_weights and predict of Keras 3.15 on NumPy 2; jaxreg itself calls neither
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="session")
def weights(trained, tmp_path_factory) -> WeightsSource:
    path = tmp_path_factory.mktemp("weights") / "trained.weights.h5"
    trained.save_weights(path)
    source = identify_weights(str(path))
    assert source is not None
    return source


def engine_on(weights: WeightsSource, *columns: Column, **recipe) -> TensorFlowEngine:
    settings = {"size": (96, 107), **recipe}
    made = Recipe(weights=weights.identity, weights_tag=weights.tag, **settings)
    engine = load_engine("tensorflow", made, columns, weights)
    assert isinstance(engine, TensorFlowEngine)
    return engine


READ = (
    Column(),
    Column(layer="mixed5", pool="max"),
    Column(layer="mixed5", pool="grid:2x3"),
)


@pytest.fixture(scope="session")
def engine(weights):
    return engine_on(weights, *READ)


@pytest.fixture(scope="session")
def images() -> list[np.ndarray]:
    """Blurred noise, so that neighbouring pixels are alike as in a photograph; three sizes."""
    rng = np.random.default_rng(2)
    shapes = [(96, 107), (120, 160), (96, 107), (80, 100), (120, 160)]
    return [
        np.kron(rng.integers(0, 256, (-(-h // 4), -(-w // 4), 3)), np.ones((4, 4, 1)))[
            :h, :w
        ].astype(np.uint8)
        for h, w in shapes
    ]


def outputs(keras, model, pixels: np.ndarray, *layers: str) -> list[np.ndarray]:
    """What Keras predicts from pixels in 0..255 at the size of the network's input."""
    prepared = keras.applications.inception_v3.preprocess_input(pixels.astype(np.float32))
    reader = keras.Model(model.input, {layer: model.get_layer(layer).output for layer in layers})
    predicted = reader.predict_on_batch(prepared)
    return [predicted[layer] for layer in layers]


def test_features_are_keras_outputs_pooled(keras, trained, engine, images):
    same = [images[0], images[2]]
    last, middle = outputs(keras, trained, np.stack(same), "mixed10", "mixed5")
    got = engine.features(same)
    assert list(got) == [column.name for column in READ]
    assert all(array.dtype == np.float32 for array in got.values())
    assert relative_error(got["identity.mixed10.avg"], last.mean((1, 2))) < 1e-5
    assert relative_error(got["identity.mixed5.max"], middle.max((1, 2))) < 1e-5
    # mixed5 is 4 x 5 here: by hand, rows 0-2 and 2-4, columns 0-2, 1-4 and 3-5
    assert middle.shape[1:3] == (4, 5)
    cells = [
        middle[:, r0:r1, c0:c1].mean((1, 2))
        for r0, r1 in [(0, 2), (2, 4)]
        for c0, c1 in [(0, 2), (1, 4), (3, 5)]
    ]
    assert relative_error(got["identity.mixed5.grid2x3"], np.concatenate(cells, 1)) < 1e-5


def test_really_trained_features_are_those_of_keras(keras, trained_weights, images):
    engine = engine_on(known_weights(str(trained_weights)), Column(), Column(layer="mixed2"))
    model = keras.applications.InceptionV3(include_top=False, weights=None)
    model.load_weights(trained_weights)
    last, early = outputs(keras, model, images[0][None], "mixed10", "mixed2")
    got = engine.features(images[:1])
    assert relative_error(got["identity.mixed10.avg"], last.mean((1, 2))) < 1e-5
    assert relative_error(got["identity.mixed2.avg"], early.mean((1, 2))) < 1e-5


def test_sizes_may_differ_within_a_batch(engine, images):
    together = engine.features(images)
    alone = [engine.features([image]) for image in images]
    for name, array in together.items():
        assert relative_error(array, np.concatenate([one[name] for one in alone])) < 1e-5


def test_images_are_resized_as_tensorflow_does(engine, images):
    for image in (images[1], images[3]):  # larger and smaller than the recipe's size
        resized = engine._resize(image[None]).numpy()
        assert relative_error(resized, bilinear(image, 96, 107)[None]) < 2e-5


def test_one_compilation_serves_every_batch(weights, images):
    engine = engine_on(weights, Column(layer="mixed0"))
    engine.compile(images[1], 5)
    engine.features(images)
    engine.features(images[:1])
    assert engine._whole.experimental_get_tracing_count() == 1
    assert engine._resize.experimental_get_tracing_count() == 1
    assert engine._pool.experimental_get_tracing_count() == 1


def test_a_gpu_computes_in_float32_too(engine):
    import tensorflow as tf

    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_named_preprocessings_are_those_of_keras_and_clip() -> None:
    """Keras' "torch" is ImageNet's set; the formula of CLIP's is from openai/clip, clip.py."""
    from keras.applications.imagenet_utils import preprocess_input

    pixels = np.random.default_rng(3).uniform(0, 255, (2, 5, 4, 3)).astype(np.float32)

    def prepared(name: Any) -> np.ndarray:
        return preprocessing(Recipe("random:0:v1", "random0", preprocess=name))(pixels)

    wanted: Any = preprocess_input(pixels.copy(), mode="torch")
    np.testing.assert_allclose(prepared("imagenet"), wanted, rtol=1e-5, atol=1e-6)
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    np.testing.assert_allclose(prepared("clip"), (pixels / 255 - mean) / std, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(prepared("none"), pixels)
    np.testing.assert_allclose(prepared("unit"), pixels / 255, rtol=1e-6)


def test_the_network_ends_at_the_last_layer(keras, trained, weights, images):
    engine = engine_on(weights, Column(layer="mixed0"), preprocess="unit", size=(75, 75))
    names = [layer.name for layer in engine.network.layers]
    assert names[-1] == "mixed0"
    assert sum(isinstance(x, keras.layers.Conv2D) for x in engine.network.layers) == 12
    # unit preprocessing: Keras' x / 127.5 - 1 of pixels moved so that it gives x / 255
    pixels = images[0][:75, :75]
    moved = (pixels.astype(np.float32) / 255 + 1) * 127.5
    [early] = outputs(keras, trained, moved[None], "mixed0")
    assert (
        relative_error(engine.features([pixels])["identity.mixed0.avg"], early.mean((1, 2))) < 1e-5
    )


def test_native_size_is_the_images_own(keras, trained, weights, images):
    engine = engine_on(weights, Column(layer="mixed5", pool="grid:3x4"), size=None)
    got = engine.features(images)["identity.mixed5.grid3x4"]
    [middle] = outputs(keras, trained, images[3][None], "mixed5")
    assert middle.shape[1:3] == (3, 4)
    assert relative_error(got[3:4], middle.reshape(1, -1)) < 1e-5  # a cell each, row by row
    [middle] = outputs(keras, trained, images[1][None], "mixed5")
    assert middle.shape[1:3] == (5, 8)
    rows = [middle[:, r0:r1].mean(1) for r0, r1 in [(0, 2), (1, 4), (3, 5)]]
    cells = [row[:, 2 * c : 2 * c + 2].mean(1) for row in rows for c in range(4)]
    assert relative_error(got[1:2], np.concatenate(cells, 1)) < 1e-5
    with pytest.raises(InputError, match=r"grid:3x4 on mixed5\n.*at most 3x3 cells"):
        engine.features([images[0], np.zeros((75, 75, 3), np.uint8)])
    with pytest.raises(InputError, match="74 x 90 pixels"):
        engine.features([np.zeros((74, 90, 3), np.uint8)])


def test_what_an_engine_cannot_do(weights):
    with pytest.raises(InputError, match=r"no layer 'mixed11'\n.*mixed0, mixed1, .*mixed10"):
        engine_on(weights, Column(layer="mixed11"))
    with pytest.raises(InputError, match="no backbone 'resnet'"):
        engine_on(weights, Column(), backbone="resnet")
    with pytest.raises(InputError, match=r"grid:5x1 on mixed5\n.*at most 4x5 cells"):
        engine_on(weights, Column(layer="mixed5", pool="grid:5x1"))
    with pytest.raises(InputError, match=r"--precision int8 with --engine tensorflow\n.*openvino"):
        engine_on(weights, Column(), precision="int8", engine="openvino")
    with pytest.raises(InputError, match="no engine 'abacus'"):
        load_engine(
            "abacus", Recipe(weights=weights.identity, weights_tag="x"), [Column()], weights
        )


def in_a_new_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_starting_up_is_quiet_but_errors_are_heard():
    code = (
        "import os, jaxreg.backbone.network as n\n"
        "with n._without_start_up_noise():\n"
        "    os.write(2, b'W0000 00:00:1.1 chatter\\nE0000 00:00:1.1 an error\\n')\n"
        "n.start_keras(); import tensorflow as tf, keras\n"
        "tf.ones(3) + 1; print(keras.config.backend())"
    )
    done = in_a_new_process(code, KERAS_BACKEND="jax")
    assert (done.stdout, done.stderr) == ("tensorflow\n", "E0000 00:00:1.1 an error\n")


def test_one_process_has_one_keras_backend():
    code = (
        "import keras, jaxreg.backbone.network as n\n"
        "try:\n    n.start_keras('tensorflow')\nexcept n.InputError as e:\n    print(e)"
    )
    done = in_a_new_process(code, KERAS_BACKEND="jax")
    assert "imported on its jax backend\n  expected: tensorflow" in done.stdout
