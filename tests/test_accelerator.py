"""The JAX engine against NumPy, on this machine's devices and on eight simulated ones.

Without TensorFlow, so that `make gpu-check` can run it too.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Weights of which each array is unlike any other, through a file, as a user has them. NumPy resizes
# nothing here: images of two sizes, each computed at its own.
PROGRAM = """
import json, sys
import numpy as np
from keras_models import draw_statistics, relative_error
from numpy_network import outputs_of
from jaxreg.backbone.jax_engine import JaxEngine
from jaxreg.backbone.network import start_keras
from jaxreg.backbone.weights import identify_weights
from jaxreg.cache.recipe import Column, Recipe

start_keras("jax")
import keras
from jaxreg.common.user_cache import keep_jax_compilations

keep_jax_compilations()

model = keras.applications.InceptionV3(include_top=False, weights=None)
rng = np.random.default_rng(1)
draw_statistics(model, rng)
path = sys.argv[1] + "/own.weights.h5"
model.save_weights(path)
weights = identify_weights(path)
columns = [Column(layer=word.split(".")[0], pool=word.split(".")[1]) for word in sys.argv[2:]]
recipe = Recipe(weights=weights.identity, weights_tag=weights.tag, size=None)
images = [
    rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    for size in [(75, 75), (75, 91), (75, 75)]
]
engine = JaxEngine(recipe, columns, weights)
got = engine.features(images)
wanted = {column.name: [] for column in columns}
for image in images:
    outputs = outputs_of(model, image[None] / 127.5 - 1, [column.layer for column in columns])
    for column in columns:
        output = outputs[column.layer]
        pooled = output.max((1, 2)) if column.pool == "max" else output.mean((1, 2))
        wanted[column.name].append(pooled)
errors = {
    name: relative_error(np.asarray(got[name]), np.concatenate(pooled))
    for name, pooled in wanted.items()
}
print(json.dumps({
    "errors": errors,
    "devices": engine._by_row.num_devices,
    "tensorflow": "tensorflow" in sys.modules,
}))
"""
SIMULATED = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}


@pytest.mark.parametrize(
    ("changed", "columns"),
    [
        pytest.param(
            {},
            ["mixed2.avg", "mixed7.max", "mixed10.avg"],
            marks=pytest.mark.slow,
            id="own-devices",
        ),
        pytest.param(SIMULATED, ["mixed2.avg"], id="eight-devices"),
    ],
)
def test_features_are_those_of_numpy(
    changed: dict[str, str], columns: list[str], tmp_path: Path
) -> None:
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), *columns],
        env={**os.environ, **changed, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["errors"]) == len(columns)
    assert max(told["errors"].values()) < 1e-4, told
    assert not told["tensorflow"]
    if changed:
        assert told["devices"] == 8
