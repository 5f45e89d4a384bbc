"""The bar to beat: a ridge on the same features, solved before the first epoch."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxreg.experiment.arrays import Experiment
from jaxreg.head import scaling
from jaxreg.head.apply import predict_rows
from jaxreg.head.ridge import Solved, decompose, left_out, solve
from jaxreg.head.scaling import Scalers
from jaxreg.splits.held_out_groups import HeldOutGroup, some_of
from jaxreg.train_config import HeadConfig, TrainConfig

WIDEST = 3072  # rows or columns, the fewer of both: beyond, a bar is not worth its time, which
# grows with the cube


@dataclass(frozen=True)
class Bar:
    """A ridge on all columns, and what it says of every row of the dataset."""

    solved: Solved
    rows: np.ndarray  # that it was solved on: in a fold also what early stopping watches
    groups: list[HeldOutGroup] | None  # of these rows, what its alpha was judged on
    predictions: np.ndarray  # (rows, targets), target units
    honest: np.ndarray | None  # in a fold: the same, as if it had not seen a validation row's unit
    validation_groups: int  # how many units early stopping watches; counted for a blend
    seconds: float


def measure(experiment: Experiment, config: TrainConfig, *, in_fold: bool) -> Bar | None:
    """Fit the ridge; None where it would take long and no head needs it."""
    begin = time.perf_counter()
    train, validation, x = experiment.rows("train"), experiment.rows("validation"), experiment.x
    needed = config.head != "mlp" or config.components is not None
    small = min(len(train), x.shape[1]) <= WIDEST
    quick = small and experiment.placement.kind == "device"
    if not isinstance(x, np.ndarray) or not (needed or quick):
        return None
    scaler = scaling.feature_scaler(x[train])
    both = np.union1d(train, validation)
    rows = both if in_fold else train
    groups = experiment.groups(rows, config.gap)
    eigen = decompose(scaler, x[rows], experiment.y[rows])
    solved = Solved(eigen, solve(eigen, x[rows], experiment.y[rows], groups=some_of(groups)))
    scalers = Scalers(scaler, scaling.identity_scaler(experiment.y.shape[1]))
    head = eigen.head(solved.ridge, scalers)
    predictions = predict_rows(head, scalers, HeadConfig(hidden=()), x)
    honest, its = None, []
    if config.head == "blend":
        of_both = groups if in_fold else experiment.groups(both, config.gap)
        its = _validation(of_both, both, validation)
    if its and in_fold:
        told = left_out(solved, x[rows], experiment.y[rows], its)
        honest = predictions.copy()
        honest[validation] = told[np.searchsorted(rows, validation)]
    seconds = time.perf_counter() - begin
    return Bar(solved, rows, some_of(groups), predictions, honest, len(its), seconds)


def _validation(
    groups: list[HeldOutGroup] | None, rows: np.ndarray, validation: np.ndarray
) -> list[HeldOutGroup]:
    """The units, of numbers among these rows, that have a validation row."""
    places = np.searchsorted(rows, validation)
    if groups is None:
        return [HeldOutGroup(np.array([place]), np.array([True])) for place in places]
    return [group for group in groups if np.isin(group.rows[group.scored], places).any()]


@dataclass(frozen=True)
class Member:
    """One training."""

    fold: int | None  # from 0
    seed: int
    experiment: Experiment  # split as this training sees it
    config: TrainConfig  # with this training's seed
    bar: Bar | None

    @property
    def scored(self) -> np.ndarray:
        """The rows that its scores are of: its fold, or what validates."""
        return self.experiment.rows("validation" if self.fold is None else "test")

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a line of history.csv is of this training; one without labels is of any."""
        return all(int(row.get(name, value)) == value for name, value in self.label.items())

    @property
    def label(self) -> dict[str, int]:
        """What it is called in history.csv and summary.json."""
        return {**({} if self.fold is None else {"fold": self.fold}), "seed": self.seed}


def first_member(experiment: Experiment, config: TrainConfig) -> Member:
    """The first of the trainings that the settings ask for, with its ridge."""
    fold, its = (0, experiment.fold(0)) if experiment.folds else (None, experiment)
    own = dataclasses.replace(config, seeds=1)
    return Member(fold, config.seed, its, own, measure(its, config, in_fold=bool(experiment.folds)))


def make_members(experiment: Experiment, config: TrainConfig) -> tuple[Member, ...]:
    """All trainings that the settings ask for, fold by fold, each fold with its ridge.

    Raises:
        InputError: more components than some fold's rows vary in.
    """
    members = []
    for fold in range(len(experiment.folds)) if experiment.folds else [None]:
        its = experiment if fold is None else experiment.fold(fold)
        bar = measure(its, config, in_fold=fold is not None)
        if bar is not None and config.components is not None:
            bar.solved.eigen.check(config.components)
        for seed in range(config.seed, config.seed + config.seeds):
            own = dataclasses.replace(config, seed=seed, seeds=1)
            members.append(Member(fold, seed, its, own, bar))
    return tuple(members)


def number_of_members(config: TrainConfig) -> int:
    """How many trainings the settings ask for."""
    return (config.folds or 1) * config.seeds


def bar_text(members: tuple[Member, ...]) -> str:
    """What the ridge reaches, for people."""
    bars = {member.fold: (member.bar, member) for member in members}
    errors, seconds, alphas = [], 0.0, ""
    for bar, member in bars.values():
        if bar is None:
            return "left out, slow or large here (--head ridge solves it)"
        rows = member.scored
        errors.append(np.abs(bar.predictions[rows] - member.experiment.y[rows]).mean())
        seconds += bar.seconds
        alphas = ", ".join(f"{alpha:.3g}" for alpha in bar.solved.ridge.alphas)
    if len(bars) == 1:
        return f"MAE {errors[0]:.3g} (validation), alpha {alphas}, {seconds:.1f} s"
    return f"MAE {np.mean(errors):.3g}, mean of {len(bars)} folds, {seconds:.1f} s"
