"""What `jaxreg export` refuses, and what it replaces. No network is built."""

import dataclasses
import errno
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxreg import export
from jaxreg.artefact import check_images, formats
from jaxreg.artefact import export_run as export_module
from jaxreg.artefact.formats import FORMATS
from jaxreg.artefact.readme import _kind_text
from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.cache.embeddings import Embeddings
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.errors import InputError, UnavailableError
from jaxreg.target_types import TargetType
from jaxreg.trained_run import TrainedRun
from made_heads import RECIPE, made_run

Y = np.random.default_rng(0).normal(size=(40, 1))


def write(suffix: str, beside: Sequence[str]) -> Callable[..., None]:
    def make(run: TrainedRun, networks: Any, path: Path) -> None:
        if suffix:
            path.write_text("model")
            for other in beside:
                path.with_suffix(other).write_text("numbers")
            return
        (path / "variables").mkdir(parents=True)
        (path / "saved_model.pb").write_text("model")

    return make


@pytest.fixture
def run(monkeypatch) -> TrainedRun:
    """A run whose artefacts hold no model; both it and they give 5 for each image."""
    monkeypatch.setattr(export_module, "own_numbers", lambda *_: np.full((32, 1), 5.0, "f"))
    for name, one in FORMATS.items():
        fake = one._replace(
            write=write(one.suffix, one.beside),
            load=lambda path: lambda images: np.full((len(images), 1), 5.0, "f"),
        )
        monkeypatch.setitem(formats.FORMATS, name, fake)
    return made_run(Y, hidden=(2,))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_and_its_readme_are_replaced_only_on_demand(run: TrainedRun, tmp_path: Path) -> None:
    out = tmp_path / "deeper" / "a.keras"
    made = run.export(out)
    assert (made.path, made.max_difference, made.images) == (out, 0.0, 32)
    assert names(out.parent) == ["a.README.md", "a.keras"]
    out.write_text("old")
    with pytest.raises(InputError, match=r"a\.keras exists\n.*--overwrite would replace"):
        run.export(out)
    assert out.read_text() == "old"
    run.export(out, overwrite=True)
    assert out.read_text() == "model"
    assert names(out.parent) == ["a.README.md", "a.keras"]


def test_a_readme_keeps_what_it_says_of_other_formats(run: TrainedRun, tmp_path: Path) -> None:
    run.export(tmp_path / "a.keras")
    told = tmp_path / "a.README.md"
    more = told.read_text() + "\n## Load a.other\n\nso and so\n"
    told.write_text(more)
    (tmp_path / "a.other").write_text("an artefact")
    run.export(tmp_path / "a.keras", overwrite=True)
    assert told.read_text().count("## Load ") == 2
    run.summary["files"]["config.json"] = "another run"
    (tmp_path / "a.keras").unlink()
    with pytest.raises(InputError, match=r"a\.README\.md is that of a\.other, of another run"):
        run.export(tmp_path / "a.keras")
    run.export(tmp_path / "a.keras", overwrite=True)
    assert told.read_text().count("## Load ") == 1
    told.write_text("mine")
    for overwrite in (False, True):
        (tmp_path / "a.keras").unlink(missing_ok=True)
        with pytest.raises(InputError, match=r"exists, and jaxreg export did not write it"):
            run.export(tmp_path / "a.keras", overwrite=overwrite)
    assert told.read_text() == "mine"


def test_a_folder_is_replaced_if_all_in_it_is_of_an_export(run: TrainedRun, tmp_path: Path) -> None:
    out = tmp_path / "sm"
    run.export(out)
    inside = ["README.md", "saved_model.pb", "variables"]
    assert names(out) == inside
    with pytest.raises(InputError, match=r"sm exists\n.*--overwrite would replace"):
        run.export(out)
    run.export(out, overwrite=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"did not write: notes\.txt"):
        run.export(out, overwrite=True)
    (out / "notes.txt").unlink()
    link = tmp_path / "link"
    link.symlink_to(out)
    with pytest.raises(InputError, match="is there, and jaxreg export did not write it"):
        run.export(link, overwrite=True)
    assert names(tmp_path) == ["link", "sm", *(f"sm/{name}" for name in inside)]


