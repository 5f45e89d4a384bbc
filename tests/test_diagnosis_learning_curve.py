"""The learning curve: it counts rows, or the groups and blocks that they come in."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from faults.made import TUNING, photos, train
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.diagnosis import pictures, trials
from jaxreg.diagnosis.learning_curve import DRAWS, LEAST_UNITS, learning_curve, power_law
from jaxreg.diagnosis.subject import of_run
from jaxreg.experiment.row_units import row_units
from jaxreg.verdict.finding import more_rows
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.short_training import Bench
from planted_runs import edit_dataset, run_quick

ROWS_OF_A_GROUP = 5


@pytest.fixture(scope="module")
def obs() -> Observed:
    return train(photos(TUNING, 100).set(epochs=3))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The rows that each training is asked for; its MAE is 0.1 + 2 / sqrt(number of groups)."""
    asked: list[np.ndarray] = []

    def run(self: Bench, *, rows: np.ndarray, rates: object) -> SimpleNamespace:
        asked.append(rows)
        return SimpleNamespace(mae=0.1 + 2 * len(np.unique(group_of(rows))) ** -0.5)

    monkeypatch.setattr(Bench, "run", run)
    return asked


def group_of(rows: np.ndarray) -> np.ndarray:
    """The group of a row of the bench."""
    return rows // ROWS_OF_A_GROUP


def in_groups(obs: Observed) -> Observed:
    """The sampled training rows as so many crops of one photograph each, and no others."""
    units = np.full(len(obs.y), -1)
    own = obs.sampled[obs.sample_train]
    units[own] = group_of(np.arange(len(own)))
    labels = obs.labels.copy()
    labels[np.setdiff1d(np.flatnonzero(labels == "train"), own)] = "left-out"
    return replace(obs, unit_of_row=units, unit_word="groups", labels=labels)


def test_a_curve_counts_groups_and_takes_whole_ones(obs: Observed, drawn: list) -> None:
    grouped = in_groups(obs)
    bench = trials.bench_of(grouped)
    trial = learning_curve(bench, grouped)
    assert trial is not None
    groups, sizes = len(np.unique(group_of(np.arange(len(bench.x))))), trial.numbers["sizes"]
    assert sizes[-1] == groups
    assert len(drawn) == DRAWS * (len(sizes) - 1) + 1  # all groups are drawn in one way only
    everything = np.arange(len(bench.x))
    for rows, size in zip(drawn, [*np.repeat(sizes[:-1], DRAWS), groups], strict=True):
        own = np.unique(group_of(rows))
        assert len(own) == size
        np.testing.assert_array_equal(rows, everything[np.isin(group_of(everything), own)])
    # of one draw, fewer groups are among more
    assert set(drawn[0]) <= set(drawn[DRAWS]) <= set(drawn[-1])
    # twice the groups, by the law that made the errors
    assert trial.numbers["double"] == pytest.approx(0.1 + 2 * (2 * groups) ** -0.5, rel=0.05)
    assert trial.answer.startswith(f"more groups would help: MAE {0.1 + 2 * sizes[0] ** -0.5:.3g}")
    assert f"on {2 * groups:,} and " in trial.answer
    assert trial.answer.endswith("More rows of the same groups are not more data")


def test_the_axis_of_its_picture_says_what_is_counted(
    obs: Observed, drawn: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: list[str] = []
    monkeypatch.setattr(pictures, "save", lambda made: labels.append(made.axes[0].get_xlabel()))
    for one in (in_groups(obs), obs):
        trial = learning_curve(trials.bench_of(one), one)
        assert trial is not None
        pictures.of_trial(trial)
    assert labels == ["training groups", "training rows"]


def test_too_few_groups_are_no_curve(obs: Observed, drawn: list) -> None:
    few = replace(obs, unit_of_row=np.arange(len(obs.y)) % (LEAST_UNITS - 1), unit_word="groups")
    trial = learning_curve(trials.bench_of(few), few)
    assert trial is not None
    assert trial.answer.startswith(f"the training rows come in {LEAST_UNITS - 1} groups, and a")
    assert drawn == []
    assert pictures.of_trial(trial) is None


def test_rows_that_stand_alone_are_counted_as_rows(obs: Observed) -> None:
    trial = learning_curve(trials.bench_of(obs), obs)
    assert trial is not None
    assert trial.numbers["counted"] == "rows"
    assert trial.numbers["sizes"] == trial.numbers["rows"]
    maes = trial.numbers["mae"]
    assert maes[-1] < maes[0]
    assert trial.numbers["tenfold"] <= trial.numbers["double"] <= maes[-1] * 1.05
    assert "groups" not in trial.answer


def test_the_power_law_is_found() -> None:
    sizes = np.array([50, 100, 200, 400, 800])
    floor, slope, power = power_law(sizes, 0.1 + 2.0 * sizes**-0.5)
    assert (floor, slope, power) == pytest.approx((0.1, 2.0, 0.5), rel=0.05)
    assert power_law(sizes, np.full(5, 0.3))[:2] == pytest.approx((0.3, 0.0), abs=1e-6)


def test_rows_come_in_groups_of_the_split_in_blocks_or_in_groups_of_the_dataset(
    planted: Path,
) -> None:
    """`planted` has 240 consecutive frames in two groups of 120, and a column `mode`."""

    def shape(split: str) -> tuple[int, str] | None:
        found = row_units(read_dataset(Cache(planted), "planted"), split)
        return found and (len(np.unique(found.numbers)), found.word)

    assert shape("group:mode") == (2, "groups")
    assert shape("group:frame") == (240, "groups")
    assert shape("blocks:6") == (12, "blocks")
    assert shape("tail") == shape("hash") == (20, "blocks")
    edit_dataset(planted, sequential=False)
    assert shape("hash") == (2, "groups")
    edit_dataset(planted, table=lambda known: known.table.drop_columns("group"))
    assert shape("hash") is None


def test_more_data_of_a_run_with_groups_is_other_groups(planted: Path) -> None:
    run = run_quick(planted, head="ridge", split="group:frame")
    seen = of_run(run.path, None, lambda text: None).obs
    assert more_rows(seen.unit_word, "image") == "more images of other groups"
    blocks = run_quick(planted, head="ridge", run="blocks")
    in_blocks = of_run(blocks.path, None, lambda text: None).obs
    assert more_rows(in_blocks.unit_word, "image") == "more images"
