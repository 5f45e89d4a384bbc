"""--loss and --weight-decay: units of the loss and thresholds, and what is compiled again."""

from typing import Any

import jax
import numpy as np
import pytest

from jaxreg.errors import InputError
from jaxreg.head import fit, losses
from jaxreg.head.apply import predict_rows
from jaxreg.head.rates import Rates
from jaxreg.head.state import Data, History, State, init_state, prepare
from jaxreg.merge_settings import merge, preset_settings
from jaxreg.train_config import HeadConfig

SMALL: dict[str, Any] = {"hidden": (8,), "dropout": 0.0, "batch_size": 16, "epochs": 4}
SMALL |= {"learning_rate": 1e-2}


def make_data() -> Data:
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, (80, 5)).astype(np.float32)
    y = 200 + 50 * (x @ rng.normal(size=(5, 1)) + rng.normal(size=(80, 1)))
    return Data.of(x[:60], y[:60], x[60:], y[60:])


def trained(config: HeadConfig, data: Data) -> tuple[State, History]:
    config = config.with_thresholds(data.y[:60].std(axis=0).tolist())
    state = init_state(config, data)
    return fit.make_fit(config)(state, prepare(config, state, data), config.epochs)


@pytest.mark.parametrize("kind", ["mse", "mae"])
def test_the_loss_is_in_target_units(kind: Any) -> None:
    data = make_data()
    config = HeadConfig(
        loss=kind, **{**SMALL, "epochs": 1, "batch_size": 80, "learning_rate": 1e-9}
    )
    _, history = trained(config, data)
    state = init_state(config, data)  # at such a rate nothing has moved
    error = predict_rows(state.params, state.scalers, config, data.x) - data.y
    each = np.square(error) if kind == "mse" else np.abs(error)  # the formula
    np.testing.assert_allclose(history.loss[0], each[:60].mean(), rtol=1e-4)
    np.testing.assert_allclose(history.val_loss[0], each[60:].mean(), rtol=1e-4)


@pytest.mark.parametrize(("kind", "power"), [("huber", 2), ("mse", 2), ("mae", 1)])
def test_min_delta_follows_the_unit_of_the_loss(kind: Any, power: int) -> None:
    config = HeadConfig(loss=kind).with_thresholds([50.0])
    assert config.min_delta is not None
    assert config.min_delta == pytest.approx(3e-4 * 50**power)
    scaler = init_state(config, make_data()).scalers.target
    std = float(np.asarray(scaler.std)[0])
    assert Rates.of(config, scaler).min_delta == pytest.approx(config.min_delta / std**power)
    assert HeadConfig(loss=kind).with_thresholds([50.0, 2.0]).min_delta == 3e-4


def test_another_unit_of_the_target_is_the_same_training() -> None:
    data = make_data()
    for kind in ("mse", "mae"):
        config = HeadConfig(loss=kind, **SMALL)
        (one, history), (other, times) = (
            trained(config, data._replace(y=data.y * factor)) for factor in (1, 1024)
        )
        for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
            np.testing.assert_array_equal(a, b)
        ratio = times.loss / history.loss
        np.testing.assert_allclose(ratio, 1024.0**config.power, rtol=1e-6)


def test_another_decay_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    plain = losses.huber
    monkeypatch.setattr(losses, "huber", lambda *args: traced.append(1) or plain(*args))
    data = make_data()
    config = {**SMALL, "hidden": (7,)}  # no other test has compiled it
    none, _ = trained(HeadConfig(**config), data)
    count = len(traced)
    assert count
    some, _ = trained(HeadConfig(**config, weight_decay=0.5), data)
    assert len(traced) == count
    assert jax.tree.structure(none.opt_state) == jax.tree.structure(some.opt_state)
    norms = [float(np.abs(state.params["output"]["kernel"]).sum()) for state in (none, some)]
    assert norms[1] < norms[0]


def test_a_delta_without_huber_is_refused() -> None:
    with pytest.raises(InputError, match=r"--huber-delta with --loss mse[\s\S]*leave --huber-de"):
        HeadConfig(loss="mse", huber_delta=1.0)
    with pytest.raises(InputError, match=r"--loss is l1[\s\S]*huber or mse or mae"):
        HeadConfig(loss="l1")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"--weight-decay is -0\.1"):
        HeadConfig(weight_decay=-0.1)


def test_another_loss_takes_the_place_of_the_delta_of_a_preset() -> None:
    said = merge(preset=preset_settings("question"), given={"loss": "mae"})
    assert "huber_delta" not in said
    assert merge(resumed={"huber_delta": 0.5}, given={"loss": "mse"})["huber_delta"] is None