def test_a_folder_named_by_a_point(run: TrainedRun, tmp_path: Path, monkeypatch) -> None:
    run.export(tmp_path / "sm")
    monkeypatch.chdir(tmp_path / "sm")
    made = run.export(".", format="savedmodel", overwrite=True)
    assert made.path == tmp_path / "sm"
    assert names(tmp_path) == ["sm", "sm/README.md", "sm/saved_model.pb", "sm/variables"]


def test_numbers_beside_that_are_of_another_model(run: TrainedRun, tmp_path: Path) -> None:
    """--out names the .xml; nobody named the .bin."""
    (tmp_path / "a.bin").write_text("mine")
    with pytest.raises(InputError, match=r"a\.bin exists, and jaxreg export did not write it"):
        run.export(tmp_path / "a.xml", overwrite=True)
    assert (tmp_path / "a.bin").read_text() == "mine"
    (tmp_path / "a.bin").unlink()
    run.export(tmp_path / "a.xml")
    run.export(tmp_path / "a.xml", overwrite=True)
    assert names(tmp_path) == ["a.README.md", "a.bin", "a.xml"]


def test_sigterm_leaves_nothing(run: TrainedRun, tmp_path: Path, monkeypatch) -> None:
    form = formats.FORMATS["keras"]
    stopped = form._replace(write=lambda *_: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setitem(formats.FORMATS, "keras", stopped)
    monkeypatch.setattr("jaxreg.api.load_run", lambda path: run)
    monkeypatch.setattr("jaxreg.training.run_directory.run_path", lambda *_: tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        export.main(["made", "--out", str(tmp_path / "a.keras")])
    assert ended.value.code == 143
    assert names(tmp_path) == []
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("plain", "a number"),
        ("bounded:1700000000:1700000001", "from 1700000000 to 1700000001"),
        ("circular:6.283185307179586", "circular: from 0 to below 6.283185307179586, then 0 again"),
    ],
)
def test_a_readme_has_every_digit_of_a_type(word: str, expected: str) -> None:
    assert _kind_text(TargetType.parse(word)) == expected


def test_long_images_at_native_size_keep_their_height(monkeypatch) -> None:
    """InceptionV3 takes no image lower than 75 pixels."""
    long = np.zeros((80, 2000, 3), np.uint8)
    monkeypatch.setattr(check_images, "_own_images", lambda *_: [long] * 32)
    run = made_run(Y, hidden=(2,), recipe=dataclasses.replace(RECIPE, size=None))
    images, what = check_images.check_images(run, Path("cache"))
    assert what == "of the dataset"
    assert {image.shape[:2] for image in images} == {(80, 640), (100, 800), (120, 960)}


def test_a_model_that_differs_is_not_written(run: TrainedRun, tmp_path: Path, monkeypatch) -> None:
    std = float(run.scalers[0].target.std[0])
    for off, fine in ((0.9e-3, True), (1.1e-3, False)):
        numbers = np.full((32, 1), 5.0)
        numbers[17] += off * std
        monkeypatch.setattr(export_module, "own_numbers", lambda *_, numbers=numbers: numbers)
        out = tmp_path / f"{off}.keras"
        if fine:
            assert run.export(out).max_difference == pytest.approx(off, rel=1e-4)
            continue
        with pytest.raises(
            InputError, match=r"gives a otherwise than the run, by up to 0\.0011 std"
        ):
            run.export(out)
    monkeypatch.setattr(export_module, "own_numbers", lambda *_: np.full((32, 1), np.nan))
    with pytest.raises(InputError, match="not finite"):
        run.export(tmp_path / "nan.keras")
    assert names(tmp_path) == ["0.0009.README.md", "0.0009.keras"]


def test_a_full_disk_is_told_and_leaves_nothing(
    run: TrainedRun, tmp_path: Path, monkeypatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def unknown(*_: object) -> None:
        raise RuntimeError("of a library")

    form = formats.FORMATS["keras"]
    monkeypatch.setitem(formats.FORMATS, "keras", form._replace(write=unknown))
    with pytest.raises(RuntimeError, match="of a library"):
        run.export(tmp_path / "a.keras")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"cannot write to .*: No space left on device"):
        run.export(tmp_path / "a.keras")
    assert names(tmp_path) == []


