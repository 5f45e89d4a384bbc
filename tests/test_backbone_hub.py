"""Presets of KerasHub as backbones; the oracle is the KerasHub network itself."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import hub_presets
from hub_presets import HALVES, IMAGENET, PREFIX, loaded, needs_hub, pixels
from jaxreg.backbone.engine import Engine, load_engine
from jaxreg.backbone.hub_facts import hub_facts
from jaxreg.backbone.hub_names import identify_preset
from jaxreg.backbone.hub_preset import preset_of
from jaxreg.backbone.network_layers import NetworkFacts
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig
from jaxreg.extraction.feature_set import choose_columns
from keras_models import relative_error

pytestmark = needs_hub

ENGINES = ["tensorflow", *["openvino"] * (importlib.util.find_spec("openvino") is not None)]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    hub_presets.answer_in_this_process(monkeypatch)


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def one(name: str) -> Path:
        if name not in made:
            made[name] = hub_presets.make(name, tmp_path_factory.mktemp("hub"))
        return made[name]

    return one


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (50 + 5 * i, 61, 3), dtype=np.uint8) for i in range(3)]


def facts(folder: Path, size: tuple[int, int] | None = None) -> NetworkFacts:
    known = preset_of(identify_preset(str(folder)))
    return hub_facts(known, size or known.size)


def engine(folder: Path, columns: Sequence[Column], name: str, **recipe: Any) -> Engine:
    weights = identify_preset(str(folder))
    converter = preset_of(weights).converter
    assert converter is not None
    asked = {
        "size": converter.size,
        "scale": converter.scale,
        "offset": converter.offset,
        "prefix_tokens": facts(folder, recipe.get("size")).prefix_tokens,
        **recipe,
    }
    made = Recipe(weights.identity, weights.tag, backbone="keras_hub", **asked)
    return load_engine(name, made, columns, weights)


@pytest.mark.parametrize("name", ENGINES)
def test_a_vision_transformer(name: str, preset, images) -> None:
    folder = preset("vit")
    columns = [Column(layer="output", pool="cls"), Column(layer="output", pool="mean")]
    got = engine(folder, columns, name).features(images)
    tokens = np.asarray(loaded(folder)(pixels(images, 32, 32, **HALVES)))
    assert tokens.shape == (3, 1 + 16, 16)
    assert relative_error(got["identity.output.cls"], tokens[:, 0]) < 1e-5
    assert relative_error(got["identity.output.mean"], tokens[:, 1:].mean(1)) < 1e-5


@pytest.mark.parametrize("name", ENGINES)
def test_dinov2_of_another_size_with_registers_and_stages(name: str, preset, images) -> None:
    folder, size = preset("dino"), (42, 42)
    columns = [Column(layer="output", pool="mean"), Column(layer="stage1", pool="mean")]
    got = engine(folder, columns, name, size=size).features(images)
    network = loaded(folder, image_shape=(*size, 3))
    shown = {"images": pixels(images, *size, **IMAGENET)}
    import keras

    stage = keras.Model(network.inputs, network.pyramid_outputs["stage1"])(list(shown.values()))
    for column, tokens in (("output", network(shown)), ("stage1", stage)):
        tokens = np.asarray(tokens)
        assert tokens.shape[1] == PREFIX + 9
        wanted = tokens[:, PREFIX:].mean(1)
        assert relative_error(got[f"identity.{column}.mean"], wanted) < 1e-5


@pytest.mark.parametrize("name", ENGINES)
def test_a_convolutional_network(name: str, preset, images) -> None:
    folder = preset("resnet")
    columns = [
        Column(layer="output"),
        Column(layer="P2", pool="max"),
        Column(layer="conv1_relu", pool="grid:1x2"),
    ]
    got = engine(folder, columns, name).features(images)
    import keras

    network = loaded(folder)
    tensors = [
        network.output,
        network.pyramid_outputs["P2"],
        network.get_layer("conv1_relu").output,
    ]
    shown = pixels(images, 40, 48, **IMAGENET)
    output, stage, first = (np.asarray(x) for x in keras.Model(network.input, tensors)(shown))
    assert relative_error(got["identity.output.avg"], output.mean((1, 2))) < 1e-5
    assert relative_error(got["identity.P2.max"], stage.max((1, 2))) < 1e-5
    half = first.shape[2] // 2
    cells = [first[:, :, :half].mean((1, 2)), first[:, :, half:].mean((1, 2))]
    assert relative_error(got["identity.conv1_relu.grid1x2"], np.concatenate(cells, 1)) < 1e-5


def test_native_size(preset, images) -> None:
    got = engine(preset("resnet"), [Column(layer="output")], "tensorflow", size=None)
    for image in images[:2]:
        shown = pixels([image], *image.shape[:2], **IMAGENET)
        wanted = np.asarray(loaded(preset("resnet"))(shown)).mean((1, 2))
        assert relative_error(got.features([image])["identity.output.avg"], wanted) < 1e-5


def test_the_image_part_of_a_network_of_images_and_texts(preset, images) -> None:
    folder = preset("siglip")
    known = {layer.layer: layer.shape for layer in facts(folder).layers}
    assert known["output"] == (None, 16)
    [deep] = [layer for layer in known if layer.endswith("post_layer_norm")]
    assert known[deep] == (None, 16, 16)  # 4 x 4 patches; Keras' symbolic shape has one more
    assert facts(folder).prefix_tokens == 0
    asked = {"backbone": f"keras_hub:{folder}", "layers": (deep,), "pool": "cls"}
    with pytest.raises(InputError, match=r"no class token is known(.|\n)*--pool mean"):
        choose_columns(ExtractConfig(**asked))
    columns = [Column(layer="output", pool="none"), Column(layer=deep, pool="mean")]
    got = engine(folder, columns, "tensorflow").features(images)
    import keras

    part = loaded(folder).vision_encoder
    both = keras.Model(part.inputs, [part.output, part.get_layer(deep).output])
    vector, tokens = (np.asarray(x) for x in both([pixels(images, 32, 32, **HALVES)]))
    assert relative_error(got["identity.output.none"], vector) < 1e-5
    assert relative_error(got[f"identity.{deep}.mean"], tokens.mean(1)) < 1e-5


def test_a_model_of_texts_is_refused(preset) -> None:
    known = preset_of(identify_preset(str(preset("bert"))))
    with pytest.raises(InputError, match=r"BertBackbone of KerasHub takes .*token_ids.*not images"):
        hub_facts(known, known.size)


def test_a_size_that_the_network_does_not_take(preset, images) -> None:
    with pytest.raises(InputError, match=r"supplies 37 of the 38 arrays(.|\n)*--size 32 32"):
        engine(preset("vit"), [Column(layer="output", pool="cls")], "tensorflow", size=(64, 64))
    with pytest.raises(InputError, match=r"cannot be built for images of 28 x 42(.|\n)*--size 28"):
        facts(preset("dino"), (28, 42))


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_an_array_that_is_absent(preset, tmp_path: Path) -> None:
    folder = copied(preset("vit"), tmp_path / "vit")
    with h5py.File(folder / "model.weights.h5", "a") as file:
        names: list[str] = []
        file.visititems(lambda name, x: names.append(name) if hasattr(x, "shape") else None)
        del file[names[-1]]
    with pytest.raises(InputError, match=r"supplies \d+ of the 38 arrays of ViTBackbone"):
        engine(folder, [Column(layer="output", pool="cls")], "tensorflow")
    (folder / "model.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\nno more")
    with pytest.raises(InputError, match=r"supplies 0 of the 38 arrays of ViTBackbone: damaged"):
        engine(folder, [Column(layer="output", pool="cls")], "tensorflow")


def test_a_class_that_is_no_network(preset, tmp_path: Path) -> None:
    folder = copied(preset("vit"), tmp_path / "vit")
    text = (folder / "config.json").read_text()
    tokenizer = text.replace("vit.vit_backbone", "bert.bert_tokenizer").replace(
        '"ViTBackbone"', '"BertTokenizer"'
    )
    (folder / "config.json").write_text(tokenizer)
    with pytest.raises(InputError, match="has no network BertTokenizer in keras_hub"):
        facts(folder)
    (folder / "config.json").write_text(text.replace('"ViTBackbone"', '"NewBackbone"'))
    with pytest.raises(InputError, match="has no network NewBackbone"):
        facts(folder)


@pytest.mark.slow
def test_jax_and_a_process_of_its_own(preset, images, tmp_path: Path) -> None:
    """Keras has one backend in a process: JAX computes in another one, which asks KerasHub too."""
    folder = preset("dino")
    np.savez(tmp_path / "images.npz", images=np.stack([image[:50] for image in images]))
    words = [sys.executable, "-m", "jaxreg.extract", "images.npz", "--name", "x", "--engine", "jax"]
    words += ["--backbone", f"keras_hub:{folder}", "--cache", "cache"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pool: mean of the tokens of patches" in done.stderr
    from jaxreg.cache.datasets import read_dataset
    from jaxreg.cache.store import Cache

    cache = Cache(tmp_path / "cache")
    dataset = read_dataset(cache, "x")
    got = cache.read(dataset.feature_set, dataset.columns, dataset.digests)
    shown = pixels([image[:50] for image in images], 28, 28, **IMAGENET)
    tokens = np.asarray(loaded(folder)({"images": shown}))
    assert relative_error(got, tokens[:, PREFIX:].mean(1)) < 1e-5
