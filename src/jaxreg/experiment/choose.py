"""Which columns of a dataset are the targets, and their numbers."""

from contextlib import suppress
from decimal import Decimal

import numpy as np
import pyarrow as pa

from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.datasets import dataset_names
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, nearest
from jaxreg.sources.as_written import among_numbers, is_no_number
from jaxreg.sources.examples import WRITTEN, is_reserved
from jaxreg.target_numbers import check_exact
from jaxreg.train_config import TrainConfig


def choose_targets(cache: Cache, dataset: Dataset, config: TrainConfig) -> tuple[str, ...]:
    """The columns that were asked for, else those of the source, else the only numeric one."""
    asked = tuple(_asked(cache, dataset, name) for name in config.target)
    weights = config.weight_column and as_kept(dataset, config.weight_column)
    possible = [name for name in _possible(dataset) if name != weights]
    if len(set(asked)) < len(asked):
        raise InputError(f"--target {' '.join(config.target)}", expected="each column once")
    chosen = asked or dataset.targets or tuple(possible if len(possible) == 1 else ())
    if not chosen:
        mend = "" if possible else _mend(dataset)  # a cell of text is a likelier fault than a name
        offered = [f"--target {_shown(name)}" for name in _offered(dataset)]
        raise InputError(
            f"{dataset.name} does not say which column is the target",
            expected=f"a numeric column: {_listed(dataset)}",
            remedy=mend or next(iter(offered), ""),
        )
    if unknown := {as_kept(dataset, name) for name in config.mirror_targets} - set(chosen):
        raise InputError(
            f"--mirror-targets {' '.join(sorted(unknown))}",
            expected=f"some of the targets: {', '.join(chosen)}",
        )
    return tuple(chosen)


def as_kept(dataset: Dataset, name: str) -> str:
    """The column that a name of the source's means: a dataset keeps its `order` as another."""
    kept = f"source.{name}"
    return kept if is_reserved(name) and kept in dataset.source_columns else name


def passed_over(dataset: Dataset) -> list[str]:
    """Columns of numbers that were no default target for their name alone.

    Numbers that never fall from one row to the next count rows or time, as such names say.
    """
    names = []
    for name in _offered(dataset):
        if name in dataset.bookkeeping:
            values = dataset.table[name].drop_null().cast(pa.float64(), safe=False).to_numpy()
            if (np.diff(values) < 0).any():
                names.append(_shown(name))
    return names


def _asked(cache: Cache, dataset: Dataset, name: str) -> str:
    kept = as_kept(dataset, name)
    if kept in dataset.source_columns:
        return kept
    if name in dataset_names(cache):
        raise InputError(
            f"{name!r} is a dataset, not a column of {dataset.name}",
            remedy=f"put the name of the dataset first, then: jaxreg train {name} --target COLUMN",
        )
    parts = [as_kept(dataset, part) for part in filter(None, name.split(","))]
    if len(parts) > 1 and set(parts) <= set(dataset.source_columns):
        near = " ".join(map(_shown, parts))
    else:
        near = nearest(name, map(_shown, dataset.numeric_columns))
    raise InputError(
        f"no column {name!r} in {dataset.name}",
        expected=f"a numeric column: {_listed(dataset)}",
        remedy=f"--target {near}" if near else "",
    )


def _possible(dataset: Dataset) -> list[str]:
    return [n for n in dataset.numeric_columns if n not in dataset.bookkeeping]


def _offered(dataset: Dataset) -> list[str]:
    """The columns of numbers with a value, those that may be a default target first."""
    others = [n for n in dataset.numeric_columns if n in dataset.bookkeeping]
    filled = [n for n in others if dataset.table[n].null_count < len(dataset)]
    return [*_possible(dataset), *filled]


def _shown(name: str) -> str:
    """A column as the source names it."""
    own = name.removeprefix("source.")
    return own if own != name and is_reserved(own) else name


def _listed(dataset: Dataset) -> str:
    """All columns in words: possible defaults, other columns of numbers, and the rest."""
    possible = _possible(dataset)
    text = ", ".join(possible) or "none is taken by default"
    others = [
        f"{_shown(name)} ({_why_not_default(dataset, name)})"
        for name in dataset.numeric_columns
        if name not in possible
    ]
    text += f"; only with --target: {', '.join(others)}" if others else ""
    if not possible and not others:
        text = "there is none"
    words = []
    for name in dataset.source_columns:
        if name not in dataset.numeric_columns:
            found = among_numbers(dataset.table[name])
            why = f" ({found.sentence(dataset.ids[found.row])})" if found else ""
            words.append(f"{name}{why}")
    return f"{text}; not numbers: {', '.join(words)}" if words else text


def _why_not_default(dataset: Dataset, name: str) -> str:
    options = dataset.options
    roles = {"id": options.id_column, "group": options.group_column, "order": options.order_column}
    for role, column in roles.items():
        if _shown(name) == column:
            return f"it is the --{role}-column"
    if dataset.table[name].null_count == len(dataset):
        return "it has no value"
    return "it is named like an index, an order or a time"


def _mend(dataset: Dataset) -> str:
    """What to do with the first column that one cell makes a column of text; "" without one."""
    for name in dataset.source_columns:
        if among_numbers(dataset.table[name]):
            return f"correct the cells of {name} that are no numbers, then: " + (
                dataset.extract_command()
            )
    return ""


def numbers(dataset: Dataset, name: str) -> np.ndarray:
    """One target as float64, NaN where it is missing."""
    column = dataset.table[name]
    if name not in dataset.numeric_columns:
        raise InputError(
            f"the target {name} holds {column.type}, not numbers{_first_text(dataset, name)}",
            expected=f"a numeric column: {_listed(dataset)}",
            remedy=_mend(dataset) if among_numbers(column) else "",
        )
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise InputError(f"the target {name} is infinite in {dataset.ids[row]}")
    check_exact(name, values, lambda: _distinct(dataset, name))
    return values


def _distinct(dataset: Dataset, name: str) -> int:
    """How many different numbers a column of the source held."""
    column = dataset.table[name]
    if WRITTEN + name in dataset.table.column_names:  # float64 may not hold what is written
        written = dataset.table[WRITTEN + name].drop_null().unique().to_pylist()
        with suppress(ArithmeticError):
            return len({Decimal(text.strip()) for text in written})
    return len(column.drop_null().unique())


def _first_text(dataset: Dataset, name: str) -> str:
    """The first text of a column that is no number, in words; "" where it has no text."""
    column = dataset.table[name]
    if found := among_numbers(column):
        return f": {found.sentence(dataset.ids[found.row])}"
    texts = column.to_pylist() if pa.types.is_string(column.type) else []
    row = next((row for row, text in enumerate(texts) if text and is_no_number(text)), None)
    return "" if row is None else f": {texts[row]!r} in {dataset.ids[row]}"
