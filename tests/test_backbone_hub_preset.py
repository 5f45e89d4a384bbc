"""What jaxreg reads of a KerasHub preset by itself: identity, pixels, what is refused; names."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hub_presets import answer_in_this_process, needs_hub
from jaxreg.backbone import hub_names, hub_network
from jaxreg.backbone.hub_names import identify_preset
from jaxreg.backbone.hub_preset import read_preset
from jaxreg.errors import InputError, UnavailableError

CONFIG: dict[str, Any] = {
    "module": "keras_hub.src.models.vit.vit_backbone",
    "class_name": "ViTBackbone",
    "config": {
        "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "bfloat16"}},
        "image_shape": [32, 48, 3],
        "patch_size": [8, 8],
    },
    "registered_name": "keras_hub>ViTBackbone",
    "compile_config": {"loss": "mse"},
}


def written(folder: Path, config: Any = CONFIG, converter: Any = None, weights: bytes = b"w"):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.weights.h5").write_bytes(weights)
    if converter is not None:
        (folder / "image_converter.json").write_text(json.dumps({"config": converter}))
    return folder


def test_what_decides_the_numbers_decides_the_identity(tmp_path: Path) -> None:
    first = read_preset(written(tmp_path / "a")).identity
    assert read_preset(written(tmp_path / "b")).identity == first
    (tmp_path / "b" / "config.json").write_text(json.dumps(CONFIG, indent=4, sort_keys=True))
    assert read_preset(tmp_path / "b").identity == first
    other = {**CONFIG, "config": {**CONFIG["config"], "patch_size": [16, 16]}}
    assert read_preset(written(tmp_path / "c", other)).identity != first
    assert read_preset(written(tmp_path / "d", weights=b"v")).identity != first


def test_networks_are_made_in_float32_and_nothing_is_compiled(tmp_path: Path) -> None:
    config = read_preset(written(tmp_path / "a")).config
    assert config["config"]["dtype"]["config"] == {"name": "float32"}
    assert set(config) == {"module", "class_name", "config", "registered_name"}
    assert config["registered_name"] is None
    old = {**CONFIG, "module": "keras_nlp.src.models.vit.vit_backbone"}  # of its first releases
    assert read_preset(written(tmp_path / "b", old)).config == config


def nested(**part: Any) -> dict[str, Any]:
    return {**CONFIG, "config": {**CONFIG["config"], "activation": [part]}}


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({**CONFIG, "module": "os", "class_name": "system"}, "os.system"),
        ({**CONFIG, "module": "keras.layers", "class_name": "Lambda"}, "keras.layers.Lambda"),
        ({**CONFIG, "module": "keras_hub.src.models.vit.vit_backbone.x-y"}, "x-y.ViTBackbone"),
        ({**CONFIG, "module": "keras_hub.src.utils.preset_utils"}, "preset_utils.ViTBackbone"),
        ({**CONFIG, "class_name": "__lambda__"}, "__lambda__"),
        (nested(module="builtins", class_name="function", config="exec"), "builtins.function"),
        (nested(class_name="__lambda__", config={"value": "x"}), "__lambda__"),
        (nested(module="keras.utils", class_name="get_file", config={}), "keras.utils.get_file"),
        (nested(registered_name="mine>Layer", config={}), "None.None"),
    ],
)
def test_a_config_that_names_other_classes(tmp_path: Path, config: Any, named: str) -> None:
    with pytest.raises(InputError, match="runs no code of others") as refused:
        read_preset(written(tmp_path / "a", config))
    assert named in refused.value.found


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "{", "cannot be read"),
        ("config.json", "[]", "is not the JSON that KerasHub writes"),
        ("config.json", '{"config": {"a": ' + "[" * 500 + "]" * 500 + "}}", "cannot be read"),
        ("config.json", " " * 4_000_001, "more than 4.0 MB are refused"),
        ("config.json", None, "cannot be read: No such file"),
        ("model.weights.h5", None, "cannot be read: No such file"),
        ("image_converter.json", '{"config": {"scale": [1, 2]}}', "a scale, offset or size"),
        ("image_converter.json", '{"config": {"scale": "big"}}', "a scale, offset or size"),
        ("image_converter.json", '{"config": {"offset": NaN}}', "a scale, offset or size"),
    ],
)
def test_damaged_files(tmp_path: Path, file: str, content: str | None, message: str) -> None:
    folder = written(tmp_path / "a")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(InputError, match=message):
        read_preset(folder)


def test_a_quantized_preset(tmp_path: Path) -> None:
    dtype = {"module": "keras", "class_name": "DTypePolicyMap", "config": {}}
    quantized = {**CONFIG, "config": {**CONFIG["config"], "dtype": dtype}}
    with pytest.raises(InputError, match="is quantized"):
        read_preset(written(tmp_path / "a", quantized))


def test_pixels_and_size(tmp_path: Path) -> None:
    """Against the formulas of KerasHub's ImageConverter: x * scale + offset."""
    assert read_preset(written(tmp_path / "a")).size == (32, 48)  # the network's
    new = {"image_size": [20, 30], "scale": 0.5, "offset": [1, 2, 3], "crop_to_aspect_ratio": False}
    preset = read_preset(written(tmp_path / "b", converter=new))
    assert preset.size == (20, 30)
    assert preset.converter is not None
    assert preset.converter.scale == (0.5, 0.5, 0.5)
    assert preset.converter.offset == (1, 2, 3)
    assert preset.converter.resize is None
    mean, variance = [0.1, 0.2, 0.3], [0.04, 0.09, 0.16]
    old = {"height": 8, "width": 9, "scale": 1 / 255, "mean": mean, "variance": variance}
    converter = read_preset(written(tmp_path / "c", converter=old)).converter
    assert converter is not None
    assert converter.size == (8, 9)
    assert converter.resize == "bilinear, crop to the aspect ratio"
    for channel in range(3):
        std = math.sqrt(variance[channel])
        assert math.isclose(converter.scale[channel], 1 / 255 / std)
        assert math.isclose(converter.offset[channel], -mean[channel] / std)


