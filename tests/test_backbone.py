"""The Keras network: weights from every kind of file, and the features TensorFlow reads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxreg.backbone.engine import load_engine
from jaxreg.backbone.network import build_network, set_weights, start_keras
from jaxreg.backbone.weight_files import Slot, read_arrays
from jaxreg.backbone.weights import WeightsSource, identify_weights
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.errors import InputError

# get_weights and predict of Keras 3.15 on NumPy 2; jaxreg itself calls neither
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SAVE = r'model\.get_layer\("inception_v3"\)\.save_weights\("x\.weights\.h5"\)'


def relative_error(got: np.ndarray, wanted: np.ndarray) -> float:
    """As DESIGN.md defines it: max|a - b| / max|b| over the batch."""
    assert got.shape == wanted.shape
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


@pytest.fixture(scope="session")
def keras():
    start_keras()
    import keras

    return keras


@pytest.fixture(scope="session")
def trained(keras):
    """Keras' own InceptionV3 with every one of its 376 arrays unlike any other."""
    model = keras.applications.InceptionV3(include_top=False, weights=None)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.weights[0].shape
            layer.set_weights(
                [rng.normal(0, 0.1, shape), rng.normal(0, 0.1, shape), rng.uniform(0.5, 2, shape)]
            )
    return model


@pytest.fixture(scope="session")
def blank(keras):
    return keras.applications.InceptionV3(include_top=False, weights=None)


def with_top(keras, trained):
    """The backbone and Keras' own top of 1,000 classes (built on the same layers, to be quick)."""
    pooled = keras.layers.GlobalAveragePooling2D(name="avg_pool")(trained.output)
    top = keras.layers.Dense(1000, activation="softmax", name="predictions")
    return keras.Model(trained.input, top(pooled), name="inception_v3")


def sequential(keras, trained):
    """As in the original program: the backbone as a layer, and a head."""
    layers = keras.layers
    return keras.Sequential([trained, layers.GlobalAveragePooling2D(), layers.Dense(1)])


def fine_tuned(keras, trained):
    """The same, first half frozen: `.h5` then stores the second half's arrays first."""
    for layer in trained.layers[:150]:
        layer.trainable = False
    return sequential(keras, trained)


def functional(keras, trained):
    trained.trainable = False
    inputs = keras.Input((96, 96, 3))
    pooled = keras.layers.GlobalMaxPooling2D()(trained(inputs / 127.5 - 1))
    return keras.Model(inputs, keras.layers.Dense(1)(pooled))


def flat(keras, trained):
    """A head that grew on the backbone's output, with a convolution of its own."""
    own = keras.layers.Conv2D(8, 1)(trained.output)
    return keras.Model(trained.input, keras.layers.GlobalAveragePooling2D()(own))


def save(model, path):
    if path.name == "legacy.h5":  # weights alone in the old format, like Keras' ImageNet file
        import h5py
        from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

        with h5py.File(path, "w") as file:
            save_weights_to_hdf5_group(file, model)
    elif path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)


def refill(blank, path) -> list[np.ndarray]:
    blank.set_weights([np.full(variable.shape, np.nan) for variable in blank.weights])
    set_weights(blank, identify_weights(str(path)))
    return blank.get_weights()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        *[(None, name) for name in ("x.weights.h5", "x.h5", "x.keras", "legacy.h5")],
        *[(with_top, name) for name in ("x.weights.h5", "x.h5", "x.keras")],
        *[(sequential, name) for name in ("x.weights.h5", "x.h5", "x.keras", "legacy.h5")],
        *[(fine_tuned, name) for name in ("x.h5", "x.keras")],
        *[(functional, name) for name in ("x.weights.h5", "x.h5")],
        *[(flat, name) for name in ("x.weights.h5", "x.h5")],
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_array_is_set_from_every_kind_of_file(keras, trained, blank, tmp_path, owner, name):
    wanted = trained.get_weights()  # of the model that writes the file
    try:
        save(owner(keras, trained) if owner else trained, tmp_path / name)
    finally:
        trained.trainable = True
    got = refill(blank, tmp_path / name)
    (tmp_path / name).unlink()  # 90 MB
    assert len(got) == len(wanted) == 376
    assert all(map(np.array_equal, got, wanted))


def test_really_trained_weights_are_what_keras_loads(trained_weights, keras, blank):
    got = refill(blank, trained_weights)
    blank.load_weights(trained_weights)
    assert all(map(np.array_equal, got, blank.get_weights()))


def test_a_file_that_is_no_inception_or_no_file_of_keras(keras, trained, blank, tmp_path):
    other = tmp_path / "mobile.weights.h5"
    keras.applications.MobileNet(
        alpha=0.25, input_shape=(32, 32, 3), include_top=False, weights=None
    ).save_weights(other)
    with pytest.raises(InputError, match=rf"supplies \d of the 376 arrays .*\n.*\n.*{SAVE}"):
        refill(blank, other)

    text = tmp_path / "text.h5"
    text.write_text("no weights at all")
    with pytest.raises(InputError, match="supplies 0 of the 376 arrays"):
        refill(blank, text)
    with pytest.raises(InputError, match="supplies 0 of the 376 arrays"):
        refill(blank, text.rename(tmp_path / "text.keras"))

    for name in ("cut.weights.h5", "cut.keras"):
        save(trained, tmp_path / name)
        os.truncate(tmp_path / name, 50_000_000)
        with pytest.raises(InputError, match="supplies 0 of the 376 arrays"):
            refill(blank, tmp_path / name)


