"""Rows with weights and targets with gaps: ridge against scikit-learn, training against Keras."""

import importlib
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from jaxreg.entry_weights import entry_weights, relative
from jaxreg.head import fit, ridge, scaling
from jaxreg.head.apply import predict_rows
from jaxreg.head.rates import Rates
from jaxreg.head.scaling import Scalers
from jaxreg.head.state import Data, Rows, init_state, prepare
from jaxreg.head.target_ridges import head_on_components, left_out, solve_targets
from jaxreg.splits.held_out_groups import HeldOutGroup
from jaxreg.train_config import HeadConfig

SHAPES = [(60, 7), (30, 50)]  # columns by columns, rows by rows
NUMBERS = (6, 15, 24)  # of alphas


def make_rows(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, two targets with gaps in different rows, and weights; the last rows weigh 0."""
    rng = np.random.default_rng(0)
    x = 3 + rng.normal(size=(rows, columns)).astype(np.float32)
    y = x[:, :2] + rng.normal(size=(rows, 2)) + 10
    y[rng.permutation(rows)[: rows // 4], 0] = np.nan
    y[rng.permutation(rows)[: rows // 5], 1] = np.nan
    weights = rng.uniform(0.1, 5, rows)
    weights[-3:] = 0
    return x, y, weights


def scaled(x: np.ndarray) -> np.ndarray:
    return np.asarray(scaling.scale(scaling.feature_scaler(x), x), np.float64)


def known(y: np.ndarray, weights: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of one target that count, and their weights over the mean of these."""
    rows = np.flatnonzero(~np.isnan(y[:, target]) & (weights > 0))
    return rows, weights[rows] / weights[rows].mean()


def test_weights_are_relative_to_the_rows_that_train() -> None:
    _, y, weights = make_rows(60, 7)
    each = entry_weights(y, weights)
    assert (each[np.isnan(y)] == 0).all()
    for target in range(2):
        rows, its = known(y[:50], weights[:50], target)
        found = relative(each, np.arange(50))[rows, target]
        np.testing.assert_allclose(found, its)
    plain = entry_weights(y)
    np.testing.assert_array_equal(relative(plain, np.arange(60)), plain)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("grouped", [False, True])
def test_errors_on_left_out_rows_are_those_of_weighted_refits(
    rows: int, columns: int, grouped: bool
) -> None:
    x, y, weights = make_rows(rows, columns)
    z, cuts = scaled(x), np.array_split(np.arange(rows), 6 if grouped else rows)
    groups = [HeldOutGroup(some, np.ones(len(some), bool)) for some in cuts]
    scaler, each = scaling.feature_scaler(x), entry_weights(y, weights)
    solved = solve_targets(scaler, x, y, each, groups if grouped else None)
    assert len(solved.parts) == 2
    predicted = left_out(solved, x, y, groups)
    for target, part in enumerate(solved.parts):
        own, its = known(y, weights, target)
        own_z, own_y = z[own], y[own, target]
        for number in NUMBERS:  # each refitted by scikit-learn
            squares = 0.0
            for some in cuts:
                out = np.isin(own, some)
                if not out.any():
                    continue
                model = Ridge(ridge.ALPHAS[number])
                model.fit(own_z[~out], own_y[~out], sample_weight=its[~out])
                wrong = model.predict(own_z[out]) - own_y[out]
                squares += (its[out] * wrong**2).sum()
            error = part.ridge.errors[number, 0]
            np.testing.assert_allclose(error, squares / its.sum(), rtol=1e-4)
        alpha = solved.alphas[target]
        assert alpha == ridge.ALPHAS[part.ridge.errors[:, 0].argmin()]
        for some in cuts:
            out = np.isin(own, some)
            if out.any():
                model = Ridge(alpha).fit(own_z[~out], own_y[~out], sample_weight=its[~out])
                expected = model.predict(own_z[out])
                np.testing.assert_allclose(predicted[own[out], target], expected, rtol=1e-3)
    assert np.isnan(predicted[each == 0]).all()


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("components", [None, 5])
def test_the_weighted_head_predicts_what_scikit_learn_does(
    rows: int, columns: int, components: int | None
) -> None:
    x, y, weights = make_rows(rows, columns)
    scaler, each = scaling.feature_scaler(x), entry_weights(y, weights)
    solved = solve_targets(scaler, x, y, each, components=components is not None)
    scalers = Scalers(scaler, scaling.target_scaler(y))
    z, head, alphas = scaled(x), solved.head(scalers), solved.alphas
    if components is not None:  # of all rows alike
        z = PCA(components).fit_transform(z)
        scalers = scalers._replace(features=scaler._replace(basis=solved.eigen.basis(components)))
        head = head_on_components(solved, scalers, x, y, each)
    pred = predict_rows(head, scalers, HeadConfig(hidden=()), x)
    for target in range(2):
        own, its = known(y, weights, target)
        models = [Ridge(a).fit(z[own], y[own, target], sample_weight=its) for a in ridge.ALPHAS]
        if components is None:
            models = [models[int(np.flatnonzero(alphas[target] == ridge.ALPHAS)[0])]]
        apart = [np.abs(model.predict(z) - pred[:, target]).max() for model in models]
        assert min(apart) < 1e-3, min(apart)


def test_an_epoch_with_weights_is_keras_fit_with_sample_weight() -> None:
    keras: Any = importlib.import_module("keras")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(130, 6)).astype(np.float32)
    y = (x[:, :1] * 2 + x[:, 3:4]).astype(np.float32)
    weights = rng.uniform(0.2, 3, 130)
    weights[:100] /= weights[:100].mean()
    plain = {"dropout": 0.0, "scale_features": False, "scale_target": False}
    config = HeadConfig(hidden=(12, 8), huber_delta=0.4, min_delta=0.0, learning_rate=5e-3, **plain)
    data = Data.of(x[:100], y[:100], x[100:], y[100:], 7 * weights)  # of any unit
    state = init_state(config, data)
    layers = [*state.params["hidden"].values(), state.params["output"]]
    dense = [keras.layers.Dense(n, "relu") for n in config.hidden]
    model = keras.Sequential([keras.Input((6,)), *dense, keras.layers.Dense(1)])
    model.set_weights([np.asarray(layer[n]) for layer in layers for n in ("kernel", "bias")])
    adam = keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(5e-3, 100_000, 0.95))
    model.compile(adam, keras.losses.Huber(0.4), weighted_metrics=["mae"], jit_compile=False)
    run_epoch, ready = jax.jit(fit.run_epoch, static_argnums=0), prepare(config, state, data)
    rates = Rates.of(config, state.scalers.target)
    for _ in range(3):
        order = rng.permutation(100)
        log = model.fit(
            x[order],
            y[order],
            sample_weight=weights[order],
            batch_size=32,
            shuffle=False,
            validation_data=(x[100:], y[100:], weights[100:]),
            verbose=0,
        ).history
        state, ours = run_epoch(config, rates, state, ready, Rows.of(order))
        assert float(ours.loss) == pytest.approx(log["loss"][0], rel=1e-4)
        # Keras divides the validation loss by the rows, not by their weights
        over = log["val_loss"][0] / weights[100:].mean()
        assert float(ours.val_loss) == pytest.approx(over, rel=1e-4)
        assert float(ours.val_mae) == pytest.approx(log["val_mae"][0], rel=1e-4)
    kernel = np.asarray(state.params["output"]["kernel"])
    np.testing.assert_allclose(kernel, model.layers[-1].get_weights()[0], rtol=1e-3, atol=1e-5)


