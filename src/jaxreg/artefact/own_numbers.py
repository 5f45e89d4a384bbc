"""The numbers of a run for images in memory, by its own engine, without its cache."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from jaxreg.backbone.engine import load_engine
from jaxreg.backbone.registry import ONNX
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.extraction.run_networks import RunNetworks
from jaxreg.sources.pixels import viewed

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun

BATCH = 8  # images computed together


def own_numbers(
    run: "TrainedRun", networks: RunNetworks, images: Sequence[np.ndarray]
) -> np.ndarray:
    """What `run.predict` returns for images uint8 (height, width, 3): (images, targets).

    Raises:
        InputError, UnavailableError: as `RunNetworks.find` and `load_engine`.
    """
    found: dict[tuple[str, Column], np.ndarray] = {}
    for recipe in run.features.networks:
        name = recipe.feature_set
        columns = run.features.columns_of(name)
        weights, quantized = networks.find(recipe)
        chosen = _engine_name(recipe)
        engine = load_engine(chosen, recipe, columns, weights, quantized=quantized)
        for view in {column.view for column in columns}:
            seen = [np.ascontiguousarray(viewed(image, view)) for image in images]
            blocks = [
                engine.features(seen[start : start + BATCH]) for start in range(0, len(seen), BATCH)
            ]
            for column in columns:
                if column.view == view:
                    each = [block[column.identity.name] for block in blocks]
                    found[name, column] = np.concatenate(each)
    features = np.concatenate([found[one] for one in run.features.columns], axis=1)
    return run.predict_features(features.astype(run.config["dtype"]))


def _engine_name(recipe: Recipe) -> str:
    """An engine that can be in one process with TensorFlow; all agree in float32."""
    if recipe.precision != "float32" or recipe.backbone == ONNX or find_spec("openvino"):
        return "openvino"
    return "tensorflow"
