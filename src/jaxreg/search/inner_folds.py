"""The folds that a choice is made on: folds within some rows of a dataset."""

from dataclasses import replace

import numpy as np

from jaxreg.errors import InputError
from jaxreg.experiment.choose_split import places
from jaxreg.experiment.resolve import ResolvedRun
from jaxreg.splits import Split, split_folds
from jaxreg.splits.sides import LEFT_OUT, TRAIN

FOLDS = 3  # of a choice, where the rows have units enough


def inner_folds(resolved: ResolvedRun, rows: np.ndarray) -> tuple[Split, ...]:
    """Folds of these rows, split as the run splits all; every other row is left out.

    Args:
        resolved: the run; its split says of what kind the folds are.
        rows: the numbers of the rows that the choice may see.

    Raises:
        InputError: they have too few blocks, groups or images for two folds.
    """
    for folds in (FOLDS, 2):
        try:
            return _folds(resolved, rows, folds)
        except InputError as error:
            if folds == 2:
                raise InputError(
                    f"settings are chosen on folds within {len(rows)} rows, and these cannot be "
                    f"split: {error.found}",
                    expected=error.expected,
                    remedy=error.remedy or "use more --folds, or extract more images",
                ) from error
    raise AssertionError


def _folds(resolved: ResolvedRun, rows: np.ndarray, folds: int) -> tuple[Split, ...]:
    kept, config = resolved.dataset.rows(rows), resolved.config
    kind = config.split or resolved.split.kind
    name, _, column = kind.partition(":")
    if name == "column":  # each of its folds is a group here
        kind = f"group:{column}"
    # Rows in an outer fold have neighbouring hashes, so those of the inner folds are of other texts
    own = {
        "digests": [f"inner:{digest}" for digest in kept.split_digests],
        "ids": [f"inner:{one}" for one in kept.ids],
    }
    found = split_folds(
        folds,
        kind,
        **own,
        **places(kept),
        validation=config.validation,
        gap=config.gap,
        seed=config.seed,
    )
    weighted = (resolved.weights > 0).any(axis=1)

    def of_all(split: Split) -> Split:
        labels = np.full(len(resolved.dataset), LEFT_OUT, dtype=object)
        labels[rows] = split.labels
        labels[(labels == TRAIN) & ~weighted] = LEFT_OUT
        return replace(split, labels=labels)

    return tuple(map(of_all, found))
