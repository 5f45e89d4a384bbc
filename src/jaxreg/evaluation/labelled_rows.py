"""The examples of a source that a run can be scored on: their targets, weights and units."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxreg.cache.dataset_table import Dataset, examples_table
from jaxreg.errors import InputError, nearest
from jaxreg.experiment.choose import as_kept, numbers
from jaxreg.experiment.choose_weights import choose_weights
from jaxreg.experiment.row_units import unit_names
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.new_predictions import NewPredictions
from jaxreg.sources.examples import Examples
from jaxreg.target_types import around

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


class LabelledRows(NamedTuple):
    """The examples with a prediction and a number for some target."""

    numbers: np.ndarray  # of the examples, rising
    dataset: Dataset  # these examples as rows
    y: np.ndarray  # (rows, targets) float64, NaN where a target is missing
    predictions: np.ndarray  # (rows, targets) float64
    weights: np.ndarray | None  # (rows, targets) as `entry_weights`; None: no weight column
    units: np.ndarray | None  # (rows,) which rows are alike: groups or blocks; None: rows alone
    unit_names: list[str] | None  # (rows,) the name of the unit of each row
    trained: np.ndarray  # (rows,) bool, whether a row trained the run
    notes: tuple[str, ...]  # what could not be scored


def refuse_unlabelled(
    run: "TrainedRun", examples: Examples, source: str, say: Callable[[str], None]
) -> None:
    """Raise InputError if no target of the run is a column of the source."""
    if any(name in examples.columns.column_names for name in run.targets):
        return
    for note in examples.notes:  # of a table beside the images, which may have the target
        say(f"note: {note}")
    shown = [name.removeprefix("source.") for name in run.targets]
    columns = [name.removeprefix("source.") for name in examples.columns.column_names]
    near = nearest(shown[0], columns)
    wanted = f"the target of the run: {shown[0]}"
    if len(shown) > 1:
        wanted = f"a target of the run: {', '.join(shown)}"
    raise InputError(
        f"{source} has no column {' or '.join(map(repr, shown))}",
        expected=f"{wanted}; its columns are {', '.join(columns) or 'none'}",
        remedy=f"rename the column {near} as {shown[0]}"
        if near
        else f"jaxreg predict {run.path} {source} --out FILE, which needs no targets",
    )


def label(run: "TrainedRun", examples: Examples, new: NewPredictions, source: str) -> LabelledRows:
    """The rows to score.

    Args:
        run: the run.
        examples: the source, in which `refuse_unlabelled` found a target.
        new: what the run predicts for them.
        source: its name, for messages.

    Raises:
        InputError: a target holds no numbers, no row can be scored, or weights are no weights.
    """
    notes: list[str] = []
    dataset = _as_dataset(examples, source)
    with _in_the_source(dataset):
        each = []
        for name in run.targets:
            if name in dataset.table.column_names:
                each.append(numbers(dataset, name))
            else:
                notes.append(f"the source has no column {name}, which is not scored")
                each.append(np.full(len(examples), np.nan))
    y = around(run.types, np.stack(each, axis=1))
    usable = np.isfinite(new.predictions).all(axis=1)
    if not usable.any():
        _refuse_unusable(run, examples, new, source)
    rows = np.flatnonzero(usable & ~np.isnan(y).all(axis=1))
    if not len(rows):
        raise InputError(
            f"no row of {source} has a number for {' or '.join(run.targets)}",
            expected="rows with a number for a target of the run",
        )
    own = dataset.rows(rows)
    weights = None
    if (column := run.settings.weight_column) is not None:
        if as_kept(own, column) in own.table.column_names:
            with _in_the_source(own):
                weights = choose_weights(own, y[rows], run.settings)
        else:
            notes.append(f"the source has no weight column {column}: each row counts the same")
    names = units_of(own, run.settings.split)
    return LabelledRows(
        rows,
        own,
        y[rows],
        new.predictions[rows],
        weights,
        None if names is None else numbered(names),
        names,
        new.trained[rows],
        tuple(notes),
    )


def units_of(dataset: Dataset, split: str | None) -> list[str] | None:
    """(rows,) the name of the unit of each row, as the split says, else by the source's own groups.

    None: rows alone.
    """
    for kind in (split or "", "blocks" if dataset.sequential else "group"):
        with suppress(InputError):  # the new source has no such column of groups
            if (found := unit_names(dataset, kind)) is not None:
                return found
    return None


def numbered(names: Sequence[str]) -> np.ndarray:
    """(rows,) the number of each name, in the order in which the names come first."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def _as_dataset(examples: Examples, source: str) -> Dataset:
    return Dataset(
        name=source,
        table=examples_table(examples),
        source=examples.description,
        feature_set="",
        columns=(),
        targets=examples.targets,
        bookkeeping=examples.bookkeeping,
        sequential=examples.sequential,
        opened=source,
        options=SourceOptions(),
        settings=ExtractConfig(),
        files=examples.files,
        failed_sha256=None,
    )


@contextmanager
def _in_the_source(dataset: Dataset) -> Iterator[None]:
    """Messages about rows that are no dataset: what is to be mended is the source."""
    try:
        yield
    except InputError as error:
        if "jaxreg extract" in error.remedy:
            error.remedy = f"correct these cells in {dataset.opened}"
        raise


def _refuse_unusable(
    run: "TrainedRun", examples: Examples, new: NewPredictions, source: str
) -> None:
    left_out: Sequence[tuple[str, str]] = examples.unusable
    first = next(iter(new.reasons), None)
    if first is None and not left_out:
        raise InputError(
            f"the predictions of {run.path} are not finite",
            expected="a run whose head has not diverged",
            remedy=f"jaxreg diagnose {run.path}",
        )
    shown = left_out[0] if first is None else (examples.ids[first], new.reasons[first])
    what = "images" if run.features.networks else "rows"
    raise InputError(
        f"none of the {len(examples) + len(left_out)} {what} of {source} can be used; the first: "
        f"{shown[0]}: {shown[1]}"
    )
