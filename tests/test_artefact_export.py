"""`jaxreg export`: whole runs as artefacts, loaded where jaxreg is not installed."""

import contextlib
import doctest
import io
import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import jaxreg
from jaxreg import bundle, export
from jaxreg.artefact.formats import FORMATS
from jaxreg.run_uses import RunUses
from jaxreg.sources.road.frames import RoadImages
from jaxreg.trained_run import TrainedRun
from lone_python import NEEDS, lone_folder, run_alone

SIZES = ((96, 320), (75, 75), (140, 90))
COLUMNS = ("identity.mixed0.grid2x3", "identity.mixed1.avg")  # uneven cells, two layers


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, keras) -> TrainedRun:
    """Three heads on the drawn road, through a network of random weights."""
    folder = tmp_path_factory.mktemp("exported")
    jaxreg.extract_features(
        "road:36",
        name="road",
        cache=folder / "cache",
        weights="random",
        size=(75, 75),
        columns=COLUMNS,
    )
    return jaxreg.train_head(
        "road",
        cache=folder / "cache",
        ckpts=folder / "ckpts",
        run="one",
        folds=3,
        epochs=2,
        hidden=(8,),
        learning_rate=0.01,
    )


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """32 images of three sizes."""
    road = RoadImages(2000)
    images = [Image.fromarray(road[100 + 50 * place]) for place in range(32)]
    return [
        np.asarray(image.resize((width, height)))
        for place, image in enumerate(images)
        for height, width in [SIZES[place % 3]]
    ]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """By the format, a folder of the packages that loading needs, and no others."""
    folder = tmp_path_factory.mktemp("packages")
    return lambda name: lone_folder(folder / name, *NEEDS[name])


ALONE = {
    "keras": "import keras; model = keras.saving.load_model({path!r}); "
    "run = lambda x: model.predict(x, verbose=0)",
    "onnx": "import onnxruntime; session = onnxruntime.InferenceSession({path!r}); "
    "run = lambda x: session.run(None, {{'images': x}})[0]",
    "openvino": "sys.modules['openvino_telemetry'] = None; import openvino; "
    "model = openvino.compile_model({path!r}, 'CPU', {{'INFERENCE_PRECISION_HINT': 'f32'}}); "
    "run = lambda x: model(x)[0]",
    "savedmodel": "import tensorflow as tf; model = tf.saved_model.load({path!r}); "
    "run = lambda x: list(model.serve(x).values())[0].numpy()",
}


def alone(packages: Path, load: str, path: Path, images: list[np.ndarray]) -> np.ndarray:
    """What an artefact predicts in such an environment, one batch of a size after the other."""
    folder = path.parent / f"{path.name}-alone"
    folder.mkdir()
    order = [place for size in SIZES for place, im in enumerate(images) if im.shape[:2] == size]
    for number, size in enumerate(SIZES):
        same = [image for image in images if image.shape[:2] == size]
        np.save(folder / f"{number}.npy", np.stack(same))
    code = load.format(path=str(path)) + "\nimport numpy as np\n"
    code += "np.save('out.npy', np.concatenate([run(np.load(f'{i}.npy')) for i in range(3)]))"
    run_alone(packages, code, folder)
    found = np.load(folder / "out.npy")
    return found[np.argsort(order)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keras", "savedmodel", "onnx", "openvino"])
def test_it_predicts_as_the_run_where_jaxreg_is_not_installed(
    run: TrainedRun,
    pictures: list[np.ndarray],
    packages,
    tmp_path: Path,
    name: str,
    capsys,
    monkeypatch,
) -> None:
    for package in NEEDS[name]:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed here")
    out = tmp_path / f"one{FORMATS[name].suffix}"
    assert export.main([str(run.path), "--out", str(out), "--format", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(out)
    assert (told["format"], told["images"]) == (name, 32)
    assert told["input"] == {"name": "images", "shape": [None, None, None, 3], "dtype": "uint8"}
    assert told["output"] == {
        "name": "steering", "shape": [None, 1], "dtype": "float32", "targets": ["steering"],
    }  # fmt: skip
    assert 0 <= told["max_difference"] < 1e-4
    found = alone(packages(name), ALONE[name], out, pictures)
    wanted = run.predict(pictures)
    assert found.dtype == wanted.dtype
    std = float(run.scalers[0].target.std[0])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * std)
    if name != "keras":
        monkeypatch.chdir(tmp_path)
        Image.fromarray(pictures[0]).save("photo.jpg")
        wanted = run.predict("photo.jpg")
        page = out / "README.md" if name == "savedmodel" else tmp_path / "one.README.md"
        check_lines(page.read_text(), wanted)


def test_the_readme_says_what_is_needed_and_its_lines_run(
    run: TrainedRun, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(RoadImages(2000)[1000]).save("photo.jpg")
    wanted = run.predict("photo.jpg")
    run.export("a.keras")
    text = Path("a.README.md").read_text()
    scores = run.summary["by_target"]["steering"]
    half = run.summary["intervals"]["half_width"]["steering"]
    for words in (
        "`one`", "| 0 | steering | a number |", f"{scores['mae']:.4g}", f"± {half:.4g}",
        "road, 36 rows", "random:0:v1", "inception_v3", "uint8", "80% of new images",
    ):  # fmt: skip
        assert words in text
    check_lines(text, wanted)


def check_lines(page: str, wanted: np.ndarray) -> None:
    """Run the Python of a README: its last line prints the numbers."""
    [code] = re.findall("```python\n(.*?)```", page, re.DOTALL)
    assert len(code.splitlines()) <= 11
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    np.testing.assert_allclose(names["numbers"], wanted, rtol=1e-3, atol=1e-4)
    assert np.allclose(float(printed.getvalue().strip("[]\n ")), wanted, rtol=1e-3, atol=1e-4)


def test_a_bundle_without_a_cache_is_exported_too(
    run: TrainedRun, tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "one.zip"
    assert bundle.main([str(run.path), "--out", str(out)]) == 0
    monkeypatch.chdir(tmp_path)
    globs = {"run": jaxreg.load_run(out)}
    [example] = doctest.DocTestFinder().find(RunUses.export, "export", globs=globs)
    assert doctest.DocTestRunner().run(example).failed == 0
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["angle.README.md", "angle.keras", "one.zip"]  # no cache was made


@pytest.mark.slow
def test_int8_keeps_its_network(tmp_path: Path, monkeypatch) -> None:
    """The numbers are those of the run, whose engine has the int8 network."""
    if find_spec("nncf") is None:
        pytest.skip("nncf is not installed here")
    settings: dict[str, Any] = {"weights": "random", "size": (75, 75), "columns": COLUMNS}
    cache = tmp_path / "cache"
    jaxreg.extract_features("road:36", name="a", cache=cache, precision="int8", **settings)
    run = jaxreg.train_head("a", cache=cache, ckpts=tmp_path, run="one", head="ridge")
    made = run.export(tmp_path / "one.xml")
    assert made.max_difference < 1e-4
    monkeypatch.chdir(tmp_path)
    Image.fromarray(RoadImages(2000)[1000]).save("photo.jpg")
    wanted = run.predict("photo.jpg")
    check_lines(Path("one.README.md").read_text(), wanted)
    size = (tmp_path / "one.bin").stat().st_size
    weights = sum(path.stat().st_size for path in cache.rglob("quantized.zip"))
    assert size < weights / 4  # in one byte a number, and only up to the last layer that is read
