"""The settings that a compiled program is made for, and those that are its arguments."""

from typing import NamedTuple

import numpy as np

from jaxreg.head.scaling import ArrayOf, TargetScaler, mean_and_std_of
from jaxreg.head.target_outputs import target_of_output, types_for
from jaxreg.train_config import HeadConfig


class Rates(NamedTuple):
    """Arguments of the compiled program, float32 but for patience: a new value compiles nothing.

    They are in the units that it trains in.
    """

    learning_rate: ArrayOf
    decay_steps: ArrayOf
    decay_rate: ArrayOf
    huber_delta: ArrayOf  # (outputs,) in std; 1 where the loss has none
    patience: ArrayOf  # int32
    min_delta: ArrayOf  # of the loss in std
    weight_decay: ArrayOf
    keep: ArrayOf  # share of units that dropout keeps

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
        types = types_for(config, len(std))
        deltas = std
        if delta is not None:
            deltas = np.broadcast_to(np.array(delta), len(types))[target_of_output(types)]
        return cls(
            learning_rate=np.array(config.learning_rate, np.float32),
            decay_steps=np.array(config.decay_steps, np.float32),
            decay_rate=np.array(config.decay_rate, np.float32),
            huber_delta=(deltas / std).astype(np.float32),
            patience=np.array(patience, np.int32),
            min_delta=np.asarray(least / loss_unit(config, target), np.float32),
            weight_decay=np.array(config.weight_decay, np.float32),
            keep=np.array(1 - config.dropout, np.float32),
        )


def loss_unit(config: HeadConfig, target: TargetScaler) -> np.ndarray:
    """The loss, in target units, of a loss of 1 in std; float64, one for each stacked member.

    With several targets the loss has no unit: the error of each is divided by its std. The loss in
    std is the mean over the outputs; this is the mean over the targets of the sums of their
    outputs, so a circular target counts once.
    """
    _, std = mean_and_std_of(target)
    targets = len(types_for(config, std.shape[-1]))
    unit = std[..., 0] ** config.power if targets == 1 else np.ones(std.shape[:-1])
    return np.asarray(unit * (std.shape[-1] / targets))


def static_config(config: HeadConfig) -> HeadConfig:
    """The settings that decide the compiled program; all others have their defaults."""
    names = ("components", "output_activation", "target_type", "loss", "batch_size", "epochs")
    kept = {name: getattr(config, name) for name in names}
    head = "blend" if config.head == "blend" else "mlp"
    dropout = HeadConfig.dropout if config.dropout else 0.0  # whether there is any
    return HeadConfig(head=head, hidden=config.hidden_layers, dropout=dropout, **kept)
