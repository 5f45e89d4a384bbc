"""The members of a run: a training for each fold, finalist and seed, each with its ridge."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from jaxreg.cache.lazy_features import rows_in_place
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.side_baselines import side_baselines
from jaxreg.head import scaling
from jaxreg.head.apply import predict_outputs
from jaxreg.head.scaling import Scalers
from jaxreg.head.stand_in import even_share
from jaxreg.head.target_outputs import decode, encode, of_outputs, of_targets, target_of_output
from jaxreg.head.target_ridges import Solved, left_out, solve_targets
from jaxreg.splits.held_out_groups import HeldOutGroup, some_of
from jaxreg.target_types import difference
from jaxreg.train_config import HeadConfig, TrainConfig

FEW = 40  # validation groups: with more of them, nothing else need say what a blend should be
WIDEST = 3072  # rows or columns, the fewer of both: the time of a ridge grows with the cube


@dataclass(frozen=True)
class RidgeBaseline:
    """A ridge on all columns, solved before the first epoch, and its predictions."""

    solved: Solved
    rows: np.ndarray  # that it was solved on: in a fold the validation rows too
    groups: list[HeldOutGroup] | None  # of these rows, on which its alpha was chosen
    predictions: np.ndarray  # (rows, targets) of all rows of the dataset, target units
    out_of_fold: (
        np.ndarray | None
    )  # in a fold: (rows, outputs), validation rows without their group
    validation_groups: int  # number of groups of the validation rows; counted for a blend
    even: np.ndarray | None  # (outputs,) of a blend with few of them: `stand_in.even_share`
    beside: Mapping[str, np.ndarray]  # with side columns: what `side_baselines` predicts
    seconds: float  # without what `beside` took


def fit_ridge(
    experiment: Experiment, *, in_fold: bool, compare_side: bool = True
) -> RidgeBaseline | None:
    """Fit the ridge; None where it would take long and no head needs it.

    With `compare_side`, a run with side columns also gets `side_baselines`.
    """
    begin = time.perf_counter()
    config, x, y = experiment.config, experiment.x, experiment.y
    train, validation = experiment.rows("train"), experiment.rows("validation")
    needed = config.head != "mlp" or config.components is not None
    small = min(len(train), x.shape[1]) <= WIDEST
    quick = small and experiment.placement.kind == "device"
    if not isinstance(x, np.ndarray) or not (needed or quick):
        return None
    scaler = scaling.feature_scaler(rows_in_place(x, train), experiment.side)
    both = np.union1d(train, validation)
    rows = both if in_fold else train
    own_x = rows_in_place(x, rows)
    groups = experiment.groups(rows)
    types, components = experiment.types, config.components is not None
    weights, same = of_outputs(types, experiment.weights), target_of_output(types)
    y = encode(types, y)
    solved = solve_targets(
        scaler, own_x, y[rows], weights[rows], some_of(groups), same, components=components
    )
    scalers = Scalers(scaler, scaling.target_scaler(y[train]))
    linear = HeadConfig(head="ridge", target_type=config.target_type)
    outputs = predict_outputs(solved.head(scalers), scalers, linear, x)
    out_of_fold, held_out, even = None, [], None
    if config.head == "blend":
        of_both = groups if in_fold else experiment.groups(both)
        held_out = _with_validation_rows(of_both, both, validation)
    if held_out and in_fold:
        without = left_out(solved, own_x, y[rows], held_out)
        out_of_fold = outputs.copy()
        held = without[np.searchsorted(rows, validation)]
        out_of_fold[validation] = np.where(np.isnan(held), outputs[validation], held)
    if 0 < len(held_out) < FEW and len(rows) <= WIDEST:
        even = even_share(solved, own_x, y[rows], weights[rows], groups, types)
    beside, seconds = {}, time.perf_counter() - begin
    if experiment.side and compare_side:
        beside = side_baselines(solved, scalers.target, x, y, weights, rows, some_of(groups), types)
    predictions = decode(types, outputs)
    found = solved, rows, some_of(groups), predictions, out_of_fold, len(held_out), even, beside
    return RidgeBaseline(*found, seconds=seconds)


def _with_validation_rows(
    groups: list[HeldOutGroup] | None, rows: np.ndarray, validation: np.ndarray
) -> list[HeldOutGroup]:
    """The groups that have a validation row; they hold places among `rows`."""
    places = np.searchsorted(rows, validation)
    if groups is None:
        return [HeldOutGroup(np.array([place]), np.array([True])) for place in places]
    return [group for group in groups if np.isin(group.rows[group.scored], places).any()]


@dataclass(frozen=True)
class Member:
    """One training of a run."""

    fold: int | None  # from 0
    seed: int
    experiment: Experiment  # with the split and the settings of this training
    baseline: RidgeBaseline | None
    finalist: int | None = None  # from 0; None where there are not several

    @property
    def config(self) -> TrainConfig:
        """The run's settings with the numbers and the seed of this training."""
        return self.experiment.config

    @property
    def scored(self) -> np.ndarray:
        """The rows that its scores are of: its fold, or the validation rows."""
        return self.experiment.rows("validation" if self.fold is None else "test")

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a line of history.csv is of this training; one without labels is of any."""
        return all(int(row.get(name, value)) == value for name, value in self.label.items())

    @property
    def label(self) -> dict[str, int]:
        """Its name in history.csv and summary.json."""
        numbers = {"fold": self.fold, "finalist": self.finalist, "seed": self.seed}
        return {name: number for name, number in numbers.items() if number is not None}


def make_members(experiment: Experiment) -> Iterator[Member]:
    """One training of the run after the other, fold by fold, each fold with its ridge.

    Raises:
        InputError: more components than the rows of some fold vary in.
    """
    config, finalists = experiment.config, experiment.finalists
    for fold in range(len(experiment.folds)) if experiment.folds else [None]:
        own = experiment if fold is None else experiment.fold(fold)
        baseline = fit_ridge(own, in_fold=fold is not None)
        if baseline is not None and config.components is not None:
            baseline.solved.eigen.check(config.components)
        seeds = range(config.seed, config.seed + config.seeds)
        for (number, numeric), seed in product(enumerate(finalists or ({},)), seeds):
            its = replace(own, config=replace(own.config, **numeric, seed=seed, seeds=1))
            yield Member(fold, seed, its, baseline, number if len(finalists) > 1 else None)


def ridge_text(members: tuple[Member, ...]) -> str:
    """The score of the ridge for each target, for people; with folds, on all held-out rows."""
    baselines = {member.fold: (member.baseline, member) for member in members}
    errors, seconds, alphas = [], 0.0, np.zeros(0)
    for baseline, member in baselines.values():
        if baseline is None:
            return "left out, slow or large here (--head ridge solves it)"
        rows = member.scored
        types, y = member.experiment.types, member.experiment.y[rows]
        errors.append(np.abs(difference(types, baseline.predictions[rows], y)))
        seconds += baseline.seconds
        alphas = of_targets(types, baseline.solved.alphas)
    names, folds = members[0].experiment.targets, len(baselines)
    maes = np.nanmean(np.concatenate(errors), axis=0)
    texts = [
        f"{f'{name} ' * (len(names) > 1)}MAE {mae:.3g}"
        + (f" (validation), alpha {alpha:.3g}" if folds == 1 else "")
        for name, mae, alpha in zip(names, maes, alphas, strict=True)
    ]
    of = f", {folds} folds" if folds > 1 else ""
    return f"{'; '.join(texts)}{of}, {seconds:.1f} s"
