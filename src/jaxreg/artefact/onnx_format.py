"""A run as one ONNX file: of its Keras model, or around the network of the user's ONNX file."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxreg.artefact.keras_head import output_name, target_values
from jaxreg.artefact.keras_model import keras_model
from jaxreg.artefact.keras_network import joined_features, pooled, prepared
from jaxreg.artefact.onnx_graph import USUAL_OPSET, joined, onnx_of_keras, refuse_large, with_prefix
from jaxreg.artefact.onnx_parts import (
    OLDEST_OPSET,
    PIXELS,
    network_part,
    newer,
    opset_of,
    read_name,
)
from jaxreg.artefact.openvino_format import one_by_one
from jaxreg.artefact.openvino_parts import INPUT
from jaxreg.artefact.packed_networks import images_at_once, packed_of
from jaxreg.backbone.network import plain_float32, start_keras
from jaxreg.backbone.onnx_network import onnx_facts
from jaxreg.backbone.openvino_model import import_openvino, unpack
from jaxreg.backbone.openvino_reads import (
    Map,
    fixed_batch,
    layer_outputs,
    maps_of,
    sides_of,
    take_size,
)
from jaxreg.backbone.registry import ONNX
from jaxreg.cache.recipe import Recipe
from jaxreg.common.files import open_regular
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.extraction.run_networks import RunNetworks

if TYPE_CHECKING:
    from jaxreg.artefact.formats import Runner
    from jaxreg.trained_run import TrainedRun


def check_onnx_format(run: "TrainedRun") -> None:
    """Raise InputError for a run in int8, for networks of two kinds, or without the packages."""
    recipes = run.features.networks
    if any(recipe.precision == "int8" for recipe in recipes):
        raise InputError(
            f"{run.path} has features in int8, and onnxruntime would compute others in float32",
            expected="--format openvino, which keeps the int8 network",
            remedy="--format openvino",
        )
    if len({recipe.backbone == ONNX for recipe in recipes}) > 1:
        raise InputError(
            f"{run.path} has features of a Keras network and of an ONNX file",
            expected="--format openvino, which takes both",
            remedy="--format openvino",
        )
    for package in ("tf2onnx", "onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise InputError(f"{package} is not installed", remedy="pip install 'jaxreg[export]'")


def write_onnx(run: "TrainedRun", networks: RunNetworks, path: Path) -> None:
    """Write NAME.onnx.

    Raises:
        InputError, UnavailableError: as `keras_model`, `network_part` and `onnx_of_keras`.
    """
    names = [INPUT], [output_name(run.targets)]
    if all(recipe.backbone == ONNX for recipe in run.features.networks):
        model = _around_files(run, networks, names[1][0])
    else:
        built = keras_model(run, networks)
        with step("converting the model"):
            model = onnx_of_keras(built, *names, USUAL_OPSET)
    with step("writing the model"):
        path.write_bytes(model.SerializeToString())


class _File(NamedTuple):
    """An ONNX file of the run, and what the parts around it must know."""

    recipe: Recipe
    content: bytes
    model: Any  # onnx.ModelProto, as the file has it
    layers: list[str]
    shapes: dict[str, list[int | None]]  # of each layer without the batch, maps with channels last
    maps: dict[str, Map]
    batch: int | None


def _around_files(run: "TrainedRun", networks: RunNetworks, output: str) -> Any:
    """Pixels, the networks of ONNX files, and the heads, as one ONNX model."""
    import onnx

    files = [_file(run, networks, recipe) for recipe in run.features.networks]
    batch = images_at_once(run, networks)
    refuse_large(sum(len(file.content) for file in files))
    opset = max(OLDEST_OPSET, *(opset_of(file.model) for file in files))
    start_keras("tensorflow", hide_gpu=True)
    with step("joining the networks and the heads"):
        seen = [(file, view) for file in files for view in _views(run, file.recipe)]
        before = onnx_of_keras(
            _before(seen), [INPUT], [f"seen_{place}" for place in range(len(seen))], opset
        )
        models, wires, feeds = [with_prefix(before, "before/")], {}, []
        for place, (file, _) in enumerate(seen):
            facts = onnx_facts(networks.find(file.recipe).weights)
            part = network_part(file.content, facts, file.layers, file.maps, file.batch)
            models.append(with_prefix(newer(part, opset), f"network_{place}/"))
            wires[f"network_{place}/{PIXELS}"] = f"before/seen_{place}"
            feeds += [(place, layer) for layer in file.layers]
        names = [f"read_{number}" for number in range(len(feeds))]
        after = onnx_of_keras(_after(run, seen, feeds), names, [output], opset)
        models.append(with_prefix(after, "after/"))
        for name, (place, layer) in zip(names, feeds, strict=True):
            wires[f"after/{name}"] = f"network_{place}/{read_name(layer)}"
        renamed = {f"before/{INPUT}": INPUT, f"after/{output}": output}
        whole = joined(models, wires, renamed)
        shape = whole.graph.input[0].type.tensor_type.shape
        if batch is not None:
            shape.dim[0].dim_value = batch
        onnx.checker.check_model(whole)
    return whole


def _file(run: "TrainedRun", networks: RunNetworks, recipe: Recipe) -> _File:
    import onnx

    weights = networks.find(recipe).weights
    assert weights is not None
    assert weights.path is not None
    network = unpack(import_openvino().Core(), packed_of(networks, recipe))  # checks the file first
    with open_regular(weights.path) as file:
        content = file.read()
    batch = fixed_batch(network)
    if recipe.size is not None:
        take_size(network, batch, *recipe.size)
    columns = run.features.columns_of(recipe.feature_set)
    layers = sorted({column.layer for column in columns})
    maps = maps_of(network, recipe, sorted({(c.layer, c.pool) for c in columns}))
    shapes = {}
    for layer, output in layer_outputs(network, layers).items():
        sides = sides_of(output)
        if its := maps.get(layer):
            [channels] = {1, 2, 3} - set(its.axes)
            shapes[layer] = [its.rows, its.columns, sides[channels]]
        else:
            shapes[layer] = sides[1:]
    model = onnx.load_model_from_string(content)
    return _File(recipe, content, model, layers, shapes, maps, batch)


def _views(run: "TrainedRun", recipe: Recipe) -> list[str]:
    return sorted({column.view for column in run.features.columns_of(recipe.feature_set)})


def _before(seen: list[tuple[_File, str]]) -> Any:
    """A Keras model from images to what each network is shown."""
    import keras
    from keras import ops

    with plain_float32():
        images = keras.Input((None, None, 3), dtype="uint8", name=INPUT)
        whole = ops.cast(images, "float32")
        return keras.Model(images, [prepared(file.recipe, whole, view) for file, view in seen])


def _after(run: "TrainedRun", seen: list[tuple[_File, str]], feeds: list[tuple[int, str]]) -> Any:
    """A Keras model from what is read of the networks to the numbers."""
    import keras

    with plain_float32():
        reads = {
            (place, layer): keras.Input(seen[place][0].shapes[layer]) for place, layer in feeds
        }
        found = {}
        for place, (file, view) in enumerate(seen):
            for column in run.features.columns_of(file.recipe.feature_set):
                if column.view == view:
                    output = pooled(reads[place, column.layer], column, file.recipe)
                    found[file.recipe.feature_set, column] = output
        values = target_values(run, joined_features(run, found))
        return keras.Model(list(reads.values()), [values])


def load_onnx(path: Path) -> "Runner":
    """What was written, in onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    batch = given.shape[0] if isinstance(given.shape[0], int) else None
    return one_by_one(lambda images: np.asarray(session.run(None, {INPUT: images})[0]), batch)


def onnx_lines(name: str) -> str:
    """How a program uses it."""
    return f"""session = onnxruntime.InferenceSession({name!r})
(numbers,) = session.run(None, {{"{INPUT}": image[None]}})"""
