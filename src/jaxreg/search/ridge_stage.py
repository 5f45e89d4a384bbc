"""Stage one of a choice: a ridge on every column, and on the best together, in closed form."""

import math
import time
from collections.abc import Callable
from itertools import chain, combinations

import numpy as np

from jaxreg.errors import InputError
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.column_ridges import left_out_by_ridge
from jaxreg.experiment.members import WIDEST
from jaxreg.search.column_sets import Columns, ColumnSets
from jaxreg.search.space import text_of
from jaxreg.search.trial_scores import loss_within, score_of
from jaxreg.search.trials_file import TrialRow, TrialsFile
from jaxreg.search.watch import Say, Watch

PAIRED = 3  # the best columns, which are tried in pairs and all together too


def ridge_places(candidates: int, *, pairs: bool) -> int:
    """How many ridges this stage has at most."""
    paired = min(PAIRED, candidates)
    return candidates + (math.comb(paired, 2) + math.comb(paired, 3) if pairs else 0)


def rank_columns(
    sets: ColumnSets,
    candidates: list[Columns],
    rows: np.ndarray,
    file: TrialsFile,
    row_of: Callable[[int], TrialRow],
    *,
    pairs: bool,
    watch: Watch,
) -> list[tuple[Columns, float]]:
    """The candidates, and the best of them together, by the error of their ridge; best first.

    Args:
        sets: their features.
        candidates: sets of columns.
        rows: the numbers of the rows that the choice may see.
        file: gets a line for each ridge; one that is there already is not solved again.
        row_of: the beginning of the line of each place of this stage.
        pairs: whether the best are tried together too.
        watch: progress, and whether to go on. What is in the file needs no time.
    """
    found: list[tuple[Columns, float]] = []

    def add(place: int, columns: Columns) -> bool:
        row = row_of(place)
        if (there := file.rows.get(row.trial)) is None:
            if not watch.goes_on():
                return False
            there = _tried(sets, columns, rows, row, watch.say)
            file.append([there])
        if there.settings.get("columns") != text_of(columns):
            raise InputError(
                f"{file.path} is of another search: trial {there.trial} is of "
                f"{there.settings.get('columns')}, and not of {text_of(columns)}",
                remedy="use another --run",
            )
        watch.count(1, there.error)
        if there.error is not None:
            found.append((columns, there.error))
        return True

    for place, columns in enumerate(candidates):
        if not add(place, columns):
            break
    best = [columns for columns, _ in _sorted(found)[:PAIRED]]
    if pairs:
        together = enumerate([*combinations(best, 2), *combinations(best, 3)], len(candidates))
        for place, several in together:
            if not add(place, tuple(chain.from_iterable(several))):
                break
    return _sorted(found)


def ridge_predictions(experiment: Experiment, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are scored, and predictions (rows, targets) of ridges without their group.

    Args:
        experiment: its features.
        rows: the numbers of the rows on which ridges are solved, rising.

    Raises:
        InputError: the features are not in memory, or the ridge would take long.
    """
    x = experiment.x
    if not isinstance(x, np.ndarray) or min(len(rows), x.shape[1]) > WIDEST:
        raise InputError(f"a ridge of {len(rows):,} rows of {x.shape[1]:,} columns takes long")
    predictions, missing = left_out_by_ridge(experiment, x, rows), np.isnan(experiment.y[rows])
    scored = ~np.isnan(np.where(missing, 0.0, predictions)).any(axis=1)
    return rows[scored], np.where(missing, 0.0, predictions)[scored]


def _tried(
    sets: ColumnSets, columns: Columns, rows: np.ndarray, row: TrialRow, say: Say
) -> TrialRow:
    begin, score = time.perf_counter(), None
    try:
        experiment = sets.experiment(columns)
        scored, predictions = ridge_predictions(experiment, rows)
        loss = loss_within(sets.base, rows)
        score = score_of(sets.base.y, scored, predictions, loss)
    except InputError as error:
        if row.fold is None:  # once is enough
            say(f"note: {text_of(columns)} is left out of the search: {error.found}")
    seconds = round(time.perf_counter() - begin, 3)
    return row.scored(score, seconds=seconds, settings={"columns": text_of(columns)})


def _sorted(found: list[tuple[Columns, float]]) -> list[tuple[Columns, float]]:
    return sorted(found, key=lambda one: one[1])  # of equal errors the first stays first
