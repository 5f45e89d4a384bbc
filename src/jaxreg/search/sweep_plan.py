"""From a request to the choices of a sweep, in which nothing is left to decide."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.store import Cache
from jaxreg.config_io import from_json
from jaxreg.errors import InputError
from jaxreg.search.choice import Choice, Plan
from jaxreg.search.column_sets import ColumnSets, has_several_columns
from jaxreg.search.inner_folds import inner_folds
from jaxreg.search.space import Space
from jaxreg.search.space_words import default_space, read_space
from jaxreg.search.sweep_record import FOLDS, Request
from jaxreg.splits import Split
from jaxreg.train_config import TrainConfig


def prepared(
    cache: Cache,
    dataset: Dataset,
    request: Request,
    *,
    given: Mapping[str, Any],
    resumed: Mapping[str, Any] | None = None,
) -> tuple[Request, Space, ColumnSets]:
    """A request with all its settings, its space, and its features.

    Args:
        cache: where the features are.
        dataset: what is searched on.
        request: what was asked.
        given: the settings that a flag or keyword gave: none of them can be searched as well.
        resumed: sweep.json of a sweep that goes on.

    Raises:
        InputError: a search or a setting that cannot be, or a split without folds.
    """
    read = from_json(TrainConfig, request.settings)  # hidden=16 of Python code is hidden=(16,)
    settings = {name: getattr(read, name) for name in request.settings}
    if request.search is None:
        fixed = settings if resumed is None else {**resumed["settings"], **settings}
        space = default_space(fixed, several_columns=has_several_columns(dataset, fixed))
    else:
        space = read_space(request.search, given)
    for name in space.names:
        for other in ("columns", "layers", "pool") if name == "columns" else (name,):
            settings.pop(other, None)  # of a preset or a file
    given_folds = str(settings.get("split") or "").startswith("column:")
    if settings.get("folds") is None and not given_folds:
        settings["folds"] = FOLDS
    sets = ColumnSets(cache, dataset, settings)
    if not sets.base.folds:
        raise InputError(
            f"a sweep with --split {settings.get('split')}, which has no folds",
            expected="a column of folds, or blocks, group:COLUMN or hash: the score is of folds "
            "that no choice has seen",
            remedy="leave --split out",
        )
    return replace(request, settings=settings), space, sets


def planned(
    request: Request, space: Space, sets: ColumnSets
) -> tuple[Plan, list[Choice], tuple[int, int]]:
    """The plan, its choices, and the capacities of the outer folds."""
    base = sets.base
    candidates = space.listed_columns
    for columns in candidates:
        sets.resolved(columns)  # refuses one that there is not
    if space.all_columns:
        candidates = tuple(sets.candidates())
    held_out = np.stack([fold.labels == "test" for fold in base.folds])
    usable = np.flatnonzero(held_out.any(axis=0))
    seen = [
        np.flatnonzero((fold.labels == "train") | (fold.labels == "validation"))
        for fold in base.folds
    ]
    each = [inner_folds(base, rows) for rows in (usable, *seen)]
    inner = _capacities([fold for folds in each for fold in folds])
    plan = Plan(sets, space, candidates, request.number, base.config.seed, inner)
    choices = [
        Choice(plan, number, rows, folds)
        for number, (rows, folds) in enumerate(zip((usable, *seen), each, strict=True))
    ]
    return plan, choices, _capacities(base.folds)


def _capacities(folds: Sequence[Split]) -> tuple[int, int]:
    """Room for the training and the validation rows of each of these folds."""
    train, validation = (
        max(int((fold.labels == side).sum()) for fold in folds) for side in ("train", "validation")
    )
    return train, validation
