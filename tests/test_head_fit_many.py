"""Several trainings as one program: each comes to what it comes to alone."""

import jax
import numpy as np
import pytest

from jaxreg.head import fit, fit_many
from jaxreg.head.state import Data, History, Rows, State, init_state, prepare
from jaxreg.train_config import HeadConfig

SETTINGS = {"hidden": (8, 8), "batch_size": 16, "epochs": 6, "learning_rate": 1e-2}
SETTINGS |= {"huber_delta": 0.5, "min_delta": 3e-4}
NO_VIEWS = np.zeros(1, np.int32)


def folds(sizes: list[int], seed: int = 0) -> list[Data]:
    """Trainings on other rows of one table: the first `size` rows, the last 20 validate."""
    rng = np.random.default_rng(seed)
    x = rng.normal(2, 3, (100, 5)).astype(np.float32)
    y = (x @ rng.normal(size=(5, 1)) + rng.normal(size=(100, 1))).astype(np.float32)
    validation = Rows.of(np.arange(80, 100))
    same = validation, NO_VIEWS, np.ones_like(y)
    return [Data(x, y, Rows.of(np.arange(size)), *same) for size in sizes]


def alone(configs: list[HeadConfig], each: list[Data]) -> list[tuple[State, History]]:
    found = []
    for config, data in zip(configs, each, strict=True):
        state = init_state(config, data)
        rows = prepare(config, state, data)
        found.append(fit.make_fit(config)(state, rows, config.epochs))
    return found


def as_one(
    configs: list[HeadConfig], each: list[Data], together: bool, chunk: int = 6
) -> tuple[State, History]:
    states = [init_state(config, data) for config, data in zip(configs, each, strict=True)]
    projected = [
        prepare(config, state, data)
        for config, state, data in zip(configs, states, each, strict=True)
    ]
    run, state = fit_many.make_fit(configs, together=together), fit_many.stack(states)
    data, history = fit_many.stack_data(projected), None
    for until in range(chunk, configs[0].epochs + 1, chunk):
        state, written = run(state, data, until)
        written = jax.device_get(written)
        history = written if history is None else jax.tree.map(_filled, history, written)
    assert history is not None
    return state, history


def _filled(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(before), after, before)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("components", [None, 3])
def test_folds_of_any_length_come_to_what_each_comes_to_alone(
    together: bool, components: int | None
) -> None:
    config = HeadConfig(**SETTINGS, components=components)
    each = folds([33, 64, 80])  # 3, 4 and 5 batches, the first partial
    expected = alone([config] * 3, each)
    state, history = as_one([config] * 3, each, together)
    assert state.step.tolist() == [6 * 3, 6 * 4, 6 * 5]
    for i, (own, curve) in enumerate(expected):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            fit_many.member(history, i),
            curve,
        )
        np.testing.assert_allclose(state.best_loss[i], own.best_loss, rtol=1e-4)


@pytest.mark.parametrize("together", [False, True])
def test_seeds_differ_and_each_is_the_run_of_that_seed(together: bool) -> None:
    configs = [HeadConfig(**SETTINGS, seed=seed) for seed in (4, 5)]
    each = folds([80]) * 2
    state, history = as_one(configs, each, together)
    for i, (own, curve) in enumerate(alone(configs, each)):
        np.testing.assert_allclose(history.val_loss[i], curve.val_loss, rtol=1e-4)
        assert int(state.best_epoch[i]) == int(own.best_epoch)
    assert abs(history.val_loss[0] - history.val_loss[1]).min() > 1e-3


def test_one_after_another_a_member_has_the_bits_of_the_run_alone_in_any_chunk() -> None:
    config = HeadConfig(**SETTINGS)
    each = folds([33, 80])
    whole = as_one([config] * 2, each, together=False)
    chunks = as_one([config] * 2, each, together=False, chunk=2)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(whole), jax.device_get(chunks))
    for i, own in enumerate(alone([config] * 2, each)):
        jax.tree.map(
            np.testing.assert_array_equal,
            jax.device_get((fit_many.member(whole[0], i), fit_many.member(whole[1], i))),
            jax.device_get(own),
        )


@pytest.mark.parametrize("together", [False, True])
def test_a_member_that_has_stopped_stands_still_while_others_go_on(together: bool) -> None:
    # nothing improves by 1e3: it stops after two epochs; the loss of the other is not finite
    changed = {"patience": 1, "min_delta": 1e3, "scale_features": False}
    config = HeadConfig(**SETTINGS | changed)
    data = folds([80])[0]
    broken = data.y.copy()
    broken[5] = np.nan
    y = np.concatenate([data.y, broken])
    x = np.concatenate([data.x, data.x])
    good = Data(x, y, data.train, data.validation, NO_VIEWS, np.ones_like(y))
    bad = good._replace(train=Rows.of(np.arange(100, 180)))
    state, history = as_one([config] * 2, [good, bad], together)
    assert state.epoch.tolist() == [2, 1]
    assert (state.stopped.tolist(), state.finite.tolist()) == ([True, False], [True, False])
    assert np.isnan(history.learning_rate).tolist() == [
        [False] * 2 + [True] * 4,
        [False] + [True] * 5,
    ]


def test_a_view_is_drawn_for_each_row_and_epoch() -> None:
    rows, views = Rows.of(np.arange(3, 403), 500), np.array([0, 1000], np.int32)
    key = init_state(HeadConfig(**SETTINGS), folds([80])[0]).key
    order = jax.jit(fit.order_of)
    drawn = [np.asarray(order(key, np.int32(e), rows, views).numbers) for e in range(2)]
    plain = np.asarray(order(key, np.int32(0), rows, NO_VIEWS).numbers)
    np.testing.assert_array_equal(drawn[0][:400] % 1000, plain[:400])
    np.testing.assert_array_equal(np.sort(plain[:400]), np.arange(3, 403))
    of_row = [dict(zip(d[:400] % 1000, d[:400] // 1000, strict=True)) for d in drawn]
    assert 150 < sum(of_row[0].values()) < 250  # 200 ± 10 expected: five std
    assert 150 < sum(of_row[0][r] != of_row[1][r] for r in of_row[0]) < 250
