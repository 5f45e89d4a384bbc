"""What the checks look at: a finished training, and what is computed from it once for all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from jaxreg.head import scaling
from jaxreg.head.apply import Activations, activations, predict_rows
from jaxreg.head.ridge import decompose, solve
from jaxreg.head.scaling import Scalers
from jaxreg.head.state import State
from jaxreg.train_config import HeadConfig, TrainConfig
from jaxreg.verdict.finding import Compared
from jaxreg.verdict.short_training import FACTORS, NEAR, Probe, Rows, run_probe

MOST = 1024  # rows that a small ridge is fitted on: its time grows with their cube
WORSE_THAN_RIDGE = 1.25  # times the ridge's error: such a run is examined further


def small_ridge(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Predictions (asked, targets) of a ridge fitted on at most MOST of the rows x, y.

    Features are as stored; the alpha is chosen by leaving out one row at a time.
    """
    if len(x) > MOST:
        some = np.random.default_rng(0).permutation(len(x))[:MOST]
        x, y = x[some], y[some]
    scalers = Scalers(scaling.feature_scaler(x), scaling.identity_scaler(y.shape[1]))
    eigen = decompose(scalers.features, x, y)
    head = eigen.head(solve(eigen, x, y), scalers)
    return predict_rows(head, scalers, HeadConfig(hidden=()), asked)


@dataclass(frozen=True)
class Observed:
    """A finished training. Rows are those of the dataset; errors are in target units."""

    config: TrainConfig
    asked: Mapping[str, Any]  # the settings that somebody said, which a remedy repeats
    words: tuple[str, ...]  # of the command that trains: the dataset's name, --cache and its folder
    extract: str  # the command that made the features
    y: np.ndarray  # (rows, targets) float32, NaN where there is none
    predictions: np.ndarray  # (rows, targets), with the best weights
    labels: np.ndarray  # (rows,) train, validation, test or left-out
    digests: Sequence[str]  # (rows,) of the images
    sequence: np.ndarray  # (rows,) int, which sequence a row belongs to
    order: np.ndarray  # (rows,) int, its place in that
    sequential: bool  # neighbours in the order are consecutive frames
    split: str  # resolved, as blocks:10
    units: int  # how many parts of the rows it can hold out, as `Split.units`
    sampled: np.ndarray  # row numbers, rising, as `sampling.choose_rows` gives them
    x: np.ndarray  # (sampled, columns) features as stored
    history: Mapping[str, np.ndarray]  # loss, val_loss, val_mae, learning_rate, one per epoch
    state: State  # after the last epoch, on the host
    ridge: np.ndarray | None  # (rows, targets), a ridge's predictions
    gain: float  # validation MAE of the training median less the run's
    gain_error: float  # its std over bootstrap draws
    random_seed: int | None  # of random backbone weights

    @property
    def learns(self) -> bool:
        """The validation MAE is below the median predictor's by more than twice its error."""
        return self.compared.learns

    @cached_property
    def compared(self) -> Compared:
        """The errors that the headline compares."""
        return Compared(self.mae, self.median_mae, self.ridge_mae, self.gain, self.gain_error)

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

    @cached_property
    def mae(self) -> float | None:
        """On the validation rows; None if a prediction is not finite."""
        return _mae(self.predictions[self.validation], self.y[self.validation])

    @cached_property
    def train_mae(self) -> float | None:
        """On the training rows, with the same weights."""
        return _mae(self.predictions[self.train], self.y[self.train])

    @cached_property
    def median(self) -> np.ndarray:
        """(targets,) of the training rows."""
        return np.median(self.y[self.train].astype(np.float64), axis=0)

    @cached_property
    def median_mae(self) -> float:
        """Of predicting the training median for the validation rows."""
        return float(np.abs(self.y[self.validation] - self.median).mean())

    @cached_property
    def ridge_mae(self) -> float | None:
        """On the validation rows; None where there is no ridge, or the run is one."""
        if self.ridge is None or self.config.head == "ridge":
            return None
        return _mae(self.ridge[self.validation], self.y[self.validation])

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
    def sides(self) -> tuple[Rows, Rows]:
        """Features and targets of the sampled training rows, and of the validation rows."""
        train, validation = self.sample_train, self.sample_validation
        x, y = self.x, self.sample_y
        return (x[train], y[train]), (x[validation], y[validation])

    @cached_property
    def inputs(self) -> np.ndarray:
        """(sampled, inputs) features as they reach the first layer."""
        return scaling.scale_rows(self.state.scalers.features, self.x)

    @cached_property
    def mean_and_std(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and std (columns,) of the sampled training rows' features."""
        train = self.x[self.sample_train].astype(np.float32)
        mean = train.mean(axis=0, dtype=np.float64)
        train -= mean.astype(np.float32)
        with np.errstate(over="ignore"):
            return mean, np.sqrt(np.square(train).mean(axis=0, dtype=np.float64))

    @cached_property
    def standard(self) -> np.ndarray:
        """(sampled, columns) features in std of the sampled training rows, not clipped.

        Columns that do not vary there are 0.
        """
        mean, std = self.mean_and_std
        varies = std > 1e-6 * np.abs(mean)
        scaled = self.x.astype(np.float32) - mean.astype(np.float32)
        scaled /= np.where(varies, std, np.inf).astype(np.float32)
        return scaled

    @cached_property
    def last_activations(self) -> Activations:
        """Every layer for the sampled training rows, with the weights of the last epoch."""
        rows = self.x[self.sample_train]
        return activations(self.state.params, self.state.scalers, self.config, rows)

    @property
    def behind(self) -> bool:
        """Whether the run does not learn, or a ridge is clearly better."""
        if not self.learns or self.mae is None:
            return True
        return self.ridge_mae is not None and self.mae > WORSE_THAN_RIDGE * self.ridge_mae

    @cached_property
    def bounded(self) -> bool:
        """Whether the output is a relu and some training targets are below 0."""
        relu = self.config.output_activation == "relu"
        return relu and bool((self.y[self.train] < 0).any())

    @cached_property
    def probe(self) -> Probe | None:
        """A few hundred steps at other learning rates; None where the run is not `behind`."""
        usable = len(self.sample_train) > 1 and len(self.sample_validation) > 0
        if not self.behind or self.config.head == "ridge" or not usable:
            return None
        # a relu that most targets lie below would hide the effect of the rate
        linear = replace(self.config, output_activation="linear")
        return run_probe(
            self.config,
            linear if self.bounded else self.config,
            self.state.scalers,
            self.state.best_params,
            *self.sides,
            NEAR if self.learns else FACTORS,
        )

    @cached_property
    def sample_ridge(self) -> np.ndarray:
        """(sampled validation rows, targets) of a ridge fitted on the sampled training rows."""
        train, (asked, _) = self.sides
        return small_ridge(*train, asked)

    @property
    def linear(self) -> tuple[np.ndarray, np.ndarray]:
        """Validation rows, and predictions (rows, targets) of the ridge or of a small one there."""
        if self.ridge is not None:
            return self.validation, self.ridge[self.validation]
        return self.sampled[self.sample_validation], self.sample_ridge


def _mae(predictions: np.ndarray, y: np.ndarray) -> float | None:
    if not np.isfinite(predictions).all():
        return None
    return float(np.abs(predictions.astype(np.float64) - y).mean())
