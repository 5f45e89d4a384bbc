"""Heads that some rows, or the memory, cannot have."""

import math
from itertools import pairwise

from jaxreg.common.memory import bytes_text, free_memory
from jaxreg.errors import InputError
from jaxreg.experiment.placement import Placement
from jaxreg.train_config import TrainConfig


def check_head(
    config: TrainConfig, placement: Placement, rows: int, features: int, members: int
) -> None:
    """Raise InputError for heads that these rows cannot have, before anything is computed.

    `features` are the columns without side columns.
    """
    needs_all = config.head == "ridge" or config.components is not None
    if needs_all and placement.kind == "parts":
        raise InputError(
            "a ridge and components need all features in memory, and these do not fit",
            remedy="use a larger --memory-limit, or --head mlp without --components",
        )
    side = placement.size.width - features
    inputs = (config.components or features) + side
    layers = (inputs, *config.hidden_layers, len(config.target))
    weights = sum(map(math.prod, pairwise(layers)))
    # float32: weights, two moments of Adam, best weights; four numbers an epoch
    needed = 4 * 4 * members * (weights + config.epochs)
    if needed > (free := free_memory()):
        trainings = f"{members} trainings" if members > 1 else "the training"
        raise InputError(
            f"{trainings} of {weights:,} weights and {config.epochs:,} epochs would take "
            f"{bytes_text(needed)}, and {bytes_text(free)} are free",
            remedy="use fewer --folds, --seeds or --epochs, a smaller --hidden, or --components",
        )
    most = min(rows, features)
    if config.components is not None and config.components > most:
        raise InputError(
            f"--components {config.components}, but there are {rows} training rows of "
            f"{features} columns",
            expected=f"at most {most}",
        )
