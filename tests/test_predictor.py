"""`jaxreg.Predictor`: the numbers of `predict` for one image at a time, without the cache."""

import doctest
import importlib.util
import io
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import jaxreg
from jaxreg import bundle
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extract_config import SourceOptions
from jaxreg.predictor import Prediction
from jaxreg.sources import open_source
from jaxreg.sources.pixels import digest, read
from jaxreg.trained_run import TrainedRun
from planted_runs import run_quick
from served_runs import FirstPixels, extract_drive, served_run, values_of
from typed import given, pixels_of

if importlib.util.find_spec("openvino") is None:  # an import would bring its telemetry
    pytest.skip("needs openvino, which is not installed here", allow_module_level=True)

NEAR: Any = {"rtol": 1e-5, "atol": 1e-6}  # a head of one row rounds in another order


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def new_frames(count: int) -> list[np.ndarray]:
    """Frames behind those that the run was trained on."""
    return [pixels_of(image) for image in open_source("road:60").images][-count:]


TORN = png(np.arange(9000, dtype=np.uint8).reshape(50, 60, 3))[:200]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return served_run(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def predictor(run: TrainedRun) -> Iterator[jaxreg.Predictor]:
    with jaxreg.Predictor(run.path) as made:
        yield made


def test_one_image_in_every_form_gives_the_number_of_predict(
    run: TrainedRun, predictor: jaxreg.Predictor, tmp_path: Path
) -> None:
    images, cache = new_frames(6), tmp_path / "cache"
    cache.mkdir()
    expected = run.predict(images, cache=cache)[:, 0]
    assert np.ptp(expected) > 1e-3
    path = tmp_path / "frame.png"
    path.write_bytes(png(images[0]))
    for one in (images[0], path, str(path), path.read_bytes(), Image.open(path)):
        number = predictor(one)
        assert type(number) is float
        np.testing.assert_allclose(number, expected[0], **NEAR)
    for several in (images, np.stack(images), [png(image) for image in images]):
        numbers = predictor(several)
        assert isinstance(numbers, list)
        np.testing.assert_allclose(numbers, expected, **NEAR)
    assert predictor([]) == []
    assert predictor(images[:1]) == [predictor.predict(images[0])]


def test_the_network_gives_one_image_the_features_that_a_batch_has(
    run: TrainedRun, predictor: jaxreg.Predictor
) -> None:
    images = open_source("road:40").images
    name, digests = run.features.feature_set, [digest(read(image)) for image in images]
    batch = Cache(given(run.cache)).read(name, run.features.columns_of(name), digests)
    alone = np.concatenate([predictor._features(image)[0] for image in images])
    np.testing.assert_allclose(alone, batch, rtol=1e-5, atol=1e-6)


def test_intervals_are_those_of_predict(
    run: TrainedRun, predictor: jaxreg.Predictor, tmp_path: Path
) -> None:
    images, cache = new_frames(5), tmp_path / "cache"
    cache.mkdir()
    wanted = run.predict(images, interval=0.7, cache=cache)
    for place, found in enumerate(predictor(images, interval=0.7)):
        assert isinstance(found, Prediction)
        expected = [part[place].item() for part in wanted]
        np.testing.assert_allclose(np.array(found, np.float64), expected, rtol=1e-4, atol=1e-5)
    for level, said in [(0.95, r"expected: a level of at most 0\.8"), (1.5, "above 0 and below 1")]:
        with pytest.raises(InputError, match=said):
            predictor(images[0], interval=level)


def test_threads_get_what_one_after_another_gets(predictor: jaxreg.Predictor) -> None:
    images = [png(image) for image in new_frames(20)]
    serial = [predictor(image, interval=0.5) for image in images]
    with ThreadPoolExecutor(20) as pool:
        for _ in range(5):
            assert list(pool.map(lambda one: predictor(one, interval=0.5), images)) == serial


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (b"", "the image cannot be used: not a JPEG"),
        (b"what is this?", "the image cannot be used: not a JPEG"),
        (TORN, "the image cannot be used: broken"),
        ("nowhere.png", r"nowhere\.png cannot be used: no such file"),
        (np.zeros((4, 5, 7), np.uint8), r"an array of shape \(4, 5, 7\)"),
        (np.zeros((4, 5, 3), np.float32), "the image cannot be used: an array of float32"),
        ({"image": 1}, "dict is no image"),
        ([b"no", b"no"], r"2 of 2 images cannot be used: 0 \(not a JPEG.*; 1 \(not"),
    ],
    ids=["empty", "text", "torn", "no-file", "shape", "float", "dict", "list"],
)
def test_an_image_that_cannot_be_used(predictor: jaxreg.Predictor, image: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        predictor(image)
    assert np.isfinite(predictor(new_frames(1)[0]))


def test_nothing_is_written_and_no_cache_is_needed(
    run: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = new_frames(1)[0]
    with jaxreg.Predictor(run) as made:
        expected = made(image, interval=0.5)
    out = tmp_path / "one.zip"
    assert bundle.main([str(run.path), "--out", str(out)]) == 0
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(run.path, elsewhere / "ckpts" / "drive-1")
    monkeypatch.chdir(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    for path in (out, Path("ckpts/drive-1")):
        with jaxreg.Predictor(path) as made:
            assert made(image, interval=0.5) == expected
    assert sorted(elsewhere.rglob("*")) == before
    (run.path.parent.parent / "network.onnx").rename(tmp_path / "moved.onnx")
    try:
        with pytest.raises(UnavailableError, match="cannot be found"):
            jaxreg.Predictor(out)
        with jaxreg.Predictor(out, weights=str(tmp_path / "moved.onnx")) as made:
            assert made(image, interval=0.5) == expected
    finally:
        (tmp_path / "moved.onnx").rename(run.path.parent.parent / "network.onnx")


@pytest.mark.slow
def test_tensorflow_and_native_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenVINO; frames of two sizes, each as its own pixels."""
    from jaxreg.backbone import engine

    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    cache = tmp_path / "cache"
    settings: Any = {"weights": "random", "size": "native", "layers": ("mixed0",)}
    jaxreg.extract_features("road:30", name="drive", cache=cache, **settings)
    run = jaxreg.train_head("drive", cache=cache, ckpts=tmp_path, target="steering", head="ridge")
    images = [image[:, : 160 - 40 * (i % 2)] for i, image in enumerate(new_frames(8))]
    predictor = jaxreg.Predictor(run)
    assert predictor._features._networks is not None
    assert predictor._features._networks[0].engine.name == "tensorflow"
    serial = [predictor(image) for image in images]
    np.testing.assert_allclose(serial, run.predict(images)[:, 0], rtol=1e-4, atol=1e-5)
    with ThreadPoolExecutor(8) as pool:
        np.testing.assert_allclose(list(pool.map(predictor, images)), serial, **NEAR)
    with pytest.raises(InputError, match="50x60 pixels; at least 75"):
        predictor(np.zeros((50, 60, 3), np.uint8))


def test_two_networks_and_features_of_16_bits(tmp_path: Path) -> None:
    run = served_run(tmp_path)
    small = extract_drive(tmp_path, (32, 48), dtype="float16")
    first, [column] = run.features.feature_set, run.settings.columns
    columns = (f"{small}/{column}", f"{first}/{column}")
    both = served_run(tmp_path, columns=columns)
    images = new_frames(3)
    expected = both.predict(images)[:, 0]
    with jaxreg.Predictor(both) as predictor:
        np.testing.assert_allclose(predictor(images), expected, **NEAR)
        features, _ = predictor._features(images[0])
    half = features[0, : features.shape[1] // 2]
    np.testing.assert_array_equal(half, half.astype(np.float16))
    assert (features != features.astype(np.float16)).any()


def test_a_closed_predictor_says_so(run: TrainedRun) -> None:
    made = jaxreg.Predictor(run)
    assert repr(made) == f"Predictor({run.path}: steering)"
    made.close()
    made.close()
    with pytest.raises(RuntimeError, match="closed: the networks are not loaded"):
        made(new_frames(1)[0])


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Images whose features `FirstPixels` gives to a Predictor."""
    from jaxreg.extraction import image_features

    monkeypatch.setattr(image_features, "load_engine", lambda *_, **__: FirstPixels())
    rng = np.random.default_rng(3)
    return list(rng.integers(0, 256, (6, 5, 8, 3), dtype=np.uint8))


def test_several_targets_come_by_name(planted: Path, pictures: list[np.ndarray]) -> None:
    run = run_quick(planted, target=("angle", "speed"), head="ridge", folds=3)
    expected = run.predict_features(np.stack([values_of(image) for image in pictures]))
    predictor = jaxreg.Predictor(run)
    for row, found in zip(expected, predictor(pictures), strict=True):
        assert list(found) == ["angle", "speed"]
        np.testing.assert_allclose(list(found.values()), row, **NEAR)
    around = predictor(pictures[0], interval=0.5)
    halves = run.summary["intervals"]["half_width"]
    assert set(around.low) == set(around.high) == set(around.value) == set(halves)
    assert all(around.low[name] < around.value[name] < around.high[name] for name in halves)
    assert isinstance(around.unlike, float)


def test_side_columns_are_given_beside_the_image(planted: Path, pictures: list[np.ndarray]) -> None:
    run = run_quick(planted, head="ridge", side_columns=("speed", "mode"))
    features = np.stack([values_of(image) for image in pictures[:2]])
    sides = {"speed": [19.0, 24.5], "mode": ["user", "pilot"]}
    expected = run.predict_features(features, side=sides)[:, 0]
    predictor = jaxreg.Predictor(run)
    np.testing.assert_allclose(predictor(pictures[:2], side=sides), expected, **NEAR)
    one = predictor(pictures[0], side={"speed": 19.0, "mode": "user"})
    np.testing.assert_allclose(one, expected[0], **NEAR)
    # text, as a form or an address has it
    assert predictor(pictures[0], side={"speed": "19.0", "mode": "user"}) == one
    with pytest.warns(UserWarning, match=r"no training row has \(nobody\)"):
        predictor(pictures[0], side={"speed": 19.0, "mode": "nobody"})
    with pytest.raises(InputError, match=r"needs its side columns.*: speed, mode"):
        predictor(pictures[0])
    with pytest.raises(InputError, match="there is no column 'mode'"):
        predictor(pictures[0], side={"speed": 1.0})
    with pytest.raises(InputError, match="side columns for a run that has none"):
        jaxreg.Predictor(run_quick(planted, head="ridge"))(pictures[0], side={"speed": 1.0})


def test_what_cannot_be_loaded(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run"):
        jaxreg.Predictor(tmp_path / "nothing")
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(30, 4)))
    rows = "".join(f"r{i},{i}\n" for i in range(30))
    (tmp_path / "t.csv").write_text("name,y\n" + rows)
    vectors: Any = {"embeddings": str(tmp_path / "v.npy"), "embeddings_name": "mine"}
    options = SourceOptions(id_column="name")
    jaxreg.extract_features(tmp_path / "t.csv", cache=tmp_path / "c", options=options, **vectors)
    run = jaxreg.train_head("t", cache=tmp_path / "c", ckpts=tmp_path, head="ridge")
    with pytest.raises(InputError, match=r"embeddings mine[\s\S]*use predict_features"):
        jaxreg.Predictor(run)


def test_the_docstring_shows_what_happens(
    planted: Path, pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_quick(planted, run="drive-1", head="ridge", folds=3)
    grey = np.full((5, 8, 3), 128, np.uint8)
    grey[0, 0] = 140, 130, 120
    Image.fromarray(grey).save(tmp_path / "frame.png")
    monkeypatch.chdir(tmp_path)
    [example] = doctest.DocTestFinder(recurse=False).find(
        jaxreg.Predictor, globs={"jaxreg": jaxreg}
    )
    found = doctest.DocTestRunner().run(example)
    assert found == (0, 4)
