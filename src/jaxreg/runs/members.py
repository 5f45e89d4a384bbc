"""The trainings of a run: one, or one for each fold and seed."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxreg.config import TrainConfig
from jaxreg.runs.bar import Bar, measure
from jaxreg.runs.experiment import Experiment


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
            bar.solved.spectrum.check(config.components)
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
    errors, seconds, strengths = [], 0.0, ""
    for bar, member in bars.values():
        if bar is None:
            return "left out, slow or large here (--head ridge solves it)"
        rows = member.scored
        errors.append(np.abs(bar.predictions[rows] - member.experiment.y[rows]).mean())
        seconds += bar.seconds
        strengths = ", ".join(f"{strength:.3g}" for strength in bar.solved.ridge.strengths)
    if len(bars) == 1:
        return f"MAE {errors[0]:.3g} (validation), strength {strengths}, {seconds:.1f} s"
    return f"MAE {np.mean(errors):.3g}, mean of {len(bars)} folds, {seconds:.1f} s"
