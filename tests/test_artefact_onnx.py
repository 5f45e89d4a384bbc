"""Runs on ONNX backbones as ONNX files and OpenVINO models, loaded without jaxreg."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import jaxreg
from jaxreg.artefact.formats import FORMATS
from jaxreg.artefact.onnx_parts import network_part
from jaxreg.backbone.network_layers import NamedLayer, NetworkFacts
from jaxreg.errors import InputError, UnavailableError
from jaxreg.sources.road.frames import RoadImages
from jaxreg.trained_run import TrainedRun
from lone_python import NEEDS, lone_folder, run_alone
from onnx_files import DEEP, convolutions, save, value, vit

onnx = pytest.importorskip("onnx")
for package in ("tf2onnx", "onnxruntime", "openvino"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed here", allow_module_level=True)

SIZES = ((96, 320), (75, 75), (140, 90))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """32 images of three sizes."""
    road = RoadImages(2000)
    images = [Image.fromarray(road[100 + 50 * place]) for place in range(32)]
    sizes = [SIZES[place % 3] for place in range(32)]
    pairs = zip(images, sizes, strict=True)
    return [np.asarray(im.resize((width, height))) for im, (height, width) in pairs]


def trained(folder: Path, file: Path, columns: list[str], **settings: Any) -> TrainedRun:
    """Three heads on a target far from 0, on the drawn road through the network of a file."""
    import dataclasses

    import pyarrow as pa

    from jaxreg.sources.road.frames import open_road

    road = open_road(24)
    steering = road.columns["steering"].to_numpy()
    examples = dataclasses.replace(
        road, columns=pa.table({"a/b <steering>": 20 + steering}), targets=("a/b <steering>",)
    )
    asked = {"preprocess": "imagenet", "size": (32, 48), **settings}
    jaxreg.extract_features(
        examples,
        name=file.stem,
        cache=folder / "cache",
        backbone=f"onnx:{file}",
        columns=columns,
        **asked,
    )
    return jaxreg.train_head(
        file.stem,
        cache=folder / "cache",
        ckpts=folder / "ckpts",
        run=file.stem,
        head="blend",
        components=3,
        folds=2,
        epochs=2,
        hidden=(8,),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    folder = tmp_path_factory.mktemp("onnx")
    file = save(convolutions(), folder / "net.onnx")
    return trained(folder, file, ["maps.grid3x5", f"{DEEP}.max", "vector"])


ALONE = {
    "onnx": "import onnxruntime; session = onnxruntime.InferenceSession({path!r}); "
    "run = lambda x: session.run(['a_b__steering'], {{'images': x}})[0]",
    "openvino": "sys.modules['openvino_telemetry'] = None; import openvino; "
    "hint = {{'INFERENCE_PRECISION_HINT': 'f32'}}; "
    "model = openvino.compile_model({path!r}, 'CPU', hint); "
    "run = lambda x: model({{'images': x}})['a_b__steering']",
}


@pytest.mark.parametrize("name", ALONE)
def test_it_predicts_as_the_run_where_jaxreg_is_not_installed(
    run: TrainedRun, pictures: list[np.ndarray], tmp_path: Path, name: str
) -> None:
    out = tmp_path / f"one{FORMATS[name].suffix}"
    made = run.export(out)
    assert (made.format, made.images) == (name, 32)
    assert made.max_difference < 1e-4
    assert made.input == {"name": "images", "shape": [None, None, None, 3], "dtype": "uint8"}
    if name == "onnx":
        onnx.checker.check_model(onnx.load(out), full_check=True)
    for number, size in enumerate(SIZES):
        same = [image for image in pictures if image.shape[:2] == size]
        np.save(tmp_path / f"{number}.npy", np.stack(same))
    code = ALONE[name].format(path=str(out)) + "\nimport numpy as np\n"
    code += "np.save('out.npy', np.concatenate([run(np.load(f'{i}.npy')) for i in range(3)]))"
    run_alone(lone_folder(tmp_path / "packages", *NEEDS[name]), code, tmp_path)
    order = [place for size in SIZES for place, im in enumerate(pictures) if im.shape[:2] == size]
    found = np.load(tmp_path / "out.npy")[np.argsort(order)]
    wanted = run.predict(pictures)
    assert found.dtype == wanted.dtype
    std = float(run.scalers[0].target.std[0])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * std)


CASES: dict[str, tuple[Callable[[], Any], list[str], dict[str, Any]]] = {
    "vit": (vit, ["tokens.cls", "blocks_0_Add_1_output_0.mean"], {"size": (64, 64)}),
    "native": (convolutions, ["maps.avg", "maps.grid2x3"], {"size": "native"}),
    "last": (
        lambda: convolutions(("batch", "height", "width", 3), last=True), ["maps.grid2x2"], {},
    ),
    "one image": (lambda: one_image(), ["flat"], {}),
}  # fmt: skip


def one_image() -> Any:
    """A network with the batch of 1 in a reshape, as many exporters write it."""
    made = convolutions((1, 3, 32, 48))
    shape = onnx.numpy_helper.from_array(np.array([1, 4]), "shape")
    made.graph.initializer.append(shape)
    made.graph.node.append(onnx.helper.make_node("Reshape", ["vector", "shape"], ["flat"]))
    made.graph.output.append(value("flat", [1, 4]))
    return made


@pytest.mark.parametrize("case", CASES)
def test_networks_of_other_kinds(case: str, tmp_path: Path) -> None:
    make, columns, settings = CASES[case]
    run = trained(tmp_path, save(make(), tmp_path / "net.onnx"), columns, **settings)
    for suffix in (".onnx", ".xml"):
        made = run.export(tmp_path / f"a{suffix}")  # compares with the run, which OpenVINO reads
        assert made.max_difference < 1e-3
        alone = case == "one image"
        assert made.input["shape"] == [1 if alone else None, None, None, 3]
        page = (tmp_path / "a.README.md").read_text()
        assert ("Input: one RGB image" in page) == alone


def test_a_file_that_is_gone(run: TrainedRun, tmp_path: Path) -> None:
    file = Path(run.config["weights_path"])
    moved = file.rename(tmp_path / "moved.onnx")
    try:
        for suffix in (".onnx", ".xml"):
            with pytest.raises(UnavailableError, match="cannot be found") as told:
                run.export(tmp_path / f"a{suffix}")
            assert told.value.exit_code == 3
        assert run.export(tmp_path / "a.onnx", weights=str(moved)).max_difference < 1e-4
    finally:
        moved.rename(file)


def test_a_layer_that_only_openvino_has() -> None:
    facts = NetworkFacts((None, None), False, (NamedLayer("a", ("a",), (None, 4), None),))
    content = convolutions().SerializeToString()
    with pytest.raises(InputError, match=r"no tensor of that name\n  try: --format openvino"):
        network_part(content, facts, ["a"], {}, None)


def test_batches_that_no_image_fills(tmp_path: Path) -> None:
    two = one_image()
    two.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    for weight in two.graph.initializer:
        if weight.name == "shape":
            weight.CopyFrom(onnx.numpy_helper.from_array(np.array([2, 4]), "shape"))
    two.graph.output[-1].type.tensor_type.shape.dim[0].dim_value = 2
    run = trained(tmp_path, save(two, tmp_path / "two.onnx"), ["flat"])
    for suffix in (".onnx", ".xml"):
        with pytest.raises(InputError, match=r"takes 2 images at once[\s\S]*try: export the ONNX"):
            run.export(tmp_path / f"a{suffix}")
