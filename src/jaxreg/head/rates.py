"""The settings that are arguments of the compiled program, in the units that it trains in."""

from typing import NamedTuple

import numpy as np

from jaxreg.head.scaling import ArrayOf, TargetScaler, mean_and_std_of
from jaxreg.train_config import HeadConfig


class Rates(NamedTuple):
    """Arguments of the compiled program, float32 but for patience: a new value compiles nothing."""

    learning_rate: ArrayOf
    decay_steps: ArrayOf
    decay_rate: ArrayOf
    huber_delta: ArrayOf  # (targets,) in std; 1 where the loss has none
    patience: ArrayOf  # int32
    min_delta: ArrayOf  # of the loss in std
    weight_decay: ArrayOf

    @classmethod
    def of(cls, config: HeadConfig, target: TargetScaler) -> "Rates":
        """The rates of a training with this scaler.

        Raises:
            ValueError: the thresholds are not numbers; see `HeadConfig.with_thresholds`.
        """
        delta, least = config.thresholds
        # The first epoch always improves, so patience as long as the training never runs out.
        patience = config.epochs if config.keep_going else min(config.patience, config.epochs)
        _, std = mean_and_std_of(target)
        return cls(
            learning_rate=np.array(config.learning_rate, np.float32),
            decay_steps=np.array(config.decay_steps, np.float32),
            decay_rate=np.array(config.decay_rate, np.float32),
            huber_delta=((std if delta is None else np.array(delta)) / std).astype(np.float32),
            patience=np.array(patience, np.int32),
            min_delta=np.asarray(least / loss_unit(target, config.power), np.float32),
            weight_decay=np.array(config.weight_decay, np.float32),
        )


def loss_unit(target: TargetScaler, power: int) -> np.ndarray:
    """The loss, in target units, of a loss of 1 in std; float64, one for each stacked member.

    With several targets the loss has no unit: the error of each is divided by its std.

    Args:
        target: the scaler of the targets.
        power: of the unit of a single target, as `HeadConfig.power`.
    """
    _, std = mean_and_std_of(target)
    one = std.shape[-1] == 1
    return np.asarray(std[..., 0] ** power) if one else np.ones(std.shape[:-1])
