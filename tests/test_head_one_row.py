"""All heads of a run for one row, against each head by itself on 512 rows at a time."""

import jax
import numpy as np
import pytest

from jaxreg.head import blend, mlp, scaling
from jaxreg.head.apply import predict_rows
from jaxreg.head.one_row import OneRow
from jaxreg.head.scaling import Basis, Scalers
from jaxreg.head.target_outputs import encode, outputs_of
from jaxreg.train_config import HeadConfig

COLUMNS, MEMBERS = 9, 3


def head(config: HeadConfig, seed: int, targets: int) -> tuple[mlp.Params, Scalers]:
    """A head of random weights, and scalers of random rows."""
    rng = np.random.default_rng(seed)
    x, types = rng.normal(size=(50, COLUMNS)).astype(np.float32), config.target_types(targets)
    y = encode(types, rng.uniform(0, 1, size=(50, targets)))
    scaler = scaling.feature_scaler(x)
    if config.components:
        directions = rng.normal(size=(COLUMNS, config.components)).astype(np.float32)
        scaler = scaler._replace(basis=Basis(rng.normal(size=COLUMNS).astype("f4"), directions))
    key, outputs = jax.random.key(seed), outputs_of(types)
    params = mlp.init(key, config.components or COLUMNS, config, outputs)
    if config.head == "blend":
        ridge = blend.empty(COLUMNS, outputs)
        kernel = rng.normal(size=(COLUMNS, outputs)).astype(np.float32)
        share = np.linspace(0.2, 0.8, outputs, dtype=np.float32)
        params = {**params, "blend": {**ridge, "kernel": kernel, "share": share}}
    return params, Scalers(scaler, scaling.target_scaler(y))


@pytest.mark.parametrize(
    ("config", "targets"),
    [
        (HeadConfig(hidden=(8, 4), output_activation="relu"), 1),
        (HeadConfig(hidden=(8, 4), components=5), 2),
        (HeadConfig(hidden=(8, 4), head="blend"), 2),
        (HeadConfig(head="ridge", hidden=(), target_type=("bounded:0.2:0.7",)), 1),
        (HeadConfig(hidden=(8,), target_type=("circular:1", "plain")), 2),
    ],
    ids=["relu", "components", "blend", "bounded-ridge", "circular"],
)
def test_one_row_is_a_row_of_many(config: HeadConfig, targets: int) -> None:
    heads = [head(config, seed, targets) for seed in range(MEMBERS)]
    params, scalers = zip(*heads, strict=True)
    one = OneRow(params, scalers, config)
    x = np.random.default_rng(9).normal(size=(4, COLUMNS)).astype(np.float32)
    each = np.stack([predict_rows(*own, config, x) for own in heads], axis=1)
    assert each.shape == (4, MEMBERS, targets)
    assert np.ptp(each) > 0.1
    for row, expected in zip(x, each, strict=True):
        np.testing.assert_allclose(one(row[None]), expected, rtol=1e-5, atol=1e-5)
