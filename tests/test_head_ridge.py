"""The ridge against scikit-learn's RidgeCV, its components against scikit-learn's PCA."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge, RidgeCV

from jaxreg.errors import InputError
from jaxreg.head import leave_out, ridge, scaling
from jaxreg.head.apply import predict_rows
from jaxreg.head.scaling import Scalers
from jaxreg.head.state import Data, empty_state, init_state, prepare
from jaxreg.head.target_ridges import head_on_components, left_out, solve_targets
from jaxreg.splits.held_out_groups import HeldOutGroup
from jaxreg.train_config import HeadConfig


def make_rows(
    rows: int, columns: int, targets: int = 1, constant: int = 0, noise: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Correlated columns far from zero, some of them constant; each target with other noise."""
    rng = np.random.default_rng(0)
    causes = max(1, columns // 3)
    x = rng.normal(size=(rows, causes)) @ rng.normal(size=(causes, columns))
    x = 5 + x + rng.normal(size=(rows, columns))
    x[:, :constant] = 3.3
    y = x @ rng.normal(size=(columns, targets)) / columns
    y += noise * np.arange(1, targets + 1) ** 2 * rng.normal(size=(rows, targets))
    return x.astype(np.float32), y.astype(np.float32)


def scaled(x: np.ndarray) -> np.ndarray:
    return np.asarray(scaling.scale(scaling.feature_scaler(x), x), np.float64)


def eigen_of(x: np.ndarray, y: np.ndarray) -> ridge.Eigendecomposition:
    return ridge.decompose(scaling.feature_scaler(x), x, y)


@pytest.mark.parametrize(
    ("rows", "columns", "targets", "constant"),
    [
        (100, 20, 1, 0),
        (100, 20, 3, 2),
        (30, 60, 1, 0),  # dual
        (30, 60, 2, 5),
        (60, 60, 2, 0),  # square: centring leaves one rank fewer
        (62, 60, 1, 0),  # leverages near 1
        (121, 60, 2, 0),  # the first shape in float32
        (30, 1, 1, 0),
    ],
)
def test_it_is_ridge_cv(rows: int, columns: int, targets: int, constant: int) -> None:
    x, y = make_rows(rows, columns, targets, constant)
    eigen = eigen_of(x, y)
    found = ridge.solve(eigen, x, y)
    # scikit-learn, in float64, on the same scaled rows
    model: Any = RidgeCV(ridge.ALPHAS, store_cv_results=True, alpha_per_target=True)
    model.fit(scaled(x), y.astype(np.float64))
    np.testing.assert_allclose(found.alphas, np.atleast_1d(model.alpha_), rtol=1e-6)
    errors = model.cv_results_.mean(axis=0).reshape(targets, -1).T
    np.testing.assert_allclose(found.errors, errors, rtol=1e-4)
    kernel = eigen.directions @ found.coefficients
    largest = np.abs(model.coef_).max()
    np.testing.assert_allclose(kernel.T, model.coef_.reshape(targets, -1), atol=1e-5 * largest)
    if targets > 1:
        assert len(set(found.alphas)) > 1  # each target its own


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = make_rows(100, 20, 2)
    whole = ridge.solve(eigen_of(x, y), x, y)
    monkeypatch.setattr(leave_out, "ROWS", 30)  # four blocks, the last a shorter one
    blocks = ridge.solve(eigen_of(x, y), x, y)
    np.testing.assert_allclose(blocks.errors, whole.errors, rtol=1e-5)


def test_float16_features_are_taken_as_they_are() -> None:
    x, y = make_rows(100, 20)
    half = x.astype(np.float16)
    one, other = (ridge.solve(eigen_of(a, y), a, y) for a in (half, half.astype(np.float32)))
    np.testing.assert_array_equal(one.errors, other.errors)


def test_columns_that_tell_nothing_leave_the_mean() -> None:
    x, y = np.full((20, 3), 2.0, np.float32), np.arange(20, dtype=np.float32)[:, None]
    eigen = eigen_of(x, y)
    head = eigen.head(ridge.solve(eigen, x, y), init_state(HeadConfig(), plain(x, y)).scalers)
    np.testing.assert_array_equal(head["output"]["kernel"], 0)


def plain(x: np.ndarray, y: np.ndarray) -> Data:
    return Data.of(x, y, x[:5], y[:5])


@pytest.mark.parametrize("scale_target", [True, False])
@pytest.mark.parametrize("components", [None, 7])
def test_as_a_head_it_predicts_what_scikit_learn_does(
    components: int | None, scale_target: bool
) -> None:
    x, y = make_rows(100, 20, 2)
    y = 50 + 10 * y
    config = HeadConfig(head="ridge", components=components, scale_target=scale_target)
    eigen = eigen_of(x, y)
    solved = solve_targets(eigen.scaler, x, y)
    state = init_state(config, plain(x, y), solved)
    head = solved.head(state.scalers)
    if components is not None:
        head = head_on_components(solved, state.scalers, x, y, np.ones_like(y))
    pred = predict_rows(head, state.scalers, config, x)
    # a ridge on scikit-learn's own components, all of them being the columns turned round
    z = PCA(components).fit_transform(scaled(x))
    model: Any = RidgeCV(ridge.ALPHAS, alpha_per_target=True).fit(z, y.astype(np.float64))
    np.testing.assert_allclose(pred, model.predict(z), rtol=1e-4)


@pytest.mark.parametrize(("rows", "columns"), [(100, 20), (30, 60)])
def test_components_are_those_of_scikit_learn_over_the_root_of_their_std(
    rows: int, columns: int
) -> None:
    x, y = make_rows(rows, columns)
    scaler = scaling.feature_scaler(x)
    scaler = scaler._replace(basis=eigen_of(x, y).basis(6))
    expected = PCA(6).fit_transform(scaled(x))
    expected /= np.sqrt(expected.std(axis=0))
    pred = scaling.scale_rows(scaler, x)
    assert (pred.shape, pred.dtype) == ((rows, 6), np.float32)
    sign = np.sign((pred * expected).sum(axis=0))  # a direction may point either way
    np.testing.assert_allclose(pred * sign, expected, atol=1e-4)
    np.testing.assert_allclose(pred, scaling.scale(scaler, x), atol=1e-5)


def test_more_components_than_directions_are_refused() -> None:
    x, y = make_rows(30, 60, constant=40)
    with pytest.raises(InputError, match=r"--components 25[\s\S]*vary in 20 directions\n.*most 20"):
        init_state(HeadConfig(components=25), plain(x, y))


def test_an_empty_state_has_the_shapes_of_a_real_one() -> None:
    import jax

    x, y = make_rows(50, 8)
    for config in (HeadConfig(), HeadConfig(components=3), HeadConfig(head="ridge")):
        real, empty = init_state(config, plain(x, y)), empty_state(config, 8, 1)
        pred = [
            (jax.tree.structure(s), [(np.shape(a), a.dtype) for a in jax.tree.leaves(s)])
            for s in (real, empty)
        ]
        assert pred[0] == pred[1]


def test_rows_are_projected_once_and_only_for_components() -> None:
    data = plain(*make_rows(50, 8))
    for config, width in [(HeadConfig(), 8), (HeadConfig(components=3), 3)]:
        rows = prepare(config, init_state(config, data), data)
        assert rows.x.shape == (55, width)
        assert (rows.x is data.x) == (config.components is None)


def test_an_unscaled_target_is_solved_in_its_own_groups() -> None:
    x, y = make_rows(100, 5)
    eigen = eigen_of(x, y)
    found = ridge.solve(eigen, x, y)
    identity = scaling.unscaled_targets(1)
    head = eigen.head(found, Scalers(eigen.scaler, identity))
    model = Ridge(found.alphas[0]).fit(scaled(x), y)  # scikit-learn
    np.testing.assert_allclose(head["output"]["bias"], model.intercept_, rtol=1e-4)


@pytest.mark.parametrize(("rows", "columns"), [(60, 7), (30, 50)])
@pytest.mark.parametrize("components", [None, 5])
def test_a_group_left_out_errs_as_a_ridge_that_never_saw_it(
    rows: int, columns: int, components: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leave_out, "GROUP_ROWS", 3 * (rows // 2 + 4))  # three units, then one
    x, y = make_rows(rows, columns, 2)
    eigen = eigen_of(x, y)
    cuts = [0, rows // 7, rows // 3, rows // 2, rows]  # of unequal length, with gaps of two rows
    groups = []
    for a, b in pairwise(cuts):
        some = np.arange(max(0, a - 2), min(rows, b + 2))[::-1]  # and in any order
        groups.append(HeldOutGroup(some, (some >= a) & (some < b)))
    found = ridge.solve(eigen, x, y, components, groups)
    z = (scaled(x) - eigen.center) @ eigen.directions[:, :components]
    for number in (6, 15, 24):  # some of the alphas, each refitted by scikit-learn
        alpha, squares = ridge.ALPHAS[number], np.zeros(2)
        for group in groups:
            rest = np.setdiff1d(np.arange(rows), group.rows)
            scored = group.rows[group.scored]
            pred = Ridge(alpha).fit(z[rest], y[rest]).predict(z[scored])
            squares += np.square(pred - y[scored]).sum(axis=0)
        np.testing.assert_allclose(found.errors[number], squares / rows, rtol=1e-4)
    np.testing.assert_array_equal(found.alphas, ridge.ALPHAS[found.errors.argmin(axis=0)])


@pytest.mark.parametrize(("rows", "columns"), [(60, 7), (30, 50)])
def test_predictions_for_rows_left_out_are_those_of_a_refit(rows: int, columns: int) -> None:
    x, y = make_rows(rows, columns, 2)
    solved = solve_targets(scaling.feature_scaler(x), x, y)
    some = np.arange(10, 22)
    groups = [
        HeldOutGroup(some, (some >= 12) & (some < 20)),
        HeldOutGroup(np.array([0]), np.array([True])),
    ]
    pred = left_out(solved, x, y, groups)
    z = scaled(x)
    for group in groups:
        rest, judged = np.setdiff1d(np.arange(rows), group.rows), group.rows[group.scored]
        for target, alpha in enumerate(solved.alphas):
            model = Ridge(alpha).fit(z[rest], y[rest, target])  # scikit-learn's
            expected = model.predict(z[judged])
            np.testing.assert_allclose(pred[judged, target], expected, rtol=1e-3, atol=1e-4)
    others = np.setdiff1d(np.arange(rows), np.r_[0, 12:20])
    assert np.isnan(pred[others]).all()
