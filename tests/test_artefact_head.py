"""The heads of a run as Keras layers, against the numbers of the run itself."""

from typing import Any

import numpy as np
import pytest

from jaxreg.artefact.keras_head import head_model
from jaxreg.target_types import difference
from made_heads import ROWS, made_run, some_features

RNG = np.random.default_rng(11)
PLAIN = RNG.normal(20, 5, (ROWS, 1))
SHARES = RNG.uniform(0, 1, (ROWS, 1))
ANGLES = RNG.vonmises(3, 1, (ROWS, 1)) * 180 / np.pi % 360
FAR = 1.7e9 + RNG.normal(0, 2, (ROWS, 1))
ALL = np.hstack([ANGLES, PLAIN, SHARES, FAR])
TYPES = ("circular:360", "plain", "bounded:0:1", "plain")

KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "plain": (PLAIN, {}),
    "bounded": (SHARES, {"target_type": ("bounded:0:1",)}),
    "circular": (ANGLES, {"target_type": ("circular:360",)}),
    "far": (FAR, {}),
    "several": (ALL, {"target_type": TYPES}),
}
HEADS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "mlp on components": {"components": 5},
    "ridge": {"head": "ridge"},
    "blend": {"head": "blend", "components": 5},
}


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_layers_compute_what_the_run_does(keras, kind: str, head: str, members: int) -> None:
    y, settings = KINDS[kind]
    run = made_run(y, members, **settings, **HEADS[head])
    x = some_features(40)
    x[:5] *= 1.2  # far from the training rows: cut at the limit
    wanted = run.predict_features(x)
    got = head_model(run).predict_on_batch(x)
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    std = np.array(
        [28.6 * 2 if kind.circular else one for kind, one in zip(run.types, y.std(0), strict=True)]
    )
    off = np.abs(difference(run.types, got, wanted)) / std
    print(off.max())
    assert off.max() < 2e-5
