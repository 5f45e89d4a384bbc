"""Lanes: each comes to what its training alone comes to, whatever runs beside it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

import jaxreg
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.lazy_features import read_rows
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.experiment.arrays import load_experiment
from jaxreg.experiment.members import Member, make_members
from jaxreg.experiment.resolve import resolve
from jaxreg.head import fit, losses
from jaxreg.head.apply import predict_rows
from jaxreg.head.state import State
from jaxreg.training import lanes
from jaxreg.training.lanes import Lanes
from jaxreg.training.member_data import data_of, first_states, prepare_all

QUICK: dict[str, Any] = {"hidden": (16, 8), "epochs": 6, "learning_rate": 0.01, "batch_size": 16}
NUMBERS: list[dict[str, Any]] = [
    {},
    {"learning_rate": 0.003, "dropout": 0.5, "seed": 4},
    {"weight_decay": 0.1, "decay_steps": 20, "decay_rate": 0.5, "patience": 2, "min_delta": 1e3},
]
"""Each number that a lane may have for itself; the last stops after three epochs."""


def members_of(root: Path, numbers: Sequence[dict] = NUMBERS, **options) -> list[Member]:
    """A member for each fold and each of these numbers."""
    cache = Cache(root)
    asked = {**QUICK, "folds": 3, **options}
    experiment = load_experiment(resolve(cache, read_dataset(cache, "planted"), asked))
    return [with_numbers(one, **own) for one in make_members(experiment) for own in numbers]


def with_numbers(member: Member, **numbers) -> Member:
    experiment = member.experiment
    own = replace(experiment, config=replace(experiment.config, **numbers))
    return replace(member, experiment=own, seed=own.config.seed)


def alone(member: Member, epochs: int) -> State:
    """The state of a training of its own, without any room that its rows do not need."""
    data = data_of([member])
    states = first_states([member], data)
    rows = prepare_all([member], states, data)[0]
    return jax.device_get(fit.make_fit(member.config)(states[0], rows, epochs)[0])


def assert_same_bits(one: object, other: object) -> None:
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(one), jax.device_get(other))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"components": 4},
        {"head": "blend", "components": 4},
        {"target": ("angle", "speed"), "hidden": (8,)},
    ],
)
def test_a_lane_ends_with_the_bits_of_its_training_alone(planted: Path, options: dict) -> None:
    members = members_of(planted, **options)
    run = Lanes(members, (200, 100))
    assert run.run(2)
    assert [int(state.epoch) for state in run.states] == [2] * 9
    places = [8, 0, 4, 5]  # other lanes end here, and these go on in another order
    run.keep(places)
    run.run(100)
    assert [int(state.epoch) for state in run.states] == [3, 6, 6, 3]
    assert [bool(state.stopped) for state in run.states] == [True, False, False, True]
    for place, state in zip(places, run.states, strict=True):
        assert_same_bits(state, alone(members[place], 6))


def test_under_vmap_lanes_come_to_the_same(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = members_of(planted, head="blend", components=4)
    expected = [alone(member, 6) for member in members]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(lanes, "_most_together", lambda going: 4)  # nine in batches of 4, 4 and 1
    run = Lanes(members, (200, 100))
    run.run(2)
    run.run(6)
    assert [int(state.epoch) for state in run.states] == [6, 6, 3] * 3
    for one, other in zip(run.states, expected, strict=True):
        np.testing.assert_allclose(one.best_loss, other.best_loss, rtol=1e-4)
    assert min(run.seconds) > 0


def test_predictions_are_those_of_the_best_weights(planted: Path) -> None:
    for options in ({"output_activation": "relu"}, {"head": "blend", "components": 4}):
        members = members_of(planted, NUMBERS[:2], **options)
        run = Lanes(members)
        run.run(4)
        rows = [member.experiment.rows("test") for member in members]
        for state, member, own, found in zip(
            run.states, members, rows, run.predict(rows), strict=True
        ):
            x = read_rows(member.experiment.x, own)
            expected = predict_rows(state.best_params, state.scalers, member.config, x)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_lane_predicts_as_the_run_with_its_settings(planted: Path) -> None:
    numbers = {"learning_rate": 0.02, "dropout": 0.1, "weight_decay": 0.01}
    given: dict[str, Any] = {**QUICK, **numbers, "validation": 0.25, "cache": planted}
    path = jaxreg.train_head("planted", ckpts=planted.parent / "ckpts", **given).path
    trained = pq.read_table(path / "predictions.parquet")["prediction.angle"].to_numpy()
    members = members_of(planted, [numbers], folds=None, validation=0.25)
    run = Lanes(members)
    run.run(QUICK["epochs"])
    found = run.predict([np.arange(240)])[0]
    np.testing.assert_allclose(found[:, 0], trained, rtol=1e-6, atol=1e-6)


def test_other_numbers_folds_and_rungs_compile_nothing(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced, huber = [], losses.huber

    def counting(*args):
        traced.append(1)
        return huber(*args)

    monkeypatch.setattr(losses, "huber", counting)
    members = members_of(planted, NUMBERS[:1], hidden=(7, 9))  # a shape of no other test
    Lanes(members[:1], (200, 100)).run(1)
    first = len(traced)
    assert first > 0
    others = members_of(planted, NUMBERS, hidden=(7, 9), folds=4)
    run = Lanes(others, (200, 100))
    run.run(2)
    run.keep([1, 3])
    run.run(6)
    assert len(traced) == first


def test_a_loss_that_is_not_finite_ends_its_lane_alone(planted: Path) -> None:
    members = members_of(planted, [{}, {"learning_rate": 1e30}])[:2]
    run = Lanes(members)
    run.run(3)
    good, bad = run.states
    assert (bool(good.finite), int(good.epoch)) == (True, 3)
    assert (bool(bad.finite), int(bad.epoch) < 3) == (False, True)
    before = int(bad.epoch)
    run.run(6)
    assert [int(state.epoch) for state in run.states] == [6, before]


def test_a_run_that_is_told_to_stop_goes_on_later(planted: Path) -> None:
    members = members_of(planted)
    answers = iter([False, False, True])
    run = Lanes(members)
    assert not run.run(6, lambda: next(answers))
    assert sum(int(state.epoch) for state in run.states) < 6 * len(members)
    assert run.run(6)
    for place in (0, 8):
        assert_same_bits(run.states[place], alone(members[place], 6))


def test_features_in_host_memory_train_lanes_too(planted: Path) -> None:
    members = members_of(planted, NUMBERS[:2], memory_limit="30kB")
    assert members[0].experiment.placement.kind == "host"
    run = Lanes(members[:2])
    run.run(6)
    for member, state in zip(members, run.states, strict=False):
        assert_same_bits(state, alone(member, 6))
    rows = members[0].experiment.rows("test")
    assert [len(found) for found in run.predict([rows, rows[:5]])] == [len(rows), 5]


def test_several_architectures_or_too_little_memory_are_refused(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = members_of(planted, [{}, {"hidden": (4,)}])
    with pytest.raises(ValueError, match="2 architectures"):
        Lanes(members)
    monkeypatch.setattr(lanes, "free_memory", lambda: 1e4)
    with pytest.raises(InputError, match=r"3 heads at once take .*kB, and 8 kB are free"):
        Lanes(members[::2])
