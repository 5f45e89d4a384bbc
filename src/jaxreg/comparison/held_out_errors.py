"""The held-out rows of a finished run: which they are, its errors on them, what is drawn together.

All of it is in predictions.parquet and config.json, so no cache is needed.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.comparison.bootstrap import FEWEST, Truth, Units, by_unit, units_of
from jaxreg.metrics import runs_of_rows
from jaxreg.target_types import Types, center_and_std, difference, types_of
from jaxreg.training.run_directory import RunDirectory

PICTURED = 100
"""Rows of a small picture."""

_BLOCK = re.compile(r"(.* )?block \d+")


class Way(NamedTuple):
    """One way to draw the rows, and the errors of a run by its units."""

    key: str  # equal for runs with the same rows, drawn together in the same way
    units: Units
    truth: Truth
    errors: np.ndarray  # (units, targets): sums of absolute errors; of squares for several targets


@dataclass(frozen=True)
class HeldOut:
    """The held-out rows of a run, and its errors on them."""

    digest: str  # of their ids
    types: Types  # of the targets
    ways: tuple[Way, ...]  # none without two rows, or where a prediction is not finite
    shown: np.ndarray  # (rows, 2) true and predicted numbers of the first target, of some rows


@dataclass
class Known:
    """What runs that were read before have: many runs have the same rows."""

    units: dict[str, tuple[Units, Truth]] = field(default_factory=dict)  # by the key of a way
    digests: dict[bytes, str] = field(default_factory=dict)  # of ids, by that of their bytes


class _Rows(NamedTuple):
    digest: str
    y: np.ndarray  # (rows, targets), NaN where a target is missing
    predictions: np.ndarray
    named: np.ndarray | None  # (rows,) what the file says of units, as numbers; None: nothing
    word: str


def read_held_out(
    directory: RunDirectory,
    settings: Mapping[str, Any],
    summary: Mapping[str, Any],
    known: Known,
) -> HeldOut:
    """What predictions.parquet holds of the rows of `metrics`.

    Args:
        directory: of the run.
        settings: of its config.json.
        summary: the content of its summary.json.
        known: what other runs had; what this run has is added.

    Raises:
        InputError: the file is absent or damaged. Others: it is not as jaxreg writes it.
    """
    rows = _read(directory, settings, summary, known)
    types = _types(settings)
    errors, ways = _errors(types, rows), list[Way]()
    if len(rows.y) and np.isfinite(rows.predictions).all():
        for units in _ways(rows, str(settings["split"])):
            sides = hashlib.sha256(units.numbers.tobytes()).hexdigest()
            key = f"{rows.digest} {sides} {settings['target']} {types}"
            if key not in known.units:
                known.units[key] = units, _truth(types, rows.y, units)
            ways.append(Way(key, *known.units[key], by_unit(errors, units)))
    step = max(1, -(-len(rows.y) // PICTURED))
    shown = np.stack([rows.y[::step, 0], rows.predictions[::step, 0]], axis=1)
    return HeldOut(rows.digest, types, tuple(ways), shown)


def errors_by_unit(
    directory: RunDirectory, settings: Mapping[str, Any], summary: Mapping[str, Any], units: Units
) -> np.ndarray:
    """The errors of a run by the units of another run on the same rows, as `Way.errors`."""
    return by_unit(_errors(_types(settings), _read(directory, settings, summary, Known())), units)


def _types(settings: Mapping[str, Any]) -> Types:
    return types_of(settings.get("target_type") or ("plain",), len(settings["target"]))


def _read(
    directory: RunDirectory, settings: Mapping[str, Any], summary: Mapping[str, Any], known: Known
) -> _Rows:
    content = directory.read_checked("predictions.parquet", summary)
    source = pa.BufferReader(content)
    try:
        file = pq.ParquetFile(source, read_dictionary=["split", "unit"])
    except KeyError:  # an older run has no units
        file = pq.ParquetFile(source, read_dictionary=["split"])
    table = file.read(use_threads=False)  # small tables: threads would take longer than the work
    split, targets = _codes(table["split"]), settings["target"]
    [label] = [i for i, name in enumerate(split[1]) if name == "validation"] or [-2]
    chosen = np.flatnonzero(split[0] == label)
    named, word = None, ""
    if "unit" in table.column_names:
        numbers, names = _codes(table["unit"])
        if (numbers[chosen] >= 0).all() and len(names):
            named = numbers[chosen]
            word = "blocks" if all(map(_BLOCK.fullmatch, names)) else "groups"
    elif "fold" in table.column_names and not str(settings["split"]).startswith("hash"):
        named, word = table["fold"].to_numpy()[chosen].astype(np.int64), "folds"
    each = (
        np.stack([table[f"{kind}.{name}"].to_numpy()[chosen] for name in targets], axis=1)
        for kind in ("target", "prediction")
    )
    y, predictions = (some.astype(np.float64) for some in each)
    return _Rows(_digest(table["id"], chosen, known.digests), y, predictions, named, word)


def _digest(ids: pa.ChunkedArray, chosen: np.ndarray, known: dict[bytes, str]) -> str:
    """A digest of some ids; that of columns of the same bytes is known."""
    parts = [chosen.tobytes()]
    for chunk in ids.chunks:
        parts.append(f"{chunk.offset} {len(chunk)}".encode())
        parts += [memoryview(part) for part in chunk.buffers() if part]
    raw = hashlib.sha256(b"".join(parts)).digest()
    if raw not in known:
        names = ids.to_pylist()
        text = "\0".join(names[row] for row in chosen.tolist())
        known[raw] = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return known[raw]


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """The values of a dictionary column as numbers, -1 where one is missing; and the values."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    numbers = array.indices.to_numpy(zero_copy_only=False)  # of floats where one is missing
    return np.where(np.isnan(numbers), -1, numbers).astype(np.int64), array.dictionary.to_pylist()


def _errors(types: Types, rows: _Rows) -> np.ndarray:
    """(rows, targets): absolute errors, of several targets squared ones; 0 for missing targets."""
    with np.errstate(over="ignore", invalid="ignore"):
        apart = difference(types, rows.predictions, rows.y)
        errors = np.abs(apart) if len(types) == 1 else np.square(apart)
    return np.where(np.isnan(rows.y), 0.0, errors)


def _truth(types: Types, y: np.ndarray, units: Units) -> Truth:
    missing = np.isnan(y)
    apart = difference(types, y, center_and_std(types, y)[0])
    apart = np.where(missing, 0.0, apart)
    parts = (~missing).astype(np.float64), apart, np.square(apart)
    return Truth(*(by_unit(part, units) for part in parts))


def _ways(rows: _Rows, split: str) -> Sequence[Units]:
    """The units to draw; where they are few, smaller ones too. None if nothing can be drawn."""
    count, ways = len(rows.y), list[Units]()
    together = np.zeros(count, np.int64)
    if rows.named is not None:
        values, together = np.unique(rows.named, return_inverse=True)
        ways.append(units_of(together, len(values), f"{len(values)} {rows.word}"))
        if len(values) >= FEWEST:
            return ways
    numbers, word = np.arange(count), f"{count} rows"
    in_time = rows.word == "blocks" or split.startswith(("blocks", "tail"))
    if in_time and rows.word != "groups" and count > 1:
        numbers = runs_of_rows(together, numbers)
        word = f"stretches of {math.isqrt(count)} rows"
    ways.append(units_of(numbers, int(numbers.max()) + 1, word))
    return [units for units in ways if units.size > 1]  # all draws of a single one are equal
