"""Networks of keras.applications other than InceptionV3, against Keras itself."""

import importlib
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import jaxreg
from jaxreg.backbone.engine import load_engine
from jaxreg.backbone.network import build_network, spatial_layers, start_keras
from jaxreg.backbone.preprocess import preprocessing
from jaxreg.backbone.registry import BACKBONES, backbone_name
from jaxreg.backbone.weights import WeightsSource, identify_weights
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from keras_models import relative_error
from test_backbone_engines import needs_openvino

SIZE = (70, 91)  # odd and even: the padding of some networks depends on it

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`input_shape` is undefined:UserWarning"),
]


@pytest.fixture(scope="module")
def keras():
    start_keras()
    import keras

    return keras


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Blurred noise of the network's own size, so that no resize comes between."""
    rng = np.random.default_rng(4)
    coarse = rng.integers(0, 256, (3, 20, 24, 3))
    return [np.kron(c, np.ones((4, 4, 1)))[: SIZE[0], : SIZE[1]].astype(np.uint8) for c in coarse]


def kerass_own(keras, name: str):
    """Keras' network, and its own preprocessing."""
    constructor = getattr(keras.applications, BACKBONES[name].constructor)
    network = constructor(include_top=False, weights=None, input_shape=(*SIZE, 3))
    return network, importlib.import_module(constructor.__module__).preprocess_input


def disturb(network) -> None:
    """Every array unlike any other, but near what lets a signal through."""
    rng = np.random.default_rng(6)
    for variable in network.weights:
        if "float" in str(variable.dtype):
            factor = rng.uniform(0.8, 1.2, variable.shape)
            variable.assign(np.asarray(variable) * factor + 0.01 * rng.random(variable.shape))
    for layer in network.layers:
        if hasattr(layer, "finalize_state"):  # a Normalization computes with copies of its weights
            layer.finalize_state()


def features(engine: str, name: str, weights: WeightsSource, images, *columns: Column, **recipe):
    described = {"backbone": name, "size": SIZE, **recipe}
    made = Recipe(weights.identity, weights.tag, **described)
    return load_engine(engine, made, columns, weights).features(images)


