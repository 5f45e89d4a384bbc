"""The blend of a ridge and the MLP, against scikit-learn's ridge and least squares by NumPy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from jaxreg.config_io import to_json
from jaxreg.errors import InputError
from jaxreg.head import blend, fit, ridge, scaling
from jaxreg.head.apply import activations, predict_rows
from jaxreg.head.state import Data, empty_state, init_state, prepare
from jaxreg.head.target_ridges import solve_targets
from jaxreg.train_config import HeadConfig, TrainConfig
from jaxreg.training.checkpoint import Checkpoints

SETTINGS = {
    "hidden": (16, 8), "batch_size": 16, "learning_rate": 3e-3, "min_delta": 0.0,
    "huber_delta": 0.5,
}  # fmt: skip


def make_data(targets: int = 2) -> Data:
    """Partly linear in the columns, partly not."""
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (160, 12)).astype(np.float32)
    y = x[:, :targets] + np.abs(x[:, 2 : 2 + targets] - 3) + 0.1 * rng.normal(size=(160, targets))
    y = (y * [1, 20][:targets]).astype(np.float32)
    return Data.of(x[:110], y[:110], x[110:], y[110:])


def trained(epochs: int, data: Data, **settings):
    chosen: dict[str, Any] = {"components": 6} | SETTINGS | settings
    config = HeadConfig(head="blend", epochs=epochs, **chosen)
    state = init_state(config, data)
    state, history = fit.make_fit(config)(state, prepare(config, state, data), epochs)
    return config, jax.device_get(state), jax.device_get(history)


def by_scikit_learn(data: Data) -> np.ndarray:
    """(rows, targets): a ridge of the training rows with the alphas that ours chose."""
    rows = data.train.real
    x, y = np.asarray(data.x), np.asarray(data.y, np.float64)
    scaler = scaling.feature_scaler(x[rows])
    z = np.asarray(scaling.scale(scaler, x), np.float64)
    eigen = ridge.decompose(scaler, x[rows], data.y[rows])
    alphas = ridge.solve(eigen, x[rows], data.y[rows]).alphas
    pred = [Ridge(alpha).fit(z[rows], y[rows, i]).predict(z) for i, alpha in enumerate(alphas)]
    return np.stack(pred, axis=1)


@pytest.mark.parametrize("targets", [1, 2])
def test_the_share_is_least_squares_and_the_head_the_mixture(targets: int) -> None:
    data = make_data(targets)
    config, state, history = trained(1, data)
    x, y, validation = np.asarray(data.x), np.asarray(data.y), data.validation.real
    line = by_scikit_learn(data)
    alone = predict_rows(state.params, state.scalers, config, x)  # the MLP
    share = state.best_params["blend"]["share"]
    for i in range(targets):
        apart, left = (line - alone)[validation, i], (y - alone)[validation, i]
        best = np.linalg.lstsq(apart[:, None], left, rcond=None)[0][0]
        # 50 validation rows, and two more with a share of a half
        expected = (np.clip(best, 0, 1) + 0.5 * 2 / 50) / (1 + 2 / 50)
        assert share[i] == pytest.approx(expected, abs=1e-4)
    pred = predict_rows(state.best_params, state.scalers, config, x)
    np.testing.assert_allclose(pred, share * line + (1 - share) * alone, rtol=1e-3, atol=1e-3)
    error = np.abs(alone - y)[validation] / (y[data.train.real].std(axis=0) if targets > 1 else 1)
    assert history.val_mae[0] == pytest.approx(error.mean(), rel=1e-5)
    raw = activations(state.best_params, state.scalers, config, x).raw
    np.testing.assert_allclose(raw, pred, rtol=1e-6, atol=1e-6)


def test_the_epoch_is_the_best_of_the_mlp_and_the_mixture_is_as_good() -> None:
    data = make_data(1)
    # on all directions, so that the MLP can tell what is not linear
    settings = {"components": 12, "learning_rate": 1e-2}
    config, state, history = trained(80, data, **settings)
    x, y, validation = np.asarray(data.x), np.asarray(data.y), data.validation.real
    error = lambda pred: np.abs(pred - y)[validation].mean()  # noqa: E731
    pred = predict_rows(state.best_params, state.scalers, config, x)
    mlp = {name: layer for name, layer in state.best_params.items() if name != "blend"}
    alone = predict_rows(mlp, state.scalers, config, x)
    assert error(alone) == pytest.approx(history.val_mae[state.best_epoch - 1], rel=1e-5)
    assert error(pred) < 1.02 * min(error(by_scikit_learn(data)), error(alone))
    # the MLP is that of the head mlp with these settings, to the bit
    other = HeadConfig(head="mlp", epochs=80, **{**SETTINGS, **settings})
    start = init_state(other, data)
    end, its = fit.make_fit(other)(start, prepare(other, start, data), 80)
    np.testing.assert_array_equal(history.val_loss, its.val_loss)
    jax.tree.map(np.testing.assert_array_equal, mlp, jax.device_get(end.best_params))


def test_a_ridge_fitted_on_the_validation_rows_does_not_predict_them() -> None:
    data = make_data(1)
    config = HeadConfig(head="blend", components=6, epochs=1, **SETTINGS)
    x, y = np.asarray(data.x), np.asarray(data.y)
    scaler = scaling.feature_scaler(x[data.train.real])
    solved = solve_targets(scaler, x, y)  # all rows: an unfair ridge
    state = init_state(config, data, solved, 50)
    out_of_fold = by_scikit_learn(data).astype(np.float32)
    projected = np.asarray(prepare(config, state, data, out_of_fold).x)[:, 6:]
    back = scaling.targets_of(state.scalers.target, projected)
    np.testing.assert_allclose(back, out_of_fold, rtol=1e-4, atol=1e-4)
    # and what is kept is the other one
    kept = blend.ridge_of_rows(state.best_params["blend"], state.scalers, x)
    assert np.abs(kept - projected).max() > 1e-3


@pytest.mark.parametrize("even", [0.5, 0.1])
def test_few_groups_move_the_share_towards_that_of_the_stand_in(even: float) -> None:
    data = make_data(1)
    config = HeadConfig(head="blend", components=6, epochs=1, **SETTINGS)
    shares = []
    for groups in (1, 5, 50, 10_000):
        state = init_state(config, data, None, groups, even=np.full(1, even))
        state, _ = fit.make_fit(config)(state, prepare(config, state, data), 1)
        shares.append(float(state.best_params["blend"]["share"][0]))
    best = shares[-1]
    for share, groups in zip(shares, (1, 5, 50), strict=False):
        assert share == pytest.approx((best + even * 12 / groups) / (1 + 12 / groups), abs=1e-3)


def test_a_blend_of_an_earlier_format_predicts(tmp_path: Path) -> None:
    data = make_data(1)
    config = HeadConfig(head="blend", components=6, **SETTINGS)
    state = init_state(config, data)
    ridge = {name: its for name, its in state.best_params["blend"].items() if name != "even"}
    before = state._replace(best_params={**state.best_params, "blend": ridge})
    record = {"settings": to_json(TrainConfig(head="blend")), "dataset_sha256": ""}
    files = Checkpoints(tmp_path, record)
    files.save(3, before)
    files.wait()
    to_predict = state._replace(params=None, opt_state=None)
    found = Checkpoints(tmp_path, record).load(to_predict, pytest.fail)
    assert found is not None
    its = found.state.best_params
    np.testing.assert_array_equal(its["blend"]["kernel"], ridge["kernel"])
    assert jax.tree.structure(its) == jax.tree.structure(state.best_params)
    with pytest.raises(InputError, match="which arrays there are"):
        Checkpoints(tmp_path, record).load(state, pytest.fail, goes_on=True)


def test_a_checkpoint_has_the_shapes_of_a_state() -> None:
    data = make_data()
    config = HeadConfig(head="blend", components=6, **SETTINGS)
    shapes = lambda state: jax.tree.map(np.shape, state)  # noqa: E731
    assert shapes(empty_state(config, 12, 2)) == shapes(init_state(config, data))


def test_components_are_as_many_as_the_rows_can_bear() -> None:
    settings = HeadConfig(head="blend")
    assert settings.components_of(10_000, 2048) == 128
    assert settings.components_of(10_000, 60) == 60
    assert settings.components_of(41, 2048) == 20
    assert settings.components_of(2, 2048) == 1
    assert HeadConfig(head="blend", components=7).components_of(10_000, 2048) == 7
    assert HeadConfig().components_of(10_000, 2048) is None


@pytest.mark.parametrize("flag", ["scale_features", "scale_target"])
def test_it_needs_both_scalers(flag: str) -> None:
    with pytest.raises(InputError, match=f"--no-{flag.replace('_', '-')}"):
        replace(HeadConfig(head="blend"), **{flag: False})
