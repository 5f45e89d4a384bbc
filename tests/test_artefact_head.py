"""The heads of a run as Keras layers, against the numbers of the run itself."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxreg.artefact.keras_head import head_model, output_name
from jaxreg.target_types import difference
from jaxreg.trained_run import TrainedRun
from made_heads import ROWS, made_run, some_features

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of Keras: it saves

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


CASES = [
    (kind, head, members)
    for members in (1, 3)
    for kind in KINDS
    for head in HEADS
    if kind == "several" or (members == 3 and head in ("ridge", "blend"))
]


@pytest.mark.parametrize(("kind", "head", "members"), CASES)
def test_the_layers_compute_what_the_run_does(
    keras, kind: str, head: str, members: int, tmp_path: Path
) -> None:
    y, settings = KINDS[kind]
    compare(keras, made_run(y, members, **settings, **HEADS[head]), y, tmp_path)


def compare(keras, run: TrainedRun, y: np.ndarray, folder: Path) -> np.ndarray:
    """The numbers of the head as it was saved and loaded, which are those of the run."""
    x = some_features(40)
    x[:5] *= 1.2  # far from the training rows: cut at the limit
    wanted = run.predict_features(x)
    head_model(run).save(folder / "head.keras")
    model = keras.saving.load_model(folder / "head.keras", safe_mode=True)
    got = model.predict_on_batch(x)
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    std = [100 if one.circular else s for one, s in zip(run.types, y.std(axis=0), strict=True)]
    off = np.abs(difference(run.types, got, wanted)) / std
    assert off.max() < 2e-5
    return got


def test_a_head_without_scaling_and_with_a_relu(keras, tmp_path: Path) -> None:
    """The preset `question`: its output is cut at 0."""
    plain: dict[str, Any] = {"scale_features": False, "scale_target": False}
    compare(keras, made_run(PLAIN - 20, 2, **plain), PLAIN, tmp_path)
    scaled = made_run(PLAIN - 20, 2, output_activation="relu")
    got = compare(keras, scaled, PLAIN, tmp_path)
    assert (got == 0).any()
    assert (got > 0).any()


def test_predictions_at_the_ends_of_their_range(keras, tmp_path: Path) -> None:
    """A ridge that runs over its bounds is cut there; no angle is the period itself."""
    shares = np.where(SHARES > 0.5, 0.9, 0.1)
    run = made_run(shares, 2, target_type=("bounded:0.1:0.9",), head="ridge")
    got = compare(keras, run, shares, tmp_path)
    assert got.min() >= 0.1  # float32 of 0.9 is below it, of 0.1 above it
    assert got.max() <= 0.9
    north = (ANGLES - 180) / 90 % 360
    got = compare(keras, made_run(north, 3, target_type=("circular:360",)), north, tmp_path)
    assert got.min() >= 0
    assert got.max() < 360


def test_numbers_that_float32_cannot_hold(keras, tmp_path: Path) -> None:
    """Targets in float64, and features whose std is below what Keras' Normalization takes."""
    run = made_run(FAR, 3)
    tiny = [one.features._replace(mean=one.features.mean * small, std=one.features.std * small)
            for one in run.scalers for small in [np.float32(2.0**-30)]]  # fmt: skip
    pairs = zip(run.scalers, tiny, strict=True)
    own = dataclasses.replace(run, scalers=tuple(a._replace(features=b) for a, b in pairs))
    x = some_features(40)
    got = head_model(own).predict_on_batch(x * np.float32(2.0**-30))
    np.testing.assert_allclose(got, run.predict_features(x), rtol=0, atol=1e-5 * FAR.std())
    narrow = 200 + (FAR - FAR.mean()) / 1000
    got = compare(keras, made_run(narrow, 2, target_type=("circular:360",)), FAR / 1000, tmp_path)
    assert got.dtype == np.float64


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (("angle",), "angle"),
        (("user/angle", "speed"), "user_angle_speed"),
        (("1st",), "target_1st"),
        (("<b>",), "b"),
        (("größe",), "gr__e"),
        (("角度",), "target"),
        (("x" * 99,), "x" * 60),
    ],
)
def test_the_output_has_a_name_that_formats_take(targets: tuple[str, ...], expected: str) -> None:
    assert output_name(targets) == expected
