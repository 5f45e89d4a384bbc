"""Intervals around the predictions of a run for new examples, and how unlike these are."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from jaxreg.config_io import command_line, from_json
from jaxreg.conformal import (
    DEFAULT_LEVEL,
    allows,
    ends,
    half_width,
    level_text,
    unit_text,
    widest_level,
)
from jaxreg.errors import InputError
from jaxreg.new_predictions import NewPredictions
from jaxreg.sources.columns import is_number
from jaxreg.target_numbers import number_text
from jaxreg.target_types import difference, held
from jaxreg.train_config import TrainConfig
from jaxreg.training.interval_file import INTERVALS, RunIntervals, unpacked_intervals
from jaxreg.unlike import unlike

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun

FOLDS = 5  # of a remedy


class Intervals(NamedTuple):
    """Predictions with intervals, in target units."""

    predictions: np.ndarray  # (images, targets)
    low: np.ndarray  # (images, targets)
    high: np.ndarray  # (images, targets); below `low` where an interval of a circle goes over 0
    unlike: np.ndarray  # (images,) how far from the training images; above 1 is unusual


class NewIntervals(NamedTuple):
    """The intervals of new examples."""

    low: tuple[np.ndarray, ...]  # of each target (examples,), of the type of its predictions
    high: tuple[np.ndarray, ...]
    unlike: np.ndarray  # (examples,) float32, as `jaxreg.unlike`; NaN without features


def read_intervals(run: "TrainedRun", level: float) -> RunIntervals:
    """What the intervals of a run follow from.

    Raises:
        InputError: the level is no share, or its units do not allow it; the run has no intervals;
            their file is damaged.
    """
    if not 0 < level < 1:
        raise InputError(
            f"--interval {level:g}",
            expected="the share of the intervals that hold the target, above 0 and below 1",
            remedy="--interval 0.8",
        )
    digest, own = run.summary["files"].get(INTERVALS), run.summary.get("intervals")
    if digest is None or own is None:
        raise _without(run)
    if hashlib.sha256(run.interval_file or b"").hexdigest() != digest:
        state = "absent" if run.interval_file is None else "damaged"
        raise InputError(f"{INTERVALS} of {run.path} is {state}", remedy=_command(run))
    try:
        columns = run.scalers[0].features.features
        found = unpacked_intervals(run.interval_file or b"", run.targets, columns)
    except ValueError as error:
        raise InputError(f"{INTERVALS} of {run.path}: {error}", remedy=_command(run)) from error
    units = min(errors.units for errors in found.errors)
    if not allows(units, level):
        widest = level_text(widest_level(units))
        raise InputError(
            f"--interval {level:g}, and {run.path} has {units} {own['unit']}s",
            expected=f"a level of at most {widest}: {units} / ({units} + 1)",
            remedy=f"--interval {widest}",
        )
    return found


def predict_intervals(
    run: "TrainedRun", known: RunIntervals, new: NewPredictions, level: float
) -> NewIntervals:
    """The intervals of new examples; `known` is what `read_intervals` returned for the level."""
    low, high = interval_ends(run, known, new.predictions, level)
    far = np.full(len(new.predictions), np.nan, np.float32)
    if len(new.features.rows):
        far[new.features.rows] = unlike(known.seen, new.features.x)
    return NewIntervals(low, high, far)


def interval_ends(
    run: "TrainedRun", known: RunIntervals, predictions: np.ndarray, level: float
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """The low and the high end of each target (rows,), for predictions (rows, targets)."""
    low, high = [], []
    for number, (kind, errors) in enumerate(zip(run.types, known.errors, strict=True)):
        both = ends(kind, predictions[:, number], half_width(errors, level))
        for part, values in zip((low, high), both, strict=True):
            part.extend(held([kind], values[:, None], run.number_types[number : number + 1]))
    return tuple(low), tuple(high)


def held_by(
    run: "TrainedRun", halves: Mapping[str, float], predictions: np.ndarray, y: np.ndarray
) -> dict[str, dict[str, Any]]:
    """What intervals hold of new rows, for each target that a row has.

    Args:
        run: has the types of the targets.
        halves: half widths by target, target units.
        predictions: (rows, targets), NaN where there is none.
        y: (rows, targets), NaN where there is none.

    Returns:
        By target `coverage`, the share of the rows whose target is inside, and their number `rows`.
    """
    apart = np.abs(difference(run.types, predictions, y))
    found = {}
    for name, own in zip(run.targets, apart.T, strict=True):
        known = own[np.isfinite(own)]
        if len(known):
            found[name] = {"coverage": float((known <= halves[name]).mean()), "rows": len(known)}
    return found


def interval_facts(run: "TrainedRun", level: float, table: pa.Table) -> dict[str, Any]:
    """What `predict --json` says of intervals.

    Returns:
        `interval`: level, `half_width` by target and, by target that the source has, what
        `held_by` says; `unlike`: how many rows are above 1, None without features.
    """
    known = read_intervals(run, level)
    halves = {
        name: min(half_width(errors, level), kind.period / 2)
        for name, kind, errors in zip(run.targets, run.types, known.errors, strict=True)
    }
    predicted = [_numbers(table, f"prediction.{name}") for name in run.targets]
    true = [_numbers(table, f"target.{name}") for name in run.targets]
    by_target = held_by(run, halves, np.stack(predicted, axis=1), np.stack(true, axis=1))
    far = table["unlike"].drop_null().to_numpy()
    return {
        "interval": {"level": level, "half_width": halves, "by_target": by_target},
        "unlike": int((far > 1).sum()) if len(far) else None,
    }


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """A column as float64; NaN where there is no number."""
    if name not in table.column_names or not is_number(table[name].type):
        return np.full(table.num_rows, np.nan)
    return table[name].cast(pa.float64(), safe=False).to_numpy()


def stored_text(intervals: Mapping[str, Any]) -> str:
    """A line for people on `intervals` of summary.json."""
    level, units, word = intervals["level"], intervals["units"], intervals["unit"]
    widest = f", the widest that {units} {word}s allow" if level < DEFAULT_LEVEL else ""
    parts = []
    for name, half in intervals["half_width"].items():
        own, text = intervals["by_target"][name], f"{name} ±{number_text(half, half)}"
        if own["coverage"] is not None:
            text += f" ({own['coverage']:.1%} of held-out targets inside"
            if worst := own["worst_unit"]:
                text += f"; least in {unit_text(word, worst['unit'])}: {worst['coverage']:.1%}"
            text += ")"
        parts.append(text)
    return f"intervals of level {level_text(level)}{widest}: {'; '.join(parts)}"


def interval_texts(run: "TrainedRun", facts: Mapping[str, Any]) -> list[str]:
    """Lines for people, of what `interval_facts` has returned."""
    stored, own = run.summary["intervals"], facts["interval"]
    lines = []
    for name, half in own["half_width"].items():
        level = level_text(own["level"])
        text = f"{name}: intervals of level {level} are ±{number_text(half, half)}"
        if (here := own["by_target"].get(name)) is not None:
            text += f"; {here['coverage']:.1%} of {here['rows']} targets are inside"
        elif (coverage := stored["by_target"][name]["coverage"]) is not None:
            other = level_text(stored["level"])
            which = "" if other == level else f"of level {other}, "
            text += f"; {which}{coverage:.1%} of held-out targets were inside"
        lines.append(text)
    if count := facts["unlike"]:
        what = "images" if run.features.networks else "rows"
        which = f"{count} {what} are" if count > 1 else f"1 {what[:-1]} is"
        lines.append(
            f"{which} unlike the training {what} (column unlike above 1): an interval promises "
            "nothing there"
        )
    return lines


def _without(run: "TrainedRun") -> InputError:
    folds = run.settings.folds
    why = "it has no folds" if folds is None else "a prediction for a held-out row is not finite"
    if folds is not None and "intervals" in run.summary and run.summary["verdict"]["healthy"]:
        why = "an earlier version of jaxreg made it"
    return InputError(
        f"{run.path} has no intervals: {why}",
        expected="a run with --folds, whose held-out rows say how large errors are",
        remedy=_command(run),
    )


def _command(run: "TrainedRun") -> str:
    """The command that trains the run again, with folds, beside it."""
    asked, settings = dict(run.config["asked"]), run.settings
    if settings.folds is None:
        kind = settings.split.partition(":")[0] if settings.split else ""
        asked |= {"folds": FOLDS, "test": 0.0}
        if kind in ("tail", "column"):  # neither can have folds
            asked.pop("split", None)
    words: Sequence[object] = [run.config["dataset"]]
    if run.path.is_dir() and run.cache is not None:
        words = [*words, "--cache", run.cache]
    path = run.path.with_suffix("") if run.path.suffix == ".zip" else run.path
    words = [*words, "--run", Path(f"{path}-folds")]
    return command_line("jaxreg train", words, from_json(TrainConfig, asked))
