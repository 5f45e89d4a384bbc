"""The networks of a run as Keras layers, against the engine that made its features."""

from typing import Any

import numpy as np
import pytest

from jaxreg.artefact.keras_network import network_model
from jaxreg.backbone.engine import load_engine
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.extraction.run_networks import RunNetworks
from jaxreg.trained_run import TrainedRun
from made_heads import made_run

COLUMNS = tuple(
    map(
        Column.parse,
        (
            "mixed1.grid:2x3", "mirror.mixed0.grid:2x4", "mixed1.max", "mixed1.avg",
            "mirror.mixed0.avg", "mixed0.grid:5x5",
        ),
    )
)  # fmt: skip
SIZES = ((75, 90), (120, 160), (99, 83))


def made(dtype: str = "float32", **fields: Any) -> tuple[TrainedRun, RunNetworks]:
    """A run that reads these columns of a network with random weights, and this network."""
    recipe = Recipe(weights="random:0:v1", weights_tag="random0", **fields)
    y = np.zeros((20, 1))
    run = made_run(y, columns=COLUMNS, recipe=recipe, dtype=dtype, hidden=(2,))
    return run, RunNetworks(run.features, None, None, {})


def compare(keras, run: TrainedRun, networks: RunNetworks, atol: float) -> None:
    """Every column, mirrored ones too, for images of each size."""
    [recipe] = run.features.networks
    model = network_model(run, networks)
    engine = load_engine("tensorflow", recipe, COLUMNS, networks.find(recipe).weights)
    rng = np.random.default_rng(0)
    for size in SIZES:
        images = rng.integers(0, 256, (2, *size, 3), dtype=np.uint8)
        views = {"identity": list(images), "mirror": list(images[:, :, ::-1].copy())}
        read = {view: engine.features(some) for view, some in views.items()}
        wanted = [read[column.view][column.identity.name] for column in COLUMNS]
        expected = np.concatenate(wanted, axis=1).astype(run.config["dtype"])
        got = model.predict_on_batch(images)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected.astype(np.float32), rtol=0, atol=atol)


def test_layers_grids_and_views_of_resized_images(keras) -> None:
    run, networks = made(size=(75, 90))
    compare(keras, run, networks, 1e-6)


@pytest.mark.slow
def test_images_of_their_own_size_in_half_precision(keras) -> None:
    """The cells of a grid are then decided by each image; numbers of float16 may differ by one."""
    run, networks = made("float16", size=None, preprocess="imagenet")
    compare(keras, run, networks, 2.0**-10)


@pytest.mark.slow
def test_another_network_and_its_own_pixels(keras) -> None:
    """VGG takes BGR less a mean."""
    recipe = Recipe(weights="random:0:v1", weights_tag="random0", backbone="vgg16", size=(64, 64))
    columns = tuple(Column(layer="block2_pool", pool=pool) for pool in ("grid:2x2", "max"))
    run = made_run(np.zeros((20, 1)), columns=columns, recipe=recipe, hidden=(2,))
    networks = RunNetworks(run.features, None, None, {})
    images = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), dtype=np.uint8)
    engine = load_engine("tensorflow", recipe, columns, networks.find(recipe).weights)
    expected = np.concatenate(list(engine.features(list(images)).values()), axis=1)
    got = network_model(run, networks).predict_on_batch(images)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
