"""The networks of a run as its own engine has them: packed models of OpenVINO."""

from typing import TYPE_CHECKING

from jaxreg.backbone.openvino_engine import packed_network
from jaxreg.backbone.openvino_model import import_openvino, unpack
from jaxreg.backbone.openvino_reads import fixed_batch
from jaxreg.backbone.registry import ONNX
from jaxreg.cache.recipe import Recipe
from jaxreg.errors import InputError
from jaxreg.extraction.run_networks import RunNetworks

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


def packed_of(networks: RunNetworks, recipe: Recipe) -> bytes:
    """The network of a recipe, that in int8 where it has one.

    Raises:
        InputError: OpenVINO is not installed; weights that are not those of the recipe.
        UnavailableError: weights that cannot be found.
    """
    found = networks.find(recipe)
    if found.quantized is not None:
        return found.quantized
    assert found.weights is not None
    return packed_network(recipe, found.weights)


def images_at_once(run: "TrainedRun", networks: RunNetworks) -> int | None:
    """How many images a model of the run takes: 1, or None for any number.

    Only the network of an ONNX file may have a fixed number.

    Raises:
        InputError: it is another number.
    """
    fixed = set()
    for recipe in run.features.networks:
        if recipe.backbone == ONNX:
            network = unpack(import_openvino().Core(), packed_of(networks, recipe))
            fixed.add(fixed_batch(network))
    for number in fixed - {None, 1}:
        raise InputError(
            f"{run.path} has an ONNX network that takes {number} images at once",
            expected="a free batch, or one of 1",
            remedy="export the ONNX file again with a free batch, then extract and train again",
        )
    return 1 if 1 in fixed else None