def test_a_number_without_weight_has_no_part_in_a_training() -> None:
    """The gradient against the formula: the sum over known numbers over how many there are."""
    x, y, weights = make_rows(60, 7)
    data = Data.of(x[:57], y[:57], x[57:], np.zeros((3, 2)), np.r_[weights[:57], np.ones(3)])
    settings = {"hidden": (), "dropout": 0.0, "batch_size": 57, "epochs": 1, "learning_rate": 0.1}
    config = HeadConfig(huber_delta=1e6, min_delta=0.0, **settings)
    state = init_state(config, data)
    mean, std = np.nanmean(y[:57], axis=0), np.nanstd(y[:57], axis=0)
    np.testing.assert_allclose(scaling.mean_and_std_of(state.scalers.target), [mean, std])
    kernel = np.asarray(state.params["output"]["kernel"], np.float64)
    z = np.asarray(scaling.scale(state.scalers.features, x[:57]), np.float64)
    wrong = np.nan_to_num(z @ kernel - (y[:57] - mean) / std)
    its = np.stack([np.where(np.isnan(y[:57, t]), 0, weights[:57]) for t in range(2)], axis=1)
    its /= its.sum(axis=0) / (its > 0).sum(axis=0)
    gradient = z.T @ (its * wrong) / (its > 0).sum()
    state, history = fit.make_fit(config)(state, prepare(config, state, data), 1)
    opt_state: Any = state.opt_state
    moved = np.asarray(opt_state[0].mu["output"]["kernel"]) / 0.1  # Adam's first mean
    np.testing.assert_allclose(moved, gradient, rtol=1e-4, atol=1e-6)
    loss = (its * wrong**2 / 2).sum() / its.sum()
    np.testing.assert_allclose(history.loss[0], loss, rtol=1e-5)
