"""Scalers against scikit-learn's StandardScaler, and columns that a plain division would ruin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from jaxreg.head import scaling


def test_ordinary_columns_are_standardized_as_by_scikit_learn() -> None:
    x = np.random.default_rng(0).normal(3, [1.0, 2.0, 0.5], (3000, 3)).astype(np.float32)
    scaled = scaling.scale(scaling.feature_scaler(x), jnp.asarray(x))
    expected = StandardScaler().fit_transform(x.astype(np.float64)).clip(-4, 4)
    np.testing.assert_allclose(scaled, expected, atol=2e-6)


def test_mean_and_std_survive_an_offset_far_larger_than_the_spread() -> None:
    x = (1000 + np.random.default_rng(0).normal(0, 0.1, (5000, 1))).astype(np.float32)
    scaler = scaling.feature_scaler(x)
    # NumPy's own two-pass float64
    np.testing.assert_allclose(scaler.std, x.astype(np.float64).std(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scaler.mean, x.astype(np.float64).mean(axis=0), rtol=1e-7)


def test_a_quiet_column_is_held_down_relative_to_the_loudest() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, [9e-4, 9e-9], (1000, 2)).astype(np.float32)  # as of random weights
    scaled = np.asarray(scaling.scale(scaling.feature_scaler(x), jnp.asarray(x)))
    assert scaled[:, 0].std() == pytest.approx(1, abs=0.01)
    assert scaled[:, 1].std() == pytest.approx(1e-5 / scaling.FLOOR, rel=0.1)


@pytest.mark.parametrize("value", [0.0, 0.1, -1234.567])
def test_constant_columns_become_zero(value: float) -> None:
    x = np.full((100, 2), value, np.float32)
    scaled = scaling.scale(scaling.feature_scaler(x), jnp.asarray(x))
    np.testing.assert_allclose(scaled, 0, atol=1e-4)
    # rounding of the mean must not have become a unit: one more of the value stays one more
    more = scaling.scale(scaling.feature_scaler(x), jnp.asarray(x + 1))
    np.testing.assert_allclose(more, 1, atol=1e-3)


@pytest.mark.parametrize("size", [1e-40, 1e-38])
def test_columns_too_small_for_float32_become_zero(size: float) -> None:
    x = (np.random.default_rng(0).normal(0, 1, (100, 2)) * size).astype(np.float32)
    scaler = scaling.feature_scaler(x)
    np.testing.assert_allclose(scaling.scale(scaler, jnp.asarray(x)), 0, atol=1e-30)
    np.testing.assert_allclose(scaling.scale_block(scaler, x), 0, atol=1e-30)  # and no warning


def test_an_infinite_value_gives_no_warning_while_a_block_is_scaled() -> None:
    x = np.array([[1.0], [2.0], [np.inf]], np.float32)
    assert np.isnan(scaling.scale_block(scaling.feature_scaler(x), x)).all()  # as inf / inf


def test_the_tails_are_cut_in_new_rows_too() -> None:
    scaler = scaling.feature_scaler(np.array([[-1.0], [1.0]], np.float32))
    scaled = scaling.scale(scaler, jnp.array([[-50.0], [2.0], [50.0]]))
    np.testing.assert_array_equal(scaled[:, 0], [-4, 2, 4])


def test_float16_is_measured_and_scaled_in_float32() -> None:
    x = np.random.default_rng(0).normal(100, 3, (4000, 1)).astype(np.float16)
    scaler = scaling.feature_scaler(x)
    scaled = scaling.scale(scaler, jnp.asarray(x))
    assert scaled.dtype == jnp.float32
    # 4,000 × 100 overflows a float16 sum; NumPy in float64 is the reference
    np.testing.assert_allclose(scaler.mean, x.astype(np.float64).mean(axis=0), rtol=1e-6)


def test_numpy_scales_a_block_as_the_head_does() -> None:
    x = np.random.default_rng(0).normal(1, 3, (500, 7)).astype(np.float16)
    x[3, -1] = np.nan  # a side column without a value
    x[4, 0] = 100  # to be cut
    fill = np.array([np.nan] * 6 + [0.25], np.float32)
    scaler = scaling.feature_scaler(np.nan_to_num(x))._replace(fill=fill)
    of_jax = jax.jit(scaling.scale)(scaler, x)
    found = scaling.scale_block(scaler, x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, of_jax, rtol=0, atol=5e-7)
    assert of_jax[3, -1] == 0.25
    assert np.abs(of_jax).max() == scaling.LIMIT


def test_target_scaling_is_undone_exactly_enough_and_cuts_nothing() -> None:
    y = np.array([[1.0, 7.0], [2.0, 7.0], [900.0, 7.0]])
    scaler = scaling.target_scaler(y)
    assert scaler.std[1] == 1
    np.testing.assert_allclose(scaler.std[0], np.std([1, 2, 900]), rtol=1e-6)
    scaled = scaling.scale_targets(scaler, y * 50)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaling.targets_of(scaler, scaled), y * 50, rtol=1e-6)


def test_identity_changes_nothing() -> None:
    x = jnp.array([[1e9, -3.0]])
    np.testing.assert_array_equal(scaling.scale(scaling.identity_scaler(2), x), x)
    plain = scaling.unscaled_targets(2)
    np.testing.assert_array_equal(scaling.scale_targets(plain, np.asarray(x)), x)
    np.testing.assert_array_equal(scaling.targets_of(plain, x), x)
