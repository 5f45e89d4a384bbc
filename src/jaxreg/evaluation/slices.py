"""The errors of parts of the rows: by target decile, group, columns with few values, brightness."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.evaluation.labelled_rows import LabelledRows, text_values
from jaxreg.target_types import Types, difference

DECILES = 10
FEW = 12  # values of a column that makes slices
MOST_GROUPS = 200  # a column of more groups makes no slices
LEVELS = 5  # of brightness
LEAST = 5  # rows of a slice
RANGES = ("target", "brightness", "image brightness")  # slices of rows that have a number


@dataclass(frozen=True)
class Slice:
    """The errors for one target on the rows of one slice, in target units."""

    target: str
    by: str  # target, group, brightness, or the name of a column
    value: str
    rows: int
    mae: float
    times: float  # the MAE of all rows
    bias: float  # mean of prediction less target


def slice_columns(rows: LabelledRows, brightness: np.ndarray) -> dict[str, list[str | None]]:
    """By what rows are sliced, for every target alike: the value of each row as text.

    Args:
        rows: the rows.
        brightness: (rows,) NaN where it is not known.
    """
    found: dict[str, list[str | None]] = {}
    dataset = rows.dataset
    if "group" in dataset.table.column_names:
        groups = text_values(dataset.table["group"])
        if 1 < len(set(groups)) <= MOST_GROUPS:
            found["group"] = groups
    for name in dataset.source_columns:
        column = dataset.table[name]
        if name in dataset.bookkeeping or pa.types.is_temporal(column.type):
            continue
        distinct = len(column.unique())
        if 1 < distinct <= FEW and distinct < len(column):
            found[name.removeprefix("source.")] = text_values(column)
    if np.isfinite(brightness).sum() >= LEAST * LEVELS:
        name = "brightness" if "brightness" not in dataset.source_columns else "image brightness"
        found[name] = _ranges(brightness, LEVELS)
    return found


def target_deciles(y: np.ndarray) -> list[str | None]:
    """The decile of each number (rows,) of a target, as the range of its numbers."""
    return _ranges(y, DECILES)


def _ranges(values: np.ndarray, count: int) -> list[str | None]:
    """Ranges that hold about as many values each, as text; equal values are in one range."""
    known = values[np.isfinite(values)]
    if not len(known):
        return [None] * len(values)
    edges = np.unique(np.quantile(known, np.arange(1, count) / count, method="inverted_cdf"))
    place = np.searchsorted(edges, values, side="left")
    texts = []
    for number in range(len(edges) + 1):
        own = known[np.searchsorted(edges, known, side="left") == number]
        texts.append(f"{own.min():.3g} to {own.max():.3g}" if len(own) else "")
    return [
        texts[at] if finite else None for at, finite in zip(place, np.isfinite(values), strict=True)
    ]


def slices_of(
    names: tuple[str, ...],
    types: Types,
    rows: LabelledRows,
    columns: Mapping[str, list[str | None]],
) -> list[Slice]:
    """The errors of every slice of LEAST rows or more; the largest for their target come first.

    Args:
        names: of the targets.
        types: of the targets.
        rows: the rows.
        columns: as `slice_columns` gives them.
    """
    found = []
    error = difference(types, rows.predictions, rows.y)
    for number, name in enumerate(names):
        own = error[:, number]
        if not np.isfinite(own).any():
            continue
        mae = float(np.nanmean(np.abs(own)))
        for by, values in {"target": target_deciles(rows.y[:, number]), **columns}.items():
            if by == name.removeprefix("source."):
                continue
            texts = np.array(["" if value is None else value for value in values], object)
            for value in dict.fromkeys(texts.tolist()):
                some = own[(texts == value) & np.isfinite(own)]
                if len(some) < LEAST or (by in RANGES and not value):
                    continue
                its = float(np.abs(some).mean())
                times = its / mae if mae else 1.0
                bias = float(some.mean())
                found.append(Slice(name, by, value or "no value", len(some), its, times, bias))
    return sorted(found, key=lambda one: -one.times)


def slices_to_json(slices: list[Slice]) -> list[dict[str, Any]]:
    """As `evaluate --json` has them."""
    return [asdict(one) for one in slices]
