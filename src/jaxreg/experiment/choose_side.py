"""Which columns of a dataset go beside the features, and what a run learns of them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxreg.cache.datasets import Dataset
from jaxreg.errors import InputError, nearest
from jaxreg.experiment.choose import as_kept
from jaxreg.side_columns import (
    BOOLEANS,
    Kind,
    SideColumn,
    SideColumns,
    numbers_of,
    sentences,
    texts_of,
)
from jaxreg.sources.as_written import among_numbers
from jaxreg.sources.examples import WRITTEN
from jaxreg.train_config import TrainConfig

MOST_CATEGORIES = 100  # of a side column: text with more is a name or a sentence
FEW = 10  # categories that may each have a single row


def choose_side(dataset: Dataset, config: TrainConfig, targets: Sequence[str]) -> tuple[str, ...]:
    """The names of the side columns that were asked for, as the dataset has them.

    Raises:
        InputError: a column that is not there, is asked for twice, is a target, the weights, the
            split or the ids, or holds neither numbers nor text nor booleans.
    """
    names = tuple(as_kept(dataset, name) for name in config.side_columns)
    taken = dict.fromkeys(targets, "a target of the run")
    if config.weight_column:
        taken[as_kept(dataset, config.weight_column)] = "the --weight-column of the run"
    if config.split and config.split.startswith("column:"):
        sides = config.split.removeprefix("column:")
        taken[as_kept(dataset, sides)] = "the --split of the run"
    for name in (dataset.options.id_column, "id"):
        taken |= {name: "the ids of the rows"} if name else {}
    for number, (asked, name) in enumerate(zip(config.side_columns, names, strict=True)):
        if name in names[:number]:
            raise InputError(
                f"--side-columns {' '.join(config.side_columns)}", expected="each column once"
            )
        if name in taken:
            raise InputError(
                f"--side-columns {asked}, which is {taken[name]}",
                expected="a column that is known before the target is",
                remedy=f"leave {asked} out of --side-columns",
            )
        _check_column(dataset, asked, name)
    return names


def _check_column(dataset: Dataset, asked: str, name: str) -> None:
    if name not in dataset.source_columns:
        parts = [as_kept(dataset, part) for part in filter(None, asked.split(","))]
        together = len(parts) > 1 and set(parts) <= set(dataset.source_columns)
        near = " ".join(parts) if together else nearest(asked, dataset.source_columns)
        raise InputError(
            f"no column {asked!r} in {dataset.name}",
            expected=f"one of its columns: {', '.join(dataset.source_columns) or 'it has none'}",
            remedy=f"--side-columns {near}" if near else "",
        )
    column = dataset.table[name]
    if pa.types.is_temporal(column.type):
        raise InputError(
            f"the side column {asked} holds times ({column.type})",
            expected="numbers, text or booleans",
            remedy="add what matters of the time (the hour, the day of the year) to the table as a "
            f"column of numbers, then: {dataset.extract_command()}",
        )
    if column.null_count == len(column):
        raise InputError(
            f"the side column {asked} has no value",
            expected="a column with values",
            remedy=f"leave {asked} out of --side-columns",
        )
    if found := among_numbers(column):
        raise InputError(
            f"the side column {asked} is text: {found.sentence(dataset.ids[found.row])}",
            expected="numbers, or text that is not mostly numbers",
            remedy=f"correct the cells of {asked} that are no numbers, then: "
            f"{dataset.extract_command()}",
        )


def learn_side(dataset: Dataset, names: Sequence[str], rows: np.ndarray) -> SideColumns:
    """What a run learns of its side columns from the rows that train, in any fold.

    The mean and the most frequent category are learned for each training, by its scaler.

    Args:
        dataset: has the columns.
        names: of `choose_side`.
        rows: numbers of the rows that train.

    Raises:
        InputError: no such row has a value, a number is infinite, or text has so many different
            values that it names rows.
    """
    return SideColumns(tuple(_learn(dataset, name, rows) for name in names))


def _learn(dataset: Dataset, name: str, rows: np.ndarray) -> SideColumn:
    column = dataset.table[name]
    kind = _kind(column.type)
    if kind == "number":
        values = numbers_of(column, name)[rows]
        known = values[~np.isnan(values)]
        _check_known(name, len(known))
        center, std = float(known.mean()), float(known.std())
        missing = len(known) < len(values)
        return SideColumn(name, kind, missing, center, std if std > 0 else 1.0)
    texts = texts_of(column, written_of(dataset.table).get(name), kind)
    trained = [texts[row] for row in rows]
    some = [text for text in trained if text is not None]
    _check_known(name, len(some))
    categories = BOOLEANS if kind == "boolean" else tuple(sorted(set(some)))
    count, of = len({*texts} - {None}), len(texts) - texts.count(None)
    if count > MOST_CATEGORIES or (count > FEW and 2 * count > of):
        raise InputError(
            f"the side column {name} has {count} different values in {of} rows",
            expected=f"at most {MOST_CATEGORIES} categories, with two rows each on average; text "
            "with more values is the name of a row",
            remedy=f"leave {name} out of --side-columns, or join its values into fewer categories",
        )
    return SideColumn(name, kind, len(some) < len(trained), categories=categories)


def _kind(kind: pa.DataType) -> Kind:
    if pa.types.is_boolean(kind):
        return "boolean"
    return "category" if pa.types.is_string(kind) else "number"


def _check_known(name: str, count: int) -> None:
    if not count:
        raise InputError(
            f"no training row has a value of the side column {name}",
            expected="a column with values in the rows that train",
            remedy=f"leave {name} out of --side-columns",
        )


def written_of(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The text of the columns whose numbers do not keep it, by name of the column."""
    names = [name for name in table.column_names if name.startswith(WRITTEN)]
    return {name.removeprefix(WRITTEN): table[name] for name in names}


def side_values(dataset: Dataset, side: SideColumns) -> np.ndarray:
    """(rows, side.width) float32 of every row of the dataset, as `SideColumns.encode` gives it."""
    return side.encode(dataset.table, written_of(dataset.table)).values


def side_notes(dataset: Dataset, side: SideColumns, others: np.ndarray) -> list[str]:
    """Sentences on side columns: values that are missing, and those of other rows alone.

    Args:
        dataset: has the columns.
        side: the side columns.
        others: numbers of the rows that are scored.
    """
    if not side:
        return []
    table = dataset.table.take(others)
    return sentences(side.encode(table, written_of(table)), side, "held-out rows")
