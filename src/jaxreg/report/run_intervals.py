"""The intervals of a run with folds: how wide they are, and how many rows they hold."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxreg.cache.lazy_features import read_rows
from jaxreg.config_io import command_line
from jaxreg.conformal import (
    DEFAULT_LEVEL,
    Coverage,
    Errors,
    UnitCoverage,
    coverage_by_unit,
    distribution,
    half_width,
    level_text,
    widest_level,
    within_others,
)
from jaxreg.experiment.arrays import Experiment
from jaxreg.report.run_predictions import RunPredictions, unit_of_rows
from jaxreg.target_types import difference
from jaxreg.training.interval_file import RunIntervals
from jaxreg.unlike import familiar, sample

METHOD = "hierarchical-conformal"


class Measured(NamedTuple):
    """The intervals of a run."""

    level: float
    unit: str  # what a unit is called: block, group, fold or row
    errors: tuple[Errors, ...]  # of each target
    targets: dict[str, Coverage]
    half_width: dict[str, float]  # target units
    test: dict[str, dict[str, float | int]] | None  # rows for test that no fold has, by target
    inside: np.ndarray  # (rows, targets) 1 or 0; NaN where it is not measured

    def to_json(self) -> dict[str, Any]:
        """`intervals` of summary.json."""
        measured = {n: one for n, one in self.targets.items() if one.mean is not None}
        lowest = min(measured, key=lambda name: measured[name].mean or 0.0, default=None)
        return {
            "level": self.level,
            "method": METHOD,
            "half_width": self.half_width,
            "coverage": None if lowest is None else measured[lowest].mean,
            "worst_unit": None if lowest is None else self._worst(lowest),
            "units": min(one.units for one in self.targets.values()),
            "unit": self.unit,
            "by_target": {
                name: {
                    "coverage": one.mean,
                    "worst_unit": self._worst(name),
                    "units": one.units,
                }
                for name, one in self.targets.items()
            },
            "test": self.test,
        }

    def _worst(self, target: str) -> dict[str, Any] | None:
        worst = self.targets[target].worst()
        return None if worst is None else {"target": target, **worst._asdict()}


UNITS = 20  # shown for each target


def unit_tables(measured: Measured) -> list[tuple[str, tuple[UnitCoverage, ...]]]:
    """For each target whose units are measured a caption, and the units covered least first."""
    tables = []
    for name, one in measured.targets.items():
        if not one.by_unit:
            continue
        worst = sorted(one.by_unit, key=lambda unit: unit.coverage)[:UNITS]
        count = f"{len(one.by_unit):,} {one.word}s"
        shown = f"the {UNITS} of {count} that are covered least" if len(worst) == UNITS else count
        start = f"{name}, " if len(measured.targets) > 1 else ""
        tables.append((f"{start}coverage of {shown}", tuple(worst)))
    return tables


def interval_command(run: Path, level: float) -> str:
    """The command that predicts with intervals of a level."""
    words = (run, "IMAGES", "--out", "predictions.csv", "--interval", level_text(level))
    return command_line("jaxreg predict", words)


def measure(experiment: Experiment, predictions: RunPredictions) -> Measured | None:
    """The intervals of a run; None without folds, or where a prediction is not finite."""
    fold = experiment.fold_of_row if experiment.folds else np.full(len(predictions.y), -1)
    held_out = np.flatnonzero(fold >= 0)
    if not len(held_out) or not np.isfinite(predictions.predictions[held_out]).all():
        return None
    apart = np.abs(difference(experiment.types, predictions.predictions, predictions.y))
    names, word = unit_of_rows(experiment)
    units = np.arange(len(apart)) if names is None else np.unique(names, return_inverse=True)[1]
    own, each = [], []
    for number in range(len(experiment.targets)):
        rows = held_out[~np.isnan(apart[held_out, number])]
        own.append(rows)
        each.append(distribution(apart[rows, number], units[rows]))
    level = min(DEFAULT_LEVEL, *(widest_level(errors.units) for errors in each))
    targets, tests, halves = {}, {}, {}
    inside = np.full(apart.shape, np.nan)
    for number, (name, errors) in enumerate(zip(experiment.targets, each, strict=True)):
        rows, halves[name] = own[number], _half(experiment, number, errors, level)
        sizes, part = apart[rows, number], fold if names is None else units
        coverage = None
        if (own_inside := _inside_of(sizes, units[rows], part[rows], level)) is not None:
            inside[rows, number] = own_inside
            of = np.unique(units[rows], return_inverse=True)[1]
            coverage = coverage_by_unit(own_inside, of)
        by_unit: tuple[UnitCoverage, ...] = ()
        if names is not None and coverage is not None:
            counts = np.unique(names[rows], return_counts=True)
            lines = zip(*(part.tolist() for part in (*counts, coverage)), strict=True)
            by_unit = tuple(UnitCoverage(*line) for line in lines)
        mean = None if coverage is None else float(coverage.mean())
        targets[name] = Coverage(level, word, halves[name], errors.units, mean, by_unit)
        test = experiment.rows("test")
        test = test[~np.isnan(apart[test, number])]
        if len(test):
            share = float((apart[test, number] <= halves[name]).mean())
            tests[name] = {"coverage": share, "rows": len(test)}
    return Measured(level, word, tuple(each), targets, halves, tests or None, inside)


def _inside_of(
    sizes: np.ndarray, units: np.ndarray, parts: np.ndarray, level: float
) -> np.ndarray | None:
    """`within_others` for any numbers of units and parts; None with a single part."""
    _, parts = np.unique(parts, return_inverse=True)
    if not parts.any():
        return None
    return within_others(sizes, np.unique(units, return_inverse=True)[1], parts, level)


def stored(experiment: Experiment, measured: Measured) -> RunIntervals:
    """What intervals.npz keeps of a run: its errors, and some of its training images."""
    held_out = np.flatnonzero(experiment.fold_of_row >= 0)
    names, _ = unit_of_rows(experiment)
    units = np.arange(len(experiment.y)) if names is None else names
    rows = sample(held_out)
    x = read_rows(experiment.x, rows)[:, : experiment.x.shape[1] - experiment.side.width]
    seen = familiar(x, np.unique(units[rows], return_inverse=True)[1])
    return RunIntervals(measured.errors, seen)


def _half(experiment: Experiment, number: int, errors: Errors, level: float) -> float:
    half = half_width(errors, level)
    kind = experiment.types[number]
    return min(half, kind.period / 2) if kind.circular else half