def check_against_keras(keras, images, monkeypatch, tmp_path, name: str) -> None:
    """A file that Keras wrote, on two engines, against what Keras itself predicts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network, preprocess = kerass_own(keras, name)
    disturb(network)
    network.save_weights(tmp_path / "x.weights.h5")
    weights = identify_weights(str(tmp_path / "x.weights.h5"), name)
    assert weights is not None
    pixels = preprocess(np.stack(images).astype(np.float32))
    wanted = network.predict_on_batch(pixels).mean((1, 2))
    last = Column(layer=BACKBONES[name].last_layer)
    for engine in ("tensorflow", "openvino"):
        got = features(engine, name, weights, images, last)[last.name]
        assert relative_error(got, wanted) < 1e-4, engine


@needs_openvino
def test_mobilenet_is_kerass(keras, images, monkeypatch, tmp_path) -> None:
    check_against_keras(keras, images, monkeypatch, tmp_path, "mobilenet_v2")


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize(
    "name", ["resnet50", "densenet121", "efficientnet_b0", "convnext_tiny", "mobilenet_v3_small"]
)
def test_others_are_kerass(keras, images, monkeypatch, tmp_path, name) -> None:
    check_against_keras(keras, images, monkeypatch, tmp_path, name)


@needs_openvino
def test_a_whole_extraction_with_another_backbone(keras, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = Cache(tmp_path / "cache")
    settings = {"name": "d", "cache": cache.root, "weights": "random:1", "size": (64, 64)}
    done = jaxreg.extract_features(
        "road:24",
        backbone="MobileNetV2",
        layers=("out_relu", "block_3_expand_relu"),
        views=("identity", "mirror"),
        **settings,
    )
    assert done.feature_set.startswith("mobilenet_v2-random1-64x64-")
    assert done.columns == (
        "identity.out_relu.avg",
        "identity.block_3_expand_relu.avg",
        "mirror.out_relu.avg",
        "mirror.block_3_expand_relu.avg",
    )
    assert cache.recipe(done.feature_set).to_json()["backbone"] == "mobilenet_v2"
    assert "--views identity mirror" in read_dataset(cache, "d").extract_command()
    # a head looks at the images as they are, whatever else there is
    run = jaxreg.train_head("d", cache=cache.root, ckpts=tmp_path / "c", epochs=1, split="hash")
    assert [column.name for _, column in run.features.columns] == list(done.columns[:2])
    assert run.predict([np.full((40, 80, 3), 99, np.uint8)]).shape == (1, 1)
    again = jaxreg.extract_features("road:24", backbone="mobilenet_v2", **settings)
    assert (again.computed, again.columns) == (0, ("identity.out_relu.avg",))
    with pytest.raises(
        InputError, match=r"mobilenet_v2 has no layer 'out_rel'\n.*\n  try: use the layer out_relu"
    ):
        jaxreg.extract_features("road:25", backbone="mobilenet_v2", layers=("out_rel",), **settings)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("inception_v3", "inception_v3"),
        ("MobileNetV2", "mobilenet_v2"),
        ("EfficientNetV2B0", "efficientnet_v2_b0"),
        ("nasnet-mobile", "nasnet_mobile"),
    ],
)
def test_kerass_spelling_will_do(asked: str, name: str) -> None:
    assert backbone_name(asked) == name


def test_an_unknown_backbone_gets_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"no backbone 'resnet_51'\n(.*\n)  try: --backbone resnet50$"
    ):
        jaxreg.extract_features("road:1", backbone="resnet_51", weights="random")


def test_each_backbone_has_its_own_smallest_size() -> None:
    with pytest.raises(InputError, match=r"--size is \(64, 64\)\n  expected: at least 71 pixels"):
        jaxreg.extract_features("road:1", backbone="xception", size=(64, 64))


@pytest.mark.parametrize(
    "name", ["inception_v3", "resnet50", "densenet121", "efficientnet_b0", "convnext_tiny"]
)
def test_preprocessing_is_kerass(keras, name: str) -> None:
    constructor = getattr(keras.applications, BACKBONES[name].constructor)
    own = importlib.import_module(constructor.__module__).preprocess_input
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 5, 6, 3)).astype(np.float32)
    got = preprocessing(Recipe("random:0:v1", "random0", backbone=name))(pixels)
    np.testing.assert_allclose(got, own(pixels.copy()), rtol=1e-6, atol=1e-6)
    unit = preprocessing(Recipe("random:0:v1", "random0", backbone=name, preprocess="unit"))
    np.testing.assert_allclose(unit(pixels), pixels / 255, rtol=1e-6)


def test_random_weights_are_glorot_in_layer_order_and_neutral(keras) -> None:
    weights = identify_weights("random:3", "mobilenet_v2")
    assert weights is not None
    network = build_network("mobilenet_v2", ["out_relu"], weights, SIZE)
    generator = np.random.Generator(np.random.PCG64(3))
    seen = set()
    for layer in network.layers:  # the rule of docs/weights.md by hand
        for variable in layer.weights:
            got, shape = np.asarray(variable), tuple(variable.shape)
            seen.add((type(layer).__name__, variable.name))
            if isinstance(layer, keras.layers.BatchNormalization):
                assert (got == (variable.name in ("gamma", "moving_variance"))).all()
                continue
            height, width, inputs, outputs = shape
            fans = height * width * (inputs + outputs)
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                fans = height * width * 2  # one channel in, one out
            limit = (6 / fans) ** 0.5
            wanted = generator.uniform(-limit, limit, shape).astype(np.float32)
            np.testing.assert_array_equal(got, wanted)
    assert seen >= {("Conv2D", "kernel"), ("DepthwiseConv2D", "kernel")}
    assert len(seen) == 6


def test_a_file_of_another_network_or_a_damaged_one(keras, tmp_path) -> None:
    path = tmp_path / "x.weights.h5"
    network, _ = kerass_own(keras, "mobilenet")
    network.save_weights(path)

    def load():
        weights = identify_weights(str(path), "mobilenet_v2")
        assert weights is not None
        build_network("mobilenet_v2", ["out_relu"], weights, SIZE)

    text = r"x\.weights\.h5 supplies \d+ of the 260 arrays of MobileNetV2: .*\n  expected: Mobile"
    with pytest.raises(InputError, match=text):
        load()
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(InputError, match="supplies 0 of the 260 arrays of MobileNetV2"):
        load()


@pytest.mark.slow
def test_efficientnets_of_imagenet_have_a_layer_more(keras, images, monkeypatch, tmp_path) -> None:
    """Keras adds it for weights="imagenet" alone; here its own download is a file of ours."""
    from keras.src.utils import file_utils

    plain, _ = kerass_own(keras, "efficientnet_b0")
    disturb(plain)
    plain.save_weights(tmp_path / "plain.weights.h5")
    path = str(tmp_path / "plain.weights.h5")
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: path)
    network = keras.applications.EfficientNetB0(
        include_top=False, weights="imagenet", input_shape=(*SIZE, 3)
    )
    network.save_weights(tmp_path / "imagenet.weights.h5")
    network.save(tmp_path / "imagenet.keras")
    column = Column(layer="top_activation")
    pixels = np.stack(images).astype(np.float32)
    for file, model in [
        ("plain.weights.h5", plain),
        ("imagenet.weights.h5", network),
        ("imagenet.keras", network),
    ]:
        weights = identify_weights(str(tmp_path / file), "efficientnet_b0")
        assert weights is not None
        got = features("tensorflow", "efficientnet_b0", weights, images, column)
        wanted = model.predict_on_batch(pixels).mean((1, 2))
        assert relative_error(got[column.name], wanted) < 1e-4, file
    assert relative_error(plain.predict_on_batch(pixels), network.predict_on_batch(pixels)) > 1e-3


@pytest.mark.slow
def test_the_table_of_backbones_is_what_keras_has(keras, monkeypatch) -> None:
    """Default layer and file of ImageNet weights, by building networks and watching."""
    from keras.src.utils import file_utils

    asked = []

    def get_file(name, url, *_, **settings):
        asked.append((name, url, settings.get("file_hash")))

    monkeypatch.setattr(file_utils, "get_file", get_file)
    monkeypatch.setattr(keras.Model, "load_weights", lambda self, path: None)
    names = {name for name in dir(keras.applications) if re.match("[A-Z]", name)}
    assert {backbone.constructor for backbone in BACKBONES.values()} == names
    families = set()
    for name, known in sorted(BACKBONES.items(), key=lambda item: item[1].size):
        constructor = getattr(keras.applications, known.constructor)
        if constructor.__module__ in families:
            continue  # one of each family is built: all of them would take minutes
        families.add(constructor.__module__)
        settings = {"weights": "imagenet", "input_shape": (known.size, known.size, 3)}
        with ThreadPoolExecutor(1) as thread, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = thread.submit(constructor, include_top=False, **settings).result()
        assert list(spatial_layers(network))[-1] == known.last_layer, name
        assert network.output.shape == network.get_layer(known.last_layer).output.shape
        file = known.imagenet
        assert asked[-1] == (file.name, file.url, file.hash), name
    assert len(families) == len(asked) == 15
