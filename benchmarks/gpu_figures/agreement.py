"""The same features and the same short training on this device and on the CPU."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gpu_figures.common import Figure, device, figure
from gpu_figures.heads import Training


def agreement(quick: bool) -> Iterator[Figure]:
    """The same features and the same short training on this device and on the CPU.

    The figure is max|a − b| / max|b|, with b of the CPU.
    """
    yield device()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cpu.npz"
        code = "import sys\nfrom gpu_figures.agreement import save_answers\n"
        code += "save_answers(sys.argv[1], sys.argv[2] == 'True')"
        words = [sys.executable, "-c", code, str(path), str(quick)]
        here = str(Path(__file__).parents[1])
        paths = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
        subprocess.run(
            words, env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths}, check=True
        )
        with np.load(path) as arrays:
            expected = dict(arrays)
    for name, got in answers(quick):
        wanted = expected[name]
        yield figure(f"{name}, against the CPU", _difference(got, wanted), "of the largest")


def _difference(got: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


def save_answers(path: str, quick: bool) -> None:
    """What this process' device computes, into a file."""
    arrays: dict[str, Any] = dict(answers(quick))
    np.savez(path, **arrays)


def answers(quick: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Features of images, and predictions of a head after a short training, by name."""
    import jax

    from jaxreg.backbone.jax_engine import JaxEngine
    from jaxreg.backbone.weights import identify_weights
    from jaxreg.cache.recipe import Column, Recipe
    from jaxreg.head.apply import predict_rows

    for precision in ("default", "highest"):
        with jax.default_matmul_precision(precision):
            training = Training(256 if quick else 2_048, 32)
            training.run(1 if quick else 3)
            state, x = training.state, np.asarray(training.host_data.x[:256])
            predictions = predict_rows(state.params, state.scalers, training.config, x)
        yield f"predictions of a short training, products {precision}", np.asarray(predictions)
    weights = identify_weights("random:0")
    assert weights is not None
    side = 75 if quick else 299
    recipe = Recipe(weights=weights.identity, weights_tag=weights.tag, size=(side, side))
    columns = [Column(layer="mixed2")] if quick else [Column(layer="mixed2"), Column()]
    engine = JaxEngine(recipe, columns, weights)
    images = np.random.default_rng(0).integers(0, 256, (8, side, side, 3), dtype=np.uint8)
    for name, features in engine.features(list(images)).items():
        yield f"features {name} of {len(images)} images", np.asarray(features)
