"""A run as one OpenVINO model: its own networks, also those in int8, and its heads."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxreg.artefact.check_images import MOST
from jaxreg.artefact.keras_head import head_model, output_name
from jaxreg.artefact.openvino_parts import features_model, join_models
from jaxreg.artefact.packed_networks import images_at_once, packed_of
from jaxreg.backbone.network import start_keras
from jaxreg.backbone.openvino_engine import SIZES_KEPT
from jaxreg.backbone.openvino_model import convert_function, import_openvino, traced
from jaxreg.backbone.openvino_reads import fixed_batch
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.extraction.run_networks import RunNetworks
from jaxreg.head.scaling import mean_and_std_of
from jaxreg.head.target_outputs import of_targets

if TYPE_CHECKING:
    from jaxreg.artefact.formats import Runner
    from jaxreg.trained_run import TrainedRun

REMEDY = "pip install 'jaxreg[openvino]'"


def openvino_model(run: "TrainedRun", networks: RunNetworks) -> Any:
    """Images uint8 (rows, height, width, 3) of any one size to numbers (rows, targets).

    Raises:
        InputError: OpenVINO is not installed, or a network cannot be used.
        UnavailableError: weights that cannot be found.
    """
    import_openvino(remedy=REMEDY)
    packed = {one.feature_set: packed_of(networks, one) for one in run.features.networks}
    batch = images_at_once(run, networks)
    with step("joining the network and the heads"):
        features = features_model(run.features, packed, run.config["dtype"], batch)
        start_keras("tensorflow", hide_gpu=True)
        heads = convert_function(traced(head_model(run)))
        model = join_models(features, heads, "jaxreg")
        model.outputs[0].set_names({output_name(run.targets)})
        model.validate_nodes_and_infer_types()
    return model


def check_openvino(run: "TrainedRun") -> None:
    """Raise InputError for targets that float32 rounds too much, or without OpenVINO."""
    import_openvino(remedy=REMEDY)
    parts = mean_and_std_of(run.scalers[0].target)
    pairs = zip(*(np.asarray(of_targets(run.types, part)) for part in parts), strict=True)
    for name, kind, (mean, std) in zip(run.targets, run.types, pairs, strict=True):
        if not kind.circular and np.spacing(np.float32(abs(mean))) / 2 > MOST * std:
            raise InputError(
                f"the targets {name} lie around {mean:.3g} with a std of {std:.3g}, and OpenVINO "
                "computes in float32 on a CPU, which rounds them too much",
                expected="--format onnx, keras or savedmodel, which return float64",
                remedy="--format onnx",
            )


def write_openvino(run: "TrainedRun", networks: RunNetworks, path: Path) -> None:
    """Write NAME.xml, and NAME.bin beside it; errors as of `openvino_model`."""
    model = openvino_model(run, networks)
    with step("writing the model"):
        import_openvino().save_model(model, str(path), compress_to_fp16=False)


def load_openvino(path: Path) -> "Runner":
    """What was written, on the CPU in float32, except for what is in int8.

    A model that rounds pixels, to int8 or to uint8, is compiled for one image of each size: then
    its resize has the bits of the engine's own. Else a pixel may be rounded to the next step.
    """
    ov = import_openvino(remedy=REMEDY)
    core = ov.Core()
    model = core.read_model(str(path))
    rounds = any(node.get_type_name() in ("FakeQuantize", "Round") for node in model.get_ops())

    @lru_cache(SIZES_KEPT)
    def compiled(*shape: int) -> Any:
        if shape:
            model.reshape(shape)
        return core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def call(images: np.ndarray) -> np.ndarray:
        return np.array(compiled(*images.shape if rounds else ())(images)[0])

    return one_by_one(call, 1 if rounds else fixed_batch(model))


def one_by_one(call: "Runner", batch: int | None) -> "Runner":
    """The same for any number of images, if `call` takes a fixed number: 1. None: any."""
    if batch is None:
        return call
    return lambda images: np.concatenate([call(image[None]) for image in images])


def openvino_lines(name: str) -> str:
    """How a program uses it. Some processors would compute in bfloat16 without the hint."""
    return f"""core = openvino.Core()
model = core.read_model({name!r})
model.reshape(image[None].shape)  # for images of one size; without this line for any
compiled = core.compile_model(model, "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
numbers = compiled(image[None])[0]"""
