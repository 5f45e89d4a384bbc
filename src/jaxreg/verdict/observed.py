"""All that a verdict looks at: plain arrays of a finished training, and what follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jaxreg.config import TrainConfig
from jaxreg.heads.mlp import Params
from jaxreg.heads.scaling import Scalers
from jaxreg.verdict import network
from jaxreg.verdict.headline import Compared
from jaxreg.verdict.network import Activity
from jaxreg.verdict.probe import FACTORS, NEAR, Probe, run_probe
from jaxreg.verdict.whatif import Dual

WORSE_THAN_RIDGE = 1.25  # times the ridge's error: from there on a run is looked at twice


@dataclass(frozen=True)
class Observed:
    """A finished training. Rows are those of the dataset; errors are in target units."""

    config: TrainConfig
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
    sampled: np.ndarray  # row numbers, rising, as `sampling.choose_rows` gives them
    x: np.ndarray  # (sampled, columns) features as stored
    history: Mapping[str, np.ndarray]  # loss, val_loss, val_mae, learning_rate, one per epoch
    params: Params  # of the lowest validation loss
    last_params: Params  # of the last epoch
    scalers: Scalers
    finite: bool  # every loss was
    best_epoch: int  # from 1, 0 if none
    stopped_early: bool
    ridge: np.ndarray | None  # (rows, targets), a ridge's predictions
    gain: float  # validation MAE of the training median less the run's
    gain_error: float  # its deviation over bootstrap draws
    random_seed: int | None  # of random backbone weights

    @property
    def learns(self) -> bool:
        """The validation MAE is below the median predictor's by more than twice its error."""
        return self.compared.learns

    @cached_property
    def compared(self) -> Compared:
        """What the headline tells."""
        return Compared(self.mae, self.median_mae, self.ridge_mae, self.gain, self.gain_error)

    @property
    def epochs(self) -> int:
        """How many were done."""
        return len(self.history["loss"])

    @cached_property
    def train(self) -> np.ndarray:
        """Row numbers."""
        return np.flatnonzero(self.labels == "train")

    @cached_property
    def watched(self) -> np.ndarray:
        """Row numbers of the validation rows."""
        return np.flatnonzero(self.labels == "validation")

    @cached_property
    def mae(self) -> float | None:
        """On the validation rows; None if a prediction is not finite."""
        return _mae(self.predictions[self.watched], self.y[self.watched])

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
        return float(np.abs(self.y[self.watched] - self.median).mean())

    @cached_property
    def ridge_mae(self) -> float | None:
        """On the validation rows; None where there is no ridge, or the run is one."""
        if self.ridge is None or self.config.head == "ridge":
            return None
        return _mae(self.ridge[self.watched], self.y[self.watched])

    @cached_property
    def sample_train(self) -> np.ndarray:
        """Places in `sampled` of the training rows."""
        return np.flatnonzero(self.labels[self.sampled] == "train")

    @cached_property
    def sample_watched(self) -> np.ndarray:
        """Places in `sampled` of the validation rows."""
        return np.flatnonzero(self.labels[self.sampled] == "validation")

    @cached_property
    def sample_y(self) -> np.ndarray:
        """(sampled, targets)."""
        return self.y[self.sampled]

    @cached_property
    def inputs(self) -> np.ndarray:
        """(sampled, inputs) features as they reach the first layer."""
        return network.inputs_of(self.scalers.features, self.x)

    @cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation (columns,) of the sampled training rows' features."""
        train = self.x[self.sample_train].astype(np.float32)
        mean = train.mean(axis=0, dtype=np.float64)
        train -= mean.astype(np.float32)
        with np.errstate(over="ignore"):
            return mean, np.sqrt(np.square(train).mean(axis=0, dtype=np.float64))

    @cached_property
    def standard(self) -> np.ndarray:
        """(sampled, columns) features in deviations of the sampled training rows, not cut.

        Columns that do not vary there are 0.
        """
        mean, deviation = self.moments
        varies = deviation > 1e-6 * np.abs(mean)
        scaled = self.x.astype(np.float32) - mean.astype(np.float32)
        scaled /= np.where(varies, deviation, np.inf).astype(np.float32)
        return scaled

    @cached_property
    def last_activity(self) -> Activity:
        """What the head of the last epoch does with the sampled training rows."""
        return network.activity(self.last_params, self.scalers, self.x[self.sample_train])

    @property
    def behind(self) -> bool:
        """Whether there is more to be had: it does not learn, or a ridge is clearly better."""
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
        usable = len(self.sample_train) > 1 and len(self.sample_watched) > 0
        if not self.behind or self.config.head == "ridge" or not usable:
            return None
        return run_probe(
            self.config,
            # a relu that most targets are beyond would hide what the rate does
            "linear" if self.bounded else self.config.output_activation,
            self.scalers,
            self.params,
            (self.x[self.sample_train], self.sample_y[self.sample_train]),
            (self.x[self.sample_watched], self.sample_y[self.sample_watched]),
            NEAR if self.learns else FACTORS,
        )

    @cached_property
    def dual(self) -> Dual:
        """A ridge of the sampled training rows that can be asked what if."""
        rows = self.sample_train
        clipped = np.clip(self.standard, -4, 4)
        return Dual(clipped[rows], self.sample_y[rows], clipped[self.sample_watched])

    @cached_property
    def linear(self) -> np.ndarray:
        """(watched, targets): the ridge's predictions, or a small one's of the sampled rows."""
        if self.ridge is not None:
            return self.ridge[self.watched]
        return self.dual.predict()

    @cached_property
    def linear_rows(self) -> np.ndarray:
        """Row numbers of the rows that `linear` is of."""
        return self.watched if self.ridge is not None else self.sampled[self.sample_watched]


def _mae(told: np.ndarray, y: np.ndarray) -> float | None:
    if not np.isfinite(told).all():
        return None
    return float(np.abs(told.astype(np.float64) - y).mean())
