"""The stand-in for the MLP of a blend, against scikit-learn's kernel and ridges."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel

from jaxreg.head import scaling
from jaxreg.head.stand_in import even_share, radial_features
from jaxreg.head.target_ridges import Solved, alone, solve_targets
from jaxreg.splits.held_out_groups import HeldOutGroup
from jaxreg.target_types import types_of

GROUPS = 12


def grouped(*, curved: bool, rows: int = 240) -> tuple[np.ndarray, np.ndarray, list[HeldOutGroup]]:
    """Features with an offset for each group, and targets that are linear in them or not."""
    draw = np.random.default_rng(3)
    group = np.arange(rows) % GROUPS
    x = draw.normal(size=(rows, 6)) + draw.normal(size=(GROUPS, 6))[group]
    y = x @ draw.normal(size=6) if not curved else np.square(x[:, 0]) + np.abs(x[:, 1])
    y = (y + 0.1 * draw.normal(size=rows))[:, None]
    each = [np.flatnonzero(group == number) for number in range(GROUPS)]
    return x.astype(np.float32), y, [HeldOutGroup(own, np.ones(len(own), bool)) for own in each]


def solved(x: np.ndarray, y: np.ndarray, groups: list[HeldOutGroup]) -> Solved:
    return solve_targets(scaling.feature_scaler(x), x, y, None, groups, components=True)


def test_products_of_radial_features_are_the_gaussian_kernel() -> None:
    x, _, _ = grouped(curved=True)
    distances = np.square(x[:, None].astype(np.float64) - x[None]).sum(axis=2)
    found = radial_features(x).astype(np.float64)
    wanted = rbf_kernel(x, gamma=0.5 / np.median(distances))
    np.testing.assert_allclose(found @ found.T, wanted, atol=1e-4)


def test_with_more_rows_than_landmarks_the_kernel_is_close() -> None:
    x, _, _ = grouped(curved=True, rows=960)
    found = radial_features(x).astype(np.float64)
    distances = np.square(x[:, None].astype(np.float64) - x[None]).sum(axis=2)
    wanted = rbf_kernel(x, gamma=0.5 / np.median(distances))
    assert np.abs(found @ found.T - wanted).mean() < 0.01


@pytest.mark.parametrize("curved", [True, False])
def test_the_share_is_that_of_ridges_which_scikit_learn_fits_without_each_group(
    curved: bool,
) -> None:
    x, y, groups = grouped(curved=curved)
    own, types = solved(x, y, groups), types_of(("plain",), 1)
    found = even_share(own, x, y, np.ones_like(y), groups, types)
    scaled = scaling.scale_rows(own.eigen.scaler, x)
    centred = scaled - own.eigen.center
    radial = radial_features(centred @ own.eigen.directions[:, :128])
    other = solve_targets(scaling.identity_scaler(radial.shape[1]), radial, y, None, groups)

    def without(features: np.ndarray, alpha: float) -> np.ndarray:
        found = np.empty(len(y))
        for group in groups:
            rest = np.setdiff1d(np.arange(len(y)), group.rows)
            head = Ridge(alpha).fit(features[rest].astype(np.float64), y[rest, 0])
            found[group.rows] = head.predict(features[group.rows].astype(np.float64))
        return found

    ridge, stand_in = without(scaled, own.alphas[0]), without(radial, other.alphas[0])
    apart = ridge - stand_in
    alike = 0.05 * np.square(y[:, 0] - ridge).sum()
    both = apart @ (y[:, 0] - stand_in) + alike, apart @ apart + alike
    best = float(np.clip(both[0] / both[1], 0, 0.9))
    assert found[0] == pytest.approx(best, abs=2e-3)
    assert best < 0.2 if curved else best == 0.9


def test_rows_alone_weights_and_missing_targets() -> None:
    x, y, _ = grouped(curved=True, rows=120)
    types = types_of(("plain",), 1)
    weights = np.ones_like(y)
    weights[::7] = 0
    lacking = np.where(weights > 0, y, np.nan)
    kept = weights[:, 0] > 0
    some = solve_targets(scaling.feature_scaler(x[kept]), x[kept], y[kept], components=True)
    every = solve_targets(scaling.feature_scaler(x[kept]), x, lacking, weights, components=True)
    wanted = even_share(some, x[kept], y[kept], np.ones((kept.sum(), 1)), None, types)
    found = even_share(every, x, lacking, weights, None, types)
    assert found[0] == pytest.approx(wanted[0], abs=0.05)  # its directions are of all rows
    assert len(alone(3)) == 3
    constant = np.ones_like(y)
    flat = solve_targets(scaling.feature_scaler(x), x, constant, components=True)
    assert 0 <= even_share(flat, x, constant, np.ones_like(y), None, types)[0] <= 1
