"""The finalists of a sweep: heads of one run that differ in numbers, and predict their mean."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxreg.config_io import from_json, said_to_json, to_json
from jaxreg.errors import InputError
from jaxreg.train_config import TrainConfig

NUMERIC = ("learning_rate", "decay_steps", "decay_rate", "weight_decay", "dropout", "huber_delta",
           "patience", "min_delta")  # fmt: skip
"""The settings in which heads may differ that train side by side: none changes a shape."""

Finalist = Mapping[str, Any]
"""The numeric settings of one head; all others are those of the run."""


def checked_finalists(config: TrainConfig, said: Sequence[Finalist]) -> tuple[Finalist, ...]:
    """Finalists as the settings class reads them.

    Args:
        config: the settings of the run.
        said: as Python or `record_of` has them; empty for a run of one head per fold and seed.

    Raises:
        InputError: a setting that is none of NUMERIC, or with a value that `train` refuses.
    """
    found = []
    for its in said:
        if others := sorted(set(its) - set(NUMERIC)):
            raise InputError(
                f"finalists that differ in {', '.join(others)}",
                expected=f"some of: {', '.join(NUMERIC)}",
            )
        own = from_json(TrainConfig, {**to_json(config), **said_to_json(its)})
        found.append({name: getattr(own, name) for name in its})
    return tuple(found)


def number_of_members(config: TrainConfig, finalists: Sequence[Finalist] = ()) -> int:
    """How many trainings a run has: folds × finalists × seeds."""
    return (config.folds or 1) * max(1, len(finalists)) * config.seeds
