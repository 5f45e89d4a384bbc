"""What the checks look at: a finished training, and what is computed from it once for all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from jaxreg import metrics
from jaxreg.conformal import Coverage
from jaxreg.head import scaling
from jaxreg.head.apply import Activations, activations
from jaxreg.head.state import State
from jaxreg.side_columns import NO_SIDE, SideColumns
from jaxreg.target_types import TargetType, center_and_std, difference
from jaxreg.train_config import TrainConfig
from jaxreg.verdict.finding import Compared
from jaxreg.verdict.one_target import each_target
from jaxreg.verdict.sampling import mean_and_std_of_rows, standardized
from jaxreg.verdict.shared_property import shared
from jaxreg.verdict.short_training import FACTORS, NEAR, Probe, Rows, has_decayed, run_probe
from jaxreg.verdict.small_ridge import small_ridge

WORSE_THAN_RIDGE = 1.25  # times the ridge's error: such a run is examined further


@dataclass(frozen=True)
class Observed:
    """A finished training. Rows are those of the dataset; errors are in target units.

    Errors of several targets have no common unit. So `gain`, `mae` and the other errors exist only
    where there is one target; elsewhere they raise ValueError, and `each` has them.
    """

    targets: tuple[str, ...]
    config: TrainConfig
    asked: Mapping[str, Any]  # the settings that somebody said, which a remedy repeats
    words: tuple[str, ...]  # of the command that trains: the dataset's name, --cache and its folder
    extract: str  # the command that made the features
    extract_trained: str  # the same with ImageNet's weights; "" without random weights
    diagnose: str  # the command that tests the dataset
    y: np.ndarray  # (rows, targets) float64, NaN where there is none
    weights: np.ndarray  # (rows, targets) as `entry_weights`
    predictions: np.ndarray  # (rows, targets), with the best weights
    labels: np.ndarray  # (rows,) train, validation, test or left-out
    digests: Sequence[str]  # (rows,) of the images or embeddings
    sequence: np.ndarray  # (rows,) int, which sequence a row belongs to
    order: np.ndarray  # (rows,) int, its place in that
    sequential: bool  # neighbours in the order are consecutive frames
    split: str  # resolved, as blocks:10
    units: int  # how many parts of the rows it can hold out, as `Split.units`
    sampled: np.ndarray  # row numbers, rising, as `sampling.choose_rows` gives them
    x: np.ndarray  # (sampled, columns) features as stored, and side columns after them
    history: Mapping[str, np.ndarray]  # loss, val_loss, val_mae, learning_rate, one per epoch
    state: State  # after the last epoch, on the host
    ridge: np.ndarray | None  # (rows, targets), a ridge's predictions
    random_seed: int | None  # of random backbone weights
    side: SideColumns = NO_SIDE
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)  # (rows, targets), by name
    coverage: Mapping[str, Coverage] = field(default_factory=dict)  # by target; of pooled folds
    unit_of_row: np.ndarray | None = None  # (rows,) int, which of `unit_word`; None: rows alone
    unit_word: str = "rows"  # what rows that are alike come in: groups, blocks
    noun: str = "image"  # what the features are of; embedding, if none is of an image
    every_rate: bool = False  # whether `probe` tries the run's own rate in any case
    whole: "Observed | None" = None  # of one target of several: the training with all of them
    number: int = 0  # of this target in `whole`

    @cached_property
    def each(self) -> tuple["Observed", ...]:
        """The training as that of each target alone, on its own rows; see `each_target`."""
        return each_target(self)

    @property
    def types(self) -> tuple[TargetType, ...]:
        """The type of each target."""
        return self.config.target_types(len(self.targets))

    def difference(self, predictions: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(rows, targets) predictions less targets, in target units; around the circle."""
        return difference(self.types, predictions, y)

    @cached_property
    def learns(self) -> bool:
        """For each target the MAE is below the median predictor's by more than twice its error."""
        return all(one.compared.learns for one in self.each)

    @property
    def compared_by_target(self) -> dict[str, Compared]:
        """The errors that the headline compares."""
        return {one.targets[0]: one.compared for one in self.each}

    @cached_property
    def compared(self) -> Compared:
        """The errors that the headline compares."""
        return Compared(self.mae, self.median_mae, self.ridge_mae, self.gain, self.gain_error)

    @cached_property
    def bootstrap(self) -> tuple[float, float]:
        """Validation MAE of the training median less the run's; its std over bootstrap draws."""
        return self.gain_over(self.median_for(self.validation), self.predictions[self.validation])

    def gain_over(self, baseline: np.ndarray, predictions: np.ndarray) -> tuple[float, float]:
        """`metrics.bootstrap_gain` for the validation rows of one target."""
        y, kind = self.y[self.validation], self.types[0]
        return metrics.bootstrap_gain(y, predictions, baseline, self.runs, kind=kind)

    @cached_property
    def gain(self) -> float:
        """Validation MAE of the training median less the run's."""
        return self.bootstrap[0]

    @cached_property
    def gain_error(self) -> float:
        """The std of `gain` over bootstrap draws."""
        return self.bootstrap[1]

    @property
    def epochs(self) -> int:
        """Number of epochs that were trained."""
        return len(self.history["loss"])

    @cached_property
    def train(self) -> np.ndarray:
        """Row numbers."""
        return np.flatnonzero(self.labels == "train")

    @cached_property
    def validation(self) -> np.ndarray:
        """Row numbers of the validation rows."""
        return np.flatnonzero(self.labels == "validation")

    @property
    def trained(self) -> np.ndarray:
        """Row numbers that trained; in pooled predictions of folds, every row."""
        return self.train if len(self.train) else self.validation

    @property
    def runs(self) -> np.ndarray | None:
        """Which validation rows are neighbours in time, as numbers of runs; None: none are."""
        if not self.sequential:
            return None
        return metrics.runs_of_rows(self.sequence[self.validation], self.order[self.validation])

    @cached_property
    def finite(self) -> bool:
        """Whether all predictions of the validation rows are finite."""
        return bool(np.isfinite(self.predictions[self.validation]).all())

    @cached_property
    def errors(self) -> np.ndarray:
        """(rows,) absolute errors. With several targets their mean, each divided by its std.

        NaN for a row without a target.
        """
        unit = np.ones(1) if len(self.targets) == 1 else self.std
        size = np.abs(self.difference(self.predictions, self.y)) / unit
        known = ~np.isnan(self.y)
        total = np.where(known, size, 0.0).sum(axis=1)
        return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)

    @cached_property
    def std(self) -> np.ndarray:
        """(targets,) of the training rows; 1 where they are constant."""
        _, std = center_and_std(self.types, self.y[self.trained])
        return np.where(std == 0, 1.0, std)

    @cached_property
    def mae(self) -> float | None:
        """On the validation rows; None if a prediction is not finite."""
        return self._mae(self.predictions, self.validation)

    @cached_property
    def train_mae(self) -> float | None:
        """On the training rows, with the same weights."""
        return self._mae(self.predictions, self.train)

    @cached_property
    def median(self) -> np.ndarray:
        """(targets,) of the training rows, by their weights; the circular mean of an angle."""
        own, weights = self.y[self.trained], self.weights[self.trained]
        return metrics.constant_baselines(own, 1, weights, self.types)["median"][0]

    @cached_property
    def median_mae(self) -> float:
        """Of predicting the training median for the validation rows."""
        everywhere = np.broadcast_to(self.median, self.y.shape)
        return self._mae(everywhere, self.validation) or 0.0  # a median is finite

    def median_for(self, rows: np.ndarray) -> np.ndarray:
        """(rows, targets) the training median for each of these rows."""
        return np.broadcast_to(self.median, (len(rows), len(self.targets)))

    @cached_property
    def ridge_mae(self) -> float | None:
        """On the validation rows; None where there is no ridge, or the run is one."""
        if self.ridge is None or self.config.head == "ridge":
            return None
        return self._mae(self.ridge, self.validation)

    def _mae(self, predictions: np.ndarray, rows: np.ndarray) -> float | None:
        if len(self.targets) != 1:
            raise ValueError(f"{len(self.targets)} targets: errors of several have no common unit")
        if not np.isfinite(predictions[rows]).all():
            return None
        return float(np.abs(self.difference(predictions[rows], self.y[rows])).mean())

    @cached_property
    def sample_train(self) -> np.ndarray:
        """Places in `sampled` of the training rows."""
        return np.flatnonzero(self.labels[self.sampled] == "train")

    @cached_property
    def sample_validation(self) -> np.ndarray:
        """Places in `sampled` of the validation rows."""
        return np.flatnonzero(self.labels[self.sampled] == "validation")

    @cached_property
    def sample_y(self) -> np.ndarray:
        """(sampled, targets)."""
        return self.y[self.sampled]

    @property
    def features(self) -> np.ndarray:
        """(sampled, features) as stored, without the side columns."""
        return self.x[:, : self.x.shape[1] - self.side.width]

    @property
    def sides(self) -> tuple[Rows, Rows]:
        """The sampled training rows, and the sampled validation rows."""
        of = self.x, self.sample_y, self.weights[self.sampled]
        train, validation = self.sample_train, self.sample_validation
        return Rows(*(part[train] for part in of)), Rows(*(part[validation] for part in of))

    @shared
    def inputs(self) -> np.ndarray:
        """(sampled, inputs) features as they reach the first layer."""
        return scaling.scale_rows(self.state.scalers.features, self.x)

    @shared
    def mean_and_std(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and std (columns,) of the sampled training rows' features."""
        return mean_and_std_of_rows(self.features[self.sample_train])

    @shared
    def standard(self) -> np.ndarray:
        """(sampled, columns) in std of the sampled training rows, not clipped; 0 where constant."""
        return standardized(self.features, *self.mean_and_std)

    @shared
    def last_activations(self) -> Activations:
        """Every layer for the sampled training rows, with the weights of the last epoch."""
        rows = self.x[self.sample_train]
        return activations(self.state.params, self.state.scalers, self.config, rows)

    @property
    def behind(self) -> bool:
        """Whether the run does not learn some target, or a ridge is clearly better for one."""
        if len(self.targets) > 1:
            return any(one.behind for one in self.each)
        if not self.learns or self.mae is None:
            return True
        return self.ridge_mae is not None and self.mae > WORSE_THAN_RIDGE * self.ridge_mae

    @cached_property
    def bounded(self) -> bool:
        """Whether the output is a relu and some training targets are below 0."""
        return self.config.output_activation == "relu" and bool((self.y[self.train] < 0).any())

    @shared
    def probe(self) -> Probe | None:
        """A few hundred steps at other learning rates; None where the run is not `behind`."""
        usable = len(self.sample_train) > 1 and len(self.sample_validation) > 0
        if not self.behind or self.config.head == "ridge" or not usable:
            return None
        of = self.config, self.bounded, self.state.scalers, self.state.best_params, *self.sides
        own = self.every_rate or bool(self.state.stopped) or self.has_decayed
        return run_probe(*of, NEAR if self.learns else FACTORS, own=own)

    @property
    def has_decayed(self) -> bool:
        """Whether the run ended at a rate far below its first."""
        return has_decayed(self.history["learning_rate"], self.config.learning_rate)

    @cached_property
    def sample_ridge(self) -> np.ndarray:
        """(sampled validation rows, targets) of a ridge fitted on the sampled training rows."""
        if self.whole is not None:
            own = np.isin(self.whole.sample_validation, self.sample_validation)
            return self.whole.sample_ridge[own, self.number : self.number + 1]
        train, asked = self.sides
        return small_ridge(train.x, train.y, asked.x, self.types, self.side, train.weights)

    @property
    def linear(self) -> tuple[np.ndarray, np.ndarray]:
        """Validation rows, and predictions (rows, targets) of the ridge or of a small one there."""
        if self.ridge is not None:
            return self.validation, self.ridge[self.validation]
        return self.sampled[self.sample_validation], self.sample_ridge
