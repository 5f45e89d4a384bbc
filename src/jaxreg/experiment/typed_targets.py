"""The numbers of a run's targets, as their types ask for them."""

from collections.abc import Sequence

import numpy as np

from jaxreg.cache.datasets import Dataset
from jaxreg.errors import InputError
from jaxreg.experiment.choose import numbers
from jaxreg.target_numbers import number_text, std_of
from jaxreg.target_types import Types, around, first_outside, outside, words_of
from jaxreg.train_config import TrainConfig


def typed_targets(dataset: Dataset, config: TrainConfig) -> tuple[np.ndarray, tuple[str, ...]]:
    """The targets (rows, targets) float64, NaN where the source has none, and `target_type`.

    Circular targets are taken modulo their period. The types are as `words_of` writes them.

    Raises:
        InputError: a type for each of more or fewer targets, a target out of its bounds, or one
            whose mirrored values are.
    """
    names, types = config.target, config.target_types(len(config.target))
    y = np.stack([numbers(dataset, name) for name in names], axis=1)
    signs = np.where(np.isin(names, config.mirror_targets), -1.0, 1.0)
    for values, mirrored in [(y, ""), (y * signs[None, :], "mirrored ")]:
        if (found := first_outside(names, types, values)) is None:
            continue
        name, kind, row = found
        place = names.index(name)
        known = values[~np.isnan(values[:, place]), place]
        low, high = min(known.min(), kind.low), max(known.max(), kind.high)
        wide = kind._replace(low=float(low), high=float(high)).word
        count = int(outside(kind, values[:, place]).sum())
        rows = "1 row" if count == 1 else f"{count} rows"
        number = number_text(float(values[row, place]), std_of(known))
        raise InputError(
            f"{mirrored}target {name} is {number} in row {dataset.ids[row]}, out of --target-type "
            f"{kind.word} ({rows} in all)",
            expected=f"every {name} from {kind.low:g} to {kind.high:g}",
            remedy=f"mend such rows in the source, or give wider bounds, as {wide}",
        )
    return around(types, y), words_of(types)


def taken_around(dataset: Dataset, names: Sequence[str], types: Types) -> list[str]:
    """How many numbers of each circular target were taken modulo its period, as sentences."""
    notes = []
    for name, kind in zip(names, types, strict=True):
        if kind.circular and (count := int(outside(kind, numbers(dataset, name)).sum())):
            rows = "1 row was" if count == 1 else f"{count} rows were"
            notes.append(
                f"{rows} not from 0 to below {kind.period:g} in the target {name}: train takes "
                f"{name} modulo {kind.period:g}"
            )
    return notes