# ---- names


PRESETS = {"dinov2_base": "kaggle://keras/dinov2/keras/dinov2_base/1", "bert_base_en": None}


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_names, "image_presets", lambda: PRESETS)


@needs_hub
@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("asked", "message", "remedy"),
    [
        ("dinov2_bas", "is unknown to KerasHub", "--backbone keras_hub:dinov2_base"),
        ("bert_base_en", "is not of images alone", ""),
        ("./vit", "no folder ./vit", ""),
        ("hf://google/vit", "no folder hf://google/vit", ""),
    ],
)
def test_names_that_are_no_preset(asked: str, message: str, remedy: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        identify_preset(f"keras_hub:{asked}")
    assert refused.value.remedy == remedy


@needs_hub
@pytest.mark.usefixtures("named")
def test_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import kagglehub
    import requests

    def absent(handle: str, path: str) -> str:
        request = requests.Request("GET", "https://api.kaggle.com/v1/x").prepare()
        raise requests.exceptions.ConnectionError("long", request=request)

    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setattr(kagglehub, "model_download", absent)
    with pytest.raises(UnavailableError, match="dinov2_base cannot be downloaded") as refused:
        identify_preset("keras_hub:dinov2_base")
    assert "api.kaggle.com cannot be reached" in refused.value.found
    assert f"{tmp_path}/models/keras/dinov2/keras/dinov2_base/1" in refused.value.expected
    assert "--backbone keras_hub:FOLDER" in refused.value.remedy


@needs_hub
@pytest.mark.usefixtures("named")
def test_a_preset_in_the_cache_of_kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """kagglehub itself finds what it has downloaded before; it has no network here."""
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_model_handle

    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    handle = parse_model_handle("keras/dinov2/keras/dinov2_base/1")
    folder = Path(Cache().get_path(handle))
    folder.parent.mkdir(parents=True)
    written(folder, converter={"image_size": [20, 30]})
    for file in ("config.json", "model.weights.h5", "image_converter.json"):
        Cache().mark_as_complete(handle, file)
    found = identify_preset("keras_hub:dinov2_base")
    assert found.path == folder
    assert found.tag == "dinov2_base"
    assert found.identity == read_preset(folder).identity


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_network, "find_spec", lambda name: None)
    monkeypatch.delitem(hub_network.sys.modules, "keras_hub", raising=False)
    with pytest.raises(InputError, match="not installed") as refused:
        identify_preset("keras_hub:dinov2_base")
    assert refused.value.remedy == "pip install 'jaxreg[hub]'"


@needs_hub
@pytest.mark.slow
def test_the_presets_of_keras_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxreg.backbone.hub_facts import image_presets

    presets = image_presets()  # asked in a process of its own
    assert str(presets["dinov2_base"]).startswith("kaggle://keras/dinov2/")
    assert presets["siglip_base_patch16_224"] is not None
    assert presets["bert_base_en"] is None
    assert presets["gemma3_1b"] is None
    answer_in_this_process(monkeypatch)
    assert image_presets() == presets  # from the user's cache