def test_one_layer_of_another_shape(keras, blank, trained, tmp_path):
    import h5py

    path = tmp_path / "x.weights.h5"
    trained.save_weights(path)
    with h5py.File(path, "r+") as file:
        del file["layers/conv2d_93/vars/0"]
        file["layers/conv2d_93/vars/0"] = np.zeros((1, 1, 8, 192), np.float32)
        del file["layers/batch_normalization_7/vars/2"]
    with pytest.raises(InputError, match="supplies 372 of the 376 arrays"):
        refill(blank, path)


def test_a_model_with_code_in_it(keras, blank, tmp_path):
    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    # the old format does not say whose class a layer is; nothing of it is run either way
    for layer, name, what in [
        (keras.layers.Lambda(lambda x: x / 255), "x.keras", "a Lambda"),
        (keras.layers.Lambda(lambda x: x / 255), "x.h5", "a Lambda"),
        (Own(), "x.keras", "Own"),
    ]:
        model = keras.Sequential([keras.Input((8, 8, 3)), layer, keras.layers.Conv2D(1, 1)])
        model.save(tmp_path / name)
        with pytest.raises(InputError, match=rf"0 of the 376 .*holds {what}[^$]*{SAVE}"):
            refill(blank, tmp_path / name)


def tiny_file(path: Path, *kernels: np.ndarray) -> WeightsSource:
    """Each kernel the only layer of a model of its own."""
    import h5py

    with h5py.File(path, "w") as file:
        for number, kernel in enumerate(kernels):
            file[f"model_{number}/layers/conv2d/vars/0"] = kernel
    source = identify_weights(str(path))
    assert source is not None
    return source


def test_what_else_may_be_wrong_with_a_file(tmp_path):
    slot = Slot("conv2d_5", "convolution", ((1, 1, 2, 2),))
    kernel = np.ones((1, 1, 2, 2))
    path = tmp_path / "x.weights.h5"

    def read(*kernels: np.ndarray):
        return read_arrays(path, tiny_file(path, *kernels).identity, [slot])

    assert np.array_equal(read(kernel)["conv2d_5"][0], kernel)
    with pytest.raises(InputError, match=r"1 of the 1 .* more than once"):
        read(kernel, kernel)
    with pytest.raises(InputError, match=r"0 of the 1 .* NaN"):
        read(kernel * np.nan)
    with pytest.raises(InputError, match=r"0 of the 1 .* changed"):
        read_arrays(path, "0" * 64, [slot])


def test_random_weights_are_drawn_in_order_of_creation(keras):
    network = build_network("inception_v3", ["mixed10"], identify_weights("random:3"))
    kernels = sorted(
        (layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)),
        key=lambda layer: int([*layer.name.split("_"), "0"][1]),
    )
    generator = np.random.Generator(np.random.PCG64(3))
    for layer in kernels:  # the rule of docs/weights.md, with Keras' own fans
        shape = layer.kernel.shape
        fan_in, fan_out = shape[0] * shape[1] * shape[2], shape[0] * shape[1] * shape[3]
        limit = (6 / (fan_in + fan_out)) ** 0.5
        wanted = generator.uniform(-limit, limit, shape).astype(np.float32)
        assert np.array_equal(layer.kernel.numpy(), wanted)
    assert len(kernels) == 94
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            beta, mean, variance = layer.get_weights()
            assert not beta.any()
            assert not mean.any()
            assert (variance == 1).all()


@pytest.fixture(scope="session")
def weights(trained, tmp_path_factory) -> WeightsSource:
    path = tmp_path_factory.mktemp("weights") / "trained.weights.h5"
    trained.save_weights(path)
    source = identify_weights(str(path))
    assert source is not None
    return source


def engine_on(weights: WeightsSource, *columns: Column, **recipe):
    settings = {"size": (96, 107), **recipe}
    return load_engine(
        "tensorflow",
        Recipe(weights=weights.identity, weights_tag=weights.tag, **settings),
        columns,
        weights,
    )


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
    engine = engine_on(identify_weights(str(trained_weights)), Column(), Column(layer="mixed2"))
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


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Half-pixel centres, edges repeated, no antialias, by hand, along one axis after the other."""

    def along_rows(pixels: np.ndarray, size: int) -> np.ndarray:
        place = (np.arange(size) + 0.5) * len(pixels) / size - 0.5
        low = np.floor(place).astype(int)
        share = (place - low)[:, None, None]
        last = len(pixels) - 1
        return pixels[low.clip(0, last)] * (1 - share) + pixels[(low + 1).clip(0, last)] * share

    rows = along_rows(image.astype(np.float64), height)
    return along_rows(rows.transpose(1, 0, 2), width).transpose(1, 0, 2)


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
