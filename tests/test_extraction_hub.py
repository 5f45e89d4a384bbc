"""From `extract --backbone keras_hub:FOLDER` to predictions, with a tiny network."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hub_presets
import jaxreg
from hub_presets import IMAGENET, PREFIX, loaded, needs_hub, pixels
from jaxreg import bundle, extract, predict, verify
from jaxreg.backbone.hub_preset import read_preset
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, UnavailableError
from jaxreg.list import main as list_main
from jaxreg.sources import open_source
from jaxreg.sources import pixels as source_pixels
from keras_models import relative_error

pytestmark = needs_hub


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    hub_presets.answer_in_this_process(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_presets.make("dino", tmp_path_factory.mktemp("hub"))


@pytest.fixture
def preset(made: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "my dino"
    folder.mkdir()
    for file in made.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def extracted(folder: Path, **settings: Any) -> Any:
    asked = {"engine": "tensorflow", **settings}
    cache = folder.parent / "cache"
    return jaxreg.extract_features("road:12", cache=cache, backbone=f"keras_hub:{folder}", **asked)


def decoded() -> list[np.ndarray]:
    images = open_source("road:12").images
    return [source_pixels.decode(source_pixels.read(image)) for image in images]


def test_from_images_to_predictions(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, said = preset.parent, list[str]()
    done = extracted(preset, say=said.append)
    assert done.feature_set.startswith("keras_hub-my-dino-28x28-")
    assert done.columns == ("identity.output.mean",)
    assert "pool: mean of the tokens of patches; --pool cls takes the class token" in said
    [note] = [text for text in said if text.startswith("note:")]
    assert "(bicubic, antialias); jaxreg resizes bilinearly" in note
    cache = Cache(folder / "cache")
    dataset = read_dataset(cache, "road")
    got = cache.read(done.feature_set, dataset.columns, dataset.digests)
    shown = {"images": pixels(decoded(), 28, 28, **IMAGENET)}
    assert relative_error(got, np.asarray(loaded(preset)(shown))[:, PREFIX:].mean(1)) < 1e-5

    run = jaxreg.train_head(
        "road", cache=folder / "cache", ckpts=folder, head="ridge", split="hash", validation=0.3
    )
    [recipe] = run.features.networks
    assert recipe.weights == read_preset(preset).identity
    assert recipe.prefix_tokens == PREFIX
    with pytest.warns(UserWarning, match="was trained on 10 of the 12"):
        wanted = run.predict(decoded())
    assert "my-dino" in (run.path / "report.html").read_text()
    # the folder has moved: its identity is what counts
    moved = preset.rename(folder / "moved")
    new = [image[:, ::-1] for image in decoded()]
    with pytest.raises(UnavailableError, match=r"cannot be found(.|\n)*--weights FOLDER"):
        run.predict(new)
    other = folder / "another cache"  # where all is computed anew
    with pytest.warns(UserWarning, match="a new cache is made"):
        again = run.predict(decoded(), cache=other, weights=str(moved))
    np.testing.assert_allclose(again, wanted, rtol=1e-4, atol=1e-5)

    out = str(folder / "run.zip")
    assert bundle.main([str(run.path), "--out", out]) == 0
    assert "predicting needs the KerasHub preset too" in capsys.readouterr().err
    words = [out, "road:3", "--out", str(folder / "p.csv"), "--weights", str(moved)]
    assert predict.main([*words, "--cache", str(folder / "second")]) == 0
    assert len((folder / "p.csv").read_text().splitlines()) == 4
    changed = json.loads((moved / "config.json").read_text())
    changed["config"]["num_heads"] = 1
    (moved / "config.json").write_text(json.dumps(changed))
    with pytest.raises(InputError, match="is another preset than"):
        run.predict(new, weights=str(moved))


def test_what_decides_the_numbers_makes_another_feature_set(preset: Path) -> None:
    first = extracted(preset)
    assert extracted(preset).computed == 0
    assert extracted(preset, preprocess="clip").feature_set != first.feature_set
    for file, field, value in (
        ("image_converter.json", "offset", [0, 0, 0]),
        ("config.json", "layer_scale_init_value", 0.5),
    ):
        before = (preset / file).read_text()
        changed = json.loads(before)
        changed["config"][field] = value
        (preset / file).write_text(json.dumps(changed))
        assert extracted(preset).feature_set != first.feature_set
        (preset / file).write_text(before)
    renamed = preset.rename(preset.with_name("new"))
    again = extracted(renamed)
    assert (again.feature_set, again.computed) == (first.feature_set, 0)


def test_verify_computes_again(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extracted(preset)
    words = ["--cache", str(preset.parent / "cache"), "--recompute", "5", "--json"]
    assert verify.main(words) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["recomputed"] == 5


def test_explore(preset: Path) -> None:
    done = extracted(preset, preset="explore")
    layers = ("stem", "stage1", "stage2", "output")
    wanted = {f"identity.{layer}.{pool}" for layer in layers for pool in ("cls", "mean")}
    assert set(done.columns) == wanted


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "random"}, "--weights with --backbone keras_hub:"),
        ({"layers": ("stag1",)}, r"has no layer 'stag1'(.|\n)*use the layer stage1"),
        ({"pool": "avg"}, r"--pool avg on output, whose shape is \(\?, 7, 16\)"),
    ],
)
def test_settings_that_do_not_fit(preset: Path, settings: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        extracted(preset, **settings)


def test_a_preset_without_an_image_converter(preset: Path) -> None:
    (preset / "image_converter.json").unlink()
    with pytest.raises(InputError, match="--preprocess unit, imagenet, clip or none"):
        extracted(preset)
    assert extracted(preset, preprocess="unit").feature_set.startswith("keras_hub-")


def test_what_the_commands_say(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_main(["backbones"]) == 0
    assert "--backbone keras_hub:NAME" in capsys.readouterr().err
    with pytest.raises(InputError, match="keras_hub: and a preset or a folder"):
        extract.main(["road:2", "--backbone", "keras_hub:", "--cache", str(preset.parent)])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="nncf is not installed here")
def test_int8(preset: Path) -> None:
    first = extracted(preset)
    done = extracted(preset, precision="int8", engine="auto", name="small")
    assert done.engine == "openvino"
    cache = Cache(preset.parent / "cache")
    values = []
    for name, feature_set in (("road", first.feature_set), ("small", done.feature_set)):
        dataset = read_dataset(cache, name)
        values.append(cache.read(feature_set, dataset.columns, dataset.digests))
    assert 0 < relative_error(values[1], values[0]) < 0.2