def test_names_in_a_readme_are_inert(run: TrainedRun, tmp_path: Path) -> None:
    object.__setattr__(run, "targets", ("<script>|\n## Load x",))
    run.summary["by_target"] = {run.targets[0]: run.summary["by_target"]["a"]}
    run.export(tmp_path / "a.keras")
    text = (tmp_path / "a.README.md").read_text()
    assert "<script>" not in text
    assert text.count("\n## Load ") == 1
    assert "| 0 | &lt;script&gt;\\| ## Load x | a number |" in text


@pytest.mark.parametrize(
    ("out", "format", "told"),
    [
        ("a.keras", "onx", r"no format 'onx'"),
        ("a.pt", None, r"whose name tells no format[\s\S]*try: --format NAME"),
        ("a.pt", "keras", r"with --format keras[\s\S]*try: --out a\.keras"),
        ("a.keras", "savedmodel", r"which is a folder[\s\S]*try: --out a$"),
        ("", None, "--out is empty"),
    ],
)
def test_names_that_do_not_fit(run: TrainedRun, out: str, format: str | None, told: str) -> None:
    with pytest.raises(InputError, match=told):
        run.export(out, format=format)


def with_recipe(**fields: Any) -> TrainedRun:
    layer = fields.pop("layer", "mixed0")
    recipe = Recipe(**{"weights": "ab" * 32, "weights_tag": "abababab", "size": (75, 75)} | fields)
    return made_run(Y, recipe=recipe, columns=(Column(layer=layer),), hidden=(2,))


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (with_recipe(backbone="onnx"), r"ONNX file[\s\S]*try: --format onnx"),
        (
            with_recipe(precision="bfloat16", engine="openvino"),
            r"features in bfloat16[\s\S]*try: .* --precision float32, and train again",
        ),
        (
            with_recipe(precision="int8", engine="openvino", quantized="cd" * 32),
            r"features in int8[\s\S]*try: --format openvino",
        ),
        (
            with_recipe(backbone="keras_hub", scale=(1.0,) * 3, offset=(0.0,) * 3),
            r"KerasHub[\s\S]*try: --format savedmodel",
        ),
    ],
    ids=["onnx", "bfloat16", "int8", "keras_hub"],
)
def test_networks_that_keras_cannot_have(run: TrainedRun, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        run.export(tmp_path / "a.keras")


def test_runs_that_no_image_is_enough_for(tmp_path: Path) -> None:
    vectors = Embeddings("clip", 12)
    chosen = ChosenFeatures(
        ((vectors.feature_set, Column(layer="clip", pool="none")),), {vectors.feature_set: vectors}
    )
    run = made_run(Y, hidden=(2,))
    object.__setattr__(run, "features", chosen)
    with pytest.raises(InputError, match="embeddings clip, whose network jaxreg does not have"):
        run.export(tmp_path / "a.keras")
    run = made_run(Y, hidden=(2,))
    camera = {"name": "camera", "kind": "number", "missing": False, "categories": []}
    run.config["side"] = [camera]
    with pytest.raises(InputError, match="needs the side columns camera beside the image"):
        run.export(tmp_path / "a.keras")


def test_weights_that_are_gone(tmp_path: Path, monkeypatch) -> None:
    run = with_recipe()
    with pytest.raises(UnavailableError, match=r"\(abababab\) cannot be found") as told:
        run.export(tmp_path / "a.keras")
    assert (told.value.exit_code, told.value.remedy) == (3, "--weights FILE")
    other = tmp_path / "other.h5"
    other.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(InputError):
        run.export(tmp_path / "a.keras", weights=str(other))
    with pytest.raises(InputError, match="no cache"):
        run.export(tmp_path / "a.keras", cache=tmp_path / "none")
    assert names(tmp_path) == ["other.h5"]


@pytest.mark.parametrize(("name", "size"), [("a.keras", 5), ("a.xml", 12), ("folder", 5)])
def test_the_size_is_that_of_every_file(
    name: str, size: int, run: TrainedRun, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr("jaxreg.api.load_run", lambda path: run)
    words = [] if "." in name else ["--format", "savedmodel"]
    assert export.main(["made", "--out", str(tmp_path / name), *words]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[-2].startswith(f"{tmp_path / name}: {size} Bytes; on 32 images")
    told = "folder/README.md" if name == "folder" else "a.README.md"
    assert said[-1] == f"how to load it: {tmp_path / told}"


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none"):
        export.main(["none", "--ckpts", str(tmp_path), "--out", str(tmp_path / "a.keras")])
    assert names(tmp_path) == []
