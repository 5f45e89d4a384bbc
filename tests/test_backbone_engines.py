"""The engines beside each other: the same features from each, which one `auto` is, and int8."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import jaxreg
from cache_files import checked
from jaxreg.backbone import engine
from jaxreg.backbone.engine import choose_engine, load_engine
from jaxreg.backbone.openvino_model import import_openvino
from jaxreg.backbone.resize import resize
from jaxreg.backbone.weights import identify_weights
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.extraction.extract_source import Extraction
from jaxreg.verify import out_of_range
from keras_models import bilinear, relative_error


def needs(package: str) -> pytest.MarkDecorator:
    absent = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(absent, reason=f"{package} is not installed here")


needs_openvino, needs_nncf = needs("openvino"), needs("nncf")

READ = [
    Column(),
    Column(layer="mixed2", pool="grid:1x4"),
    Column(layer="mixed5", pool="max"),
]

PROGRAM = """
import json, sys
import numpy as np
from jaxreg.backbone.engine import load_engine
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.backbone.weights import identify_weights

asked = json.loads(sys.argv[1])
images = [image for _, image in sorted(np.load(asked["images"]).items())]
weights = identify_weights(asked["weights"])
recipe = Recipe(weights.identity, weights.tag, size=(75, 75), **asked["recipe"])
columns = [Column.parse(name) for name in asked["columns"]]
said = []
engine = load_engine(asked["engine"], recipe, columns, weights, say=said.append)
engine.compile(images[0], 4)
np.savez(asked["out"], **engine.features(images))
heavy = ("tensorflow", "keras", "openvino_telemetry")
loaded = [name for name in heavy if sys.modules.get(name)]
devices = engine._by_row.num_devices if engine.name == "jax" else 1
print(json.dumps({"said": said, "loaded": loaded, "devices": devices}))
"""


@pytest.fixture(scope="module")
def user_cache(tmp_path_factory) -> Path:
    """Instead of the user's own, which tests leave alone."""
    return tmp_path_factory.mktemp("user-cache")


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Blurred noise of three sizes; six, so that eight devices must be padded."""
    rng = np.random.default_rng(5)
    sizes = [(75, 75), (60, 90), (120, 160), (75, 75), (120, 160), (75, 75)]
    coarse = [rng.integers(0, 256, (h // 4 + 1, w // 4 + 1, 3)) for h, w in sizes]
    return [
        np.kron(pixels, np.ones((4, 4, 1)))[:h, :w].astype(np.uint8)
        for pixels, (h, w) in zip(coarse, sizes, strict=True)
    ]


@pytest.fixture(scope="module")
def run_engine(images, user_cache, tmp_path_factory):
    """Features of the images in a process of its own: one has one Keras backend."""
    folder = tmp_path_factory.mktemp("engines")
    np.savez(folder / "images.npz", **{str(i): image for i, image in enumerate(images)})
    kept: dict[str, tuple[dict[str, np.ndarray], dict]] = {}

    def run(name: str, weights: str, fresh: bool = False, columns=READ, **recipe):
        asked = {
            "engine": name,
            "weights": weights,
            "recipe": recipe,
            "columns": [column.name for column in columns],
            "images": str(folder / "images.npz"),
            "out": str(folder / "features.npz"),
        }
        key = json.dumps(asked)
        if key not in kept or fresh:
            flags = "--xla_force_host_platform_device_count=8"
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, key],
                env={**os.environ, "XDG_CACHE_HOME": str(user_cache), "XLA_FLAGS": flags},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout.splitlines()[-1])
            kept[key] = dict(np.load(folder / "features.npz")), told
        return kept[key]

    return run


def assert_alike(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert list(got) == list(wanted) == [column.name for column in READ]
    for name, array in got.items():
        assert array.dtype == np.float32
        assert relative_error(array, wanted[name]) < 1e-4


@needs_openvino
def test_openvino_gives_tensorflows_features(run_engine) -> None:
    wanted, _ = run_engine("tensorflow", "random:1")
    got, told = run_engine("openvino", "random:1")
    assert_alike(got, wanted)
    said = [line for line in told["said"] if not line.endswith(" …")]  # a long step is named
    assert said == ["engine: openvino (as asked for)"]
    assert "openvino_telemetry" not in told["loaded"]


def test_jax_gives_tensorflows_features_on_eight_devices(run_engine) -> None:
    # up to an early layer: XLA takes long to compile the whole network, which a slow test does
    [early] = got_columns = [column for column in READ if column.layer == "mixed2"]
    wanted, _ = run_engine("tensorflow", "random:1")
    got, told = run_engine("jax", "random:1", columns=got_columns)
    assert relative_error(got[early.name], wanted[early.name]) < 1e-4
    assert told["devices"] == 8
    assert "tensorflow" not in told["loaded"]


@pytest.mark.slow
@needs_openvino
def test_openvino_gives_tensorflows_features_of_real_weights(run_engine, trained_weights) -> None:
    wanted, _ = run_engine("tensorflow", str(trained_weights))
    got, _ = run_engine("openvino", str(trained_weights))
    assert_alike(got, wanted)


@pytest.mark.slow
def test_jax_gives_tensorflows_features_of_real_weights(run_engine, trained_weights) -> None:
    wanted, _ = run_engine("tensorflow", str(trained_weights))
    got, _ = run_engine("jax", str(trained_weights))
    assert_alike(got, wanted)


@needs_openvino
def test_a_conversion_is_kept_and_a_damaged_one_made_anew(run_engine, user_cache) -> None:
    wanted, _ = run_engine("openvino", "random:1")
    _, told = run_engine("openvino", "random:1", fresh=True)
    assert told["loaded"] == []
    [path] = (user_cache / "jaxreg" / "openvino").glob("inception_v3-random1-*.zip")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    got, told = run_engine("openvino", "random:1", fresh=True)
    assert "tensorflow" in told["loaded"]
    assert_alike(got, wanted)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


@needs_openvino
def test_bfloat16_is_near(run_engine) -> None:
    if "BF16" not in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    wanted, _ = run_engine("tensorflow", "random:1")
    got, told = run_engine("auto", "random:1", precision="bfloat16", engine="openvino")
    assert told["said"][0] == "engine: openvino (the one that computes in bfloat16)"
    for name, array in got.items():
        assert array.dtype == np.float32
        assert 1e-5 < relative_error(array, wanted[name]) < 0.05


def openvino_engine(monkeypatch, user_cache, *columns: Column, **recipe):
    monkeypatch.setenv("XDG_CACHE_HOME", str(user_cache))
    weights = identify_weights("random:1")
    assert weights is not None
    return load_engine(
        "openvino", Recipe(weights.identity, weights.tag, **recipe), columns, weights
    )


@needs_openvino
def test_openvino_at_native_size(monkeypatch, user_cache, images) -> None:
    grid = Column(layer="mixed5", pool="grid:3x3")
    engine = openvino_engine(monkeypatch, user_cache, grid, size=None)
    usable = [image for image in images if min(image.shape[:2]) >= 75]
    together = engine.features(usable)[grid.name]
    alone = np.concatenate([engine.features([image])[grid.name] for image in usable])
    assert relative_error(together, alone) < 1e-5
    with pytest.raises(InputError, match="60 x 90 pixels at native size"):
        engine.features(images)


@needs_openvino
def test_what_openvino_cannot_do(monkeypatch, user_cache) -> None:
    with pytest.raises(InputError, match=r"grid:5x1 on mixed10\n.*at most 1x1 cells"):
        openvino_engine(monkeypatch, user_cache, Column(pool="grid:5x1"), size=(75, 75))
    monkeypatch.setattr("jaxreg.backbone.openvino_engine.computes_bfloat16", lambda core: False)
    with pytest.raises(InputError, match="this processor has no such instructions"):
        openvino_engine(monkeypatch, user_cache, Column(), precision="bfloat16", engine="openvino")


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch) -> None:
    monkeypatch.setattr("jaxreg.backbone.openvino_model.find_spec", lambda package: None)
    weights = identify_weights("random")
    assert weights is not None
    with pytest.raises(InputError, match=r"openvino is not installed\n.*'jaxreg\[openvino\]'"):
        load_engine("openvino", Recipe(weights.identity, weights.tag), [Column()], weights)


@pytest.mark.parametrize(
    ("gpu", "plugin", "openvino", "platforms", "expected"),
    [
        (True, "xla_cuda13", True, "", "jax"),
        (True, "xla_cuda13", True, "cpu", "openvino"),
        (True, "", True, "", "openvino"),  # JAX cannot use it
        (False, "xla_cuda13", True, "", "openvino"),
        (False, "", False, "", "tensorflow"),
    ],
)
def test_what_auto_is(monkeypatch, tmp_path, gpu, plugin, openvino, platforms, expected) -> None:
    class Entry:
        name = plugin

    (tmp_path / "nvidia0").touch()
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setattr(engine.metadata, "entry_points", lambda group: [Entry] if plugin else [])
    monkeypatch.setattr(engine, "find_spec", lambda name: openvino or None)
    monkeypatch.setattr(engine, "GPUS", (tmp_path / ("nvidia0" if gpu else "none"),))
    assert choose_engine("auto")[0] == expected


def test_below_float32_it_is_openvino() -> None:
    assert choose_engine("auto", "int8")[0] == "openvino"
    with pytest.raises(InputError, match=r"--precision int8 with --engine jax\n.*openvino"):
        choose_engine("jax", "int8")
    with pytest.raises(InputError, match=r"--engine is tensorflow\n.*openvino"):
        jaxreg.extract_features("road:1", engine="tensorflow", precision="bfloat16")


@pytest.mark.parametrize("size", [(75, 75), (60, 90), (300, 130)])
def test_a_resized_mirror_image_is_the_mirrored_resized_image(size) -> None:
    """So it does not matter that a view is made before the resize."""
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    plain, mirrored = np.empty((2, 96, 107, 3), np.float32)
    resize(image, plain)
    resize(image[:, ::-1], mirrored)
    assert relative_error(mirrored, plain[:, ::-1]) < 2e-5


@pytest.mark.parametrize("size", [(75, 75), (60, 90), (300, 130)])
def test_pixels_are_resized_as_tensorflow_does(size) -> None:
    import tensorflow as tf

    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    got = np.empty((96, 107, 3), np.float32)
    resize(image, got)
    wanted = tf.image.resize(image, (96, 107), "bilinear").numpy()
    assert relative_error(got, wanted) < 1e-6
    assert relative_error(got, bilinear(image, 96, 107)) < 2e-5


@needs_nncf
def test_an_int8_feature_set_keeps_its_network(monkeypatch, user_cache, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(user_cache))
    said: list[str] = []

    def extract(source: str, *layers: str) -> Extraction:
        settings = {"weights": "random:1", "size": (75, 75), "precision": "int8", "layers": layers}
        return jaxreg.extract_features(
            source, name="d", cache=tmp_path / "cache", say=said.append, **settings
        )

    first = extract("road:12", "mixed2")
    assert not [line for line in said if "warning" in line]  # they are what it was calibrated on
    assert "calibrating int8 on 12 of the images" in said
    cache = Cache(tmp_path / "cache")
    recipe = cache.recipe(first.feature_set)
    model = tmp_path / "cache" / "features" / first.feature_set / "quantized.zip"
    assert recipe.quantized == hashlib.sha256(model.read_bytes()).hexdigest()
    assert first.seconds["total"] > first.seconds["start"] > 0
    said.clear()

    # more images, one more layer: the same network, not calibrated anew
    second = extract("road:20", "mixed2", "mixed10")
    assert second.feature_set == first.feature_set
    assert not [line for line in said if "calibrating" in line]
    run = jaxreg.train_head("d", cache=cache.root, ckpts=tmp_path / "ckpts", epochs=1)
    image = np.full((90, 80, 3), 99, np.uint8)
    assert run.predict([image]).shape == (1, 1)
    assert cache.feature_sets() == [first.feature_set]

    dark = np.zeros((6, 90, 80, 3), np.uint8) + np.arange(6, dtype=np.uint8)[:, None, None, None]
    np.savez(tmp_path / "dark.npz", images=dark)
    said.clear()
    extract(str(tmp_path / "dark.npz"), "mixed2")
    [warning] = [line for line in said if line.startswith("warning: ")]
    assert "6 of 6 images are unlike those that int8 was calibrated on" in warning
    [verified] = out_of_range(cache)
    assert verified.startswith(f"{first.feature_set}: ")
    assert "of 27 images are unlike" in verified  # 20 drawn ones, one that was predicted, and these

    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"quantized.zip is damaged\n.*SHA-256"):
        extract("road:21", "mixed2")
    _, _, wrong = checked(cache)
    assert len(wrong) == 1
    model.unlink()
    with pytest.raises(InputError, match=r"quantized.zip is absent\n"):
        run.predict([image // 2])
