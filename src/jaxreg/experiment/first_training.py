"""What to type for the first training on a dataset."""

from collections.abc import Sequence

from jaxreg.cache.datasets import read_some
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.experiment.choose import choose_targets
from jaxreg.experiment.choose_split import split_to_offer
from jaxreg.train_config import TrainConfig

ROWS = 2**16
"""The most rows that are looked at."""


def first_training(cache: Cache, name: str, target: Sequence[str] = ()) -> list[str]:
    """The options that `train` needs on a dataset: a target if it must be named, and the split.

    Args:
        cache: has the dataset.
        name: of the dataset.
        target: the columns that were asked for; they are no part of the answer.

    Raises:
        InputError: the dataset is not written, or no column of it can be a target.
    """
    dataset = read_some(cache, name, ROWS)
    options: list[str] = []
    try:
        targets = choose_targets(cache, dataset, TrainConfig(target=tuple(target)))
    except InputError as error:
        offered = error.remedy.removeprefix("--target ")
        if offered == error.remedy:
            raise
        options += ["--target", offered]
        targets = choose_targets(cache, dataset, TrainConfig(target=(offered,)))
    split = split_to_offer(dataset, targets)
    return [*options, *(["--split", split] if split else [])]
