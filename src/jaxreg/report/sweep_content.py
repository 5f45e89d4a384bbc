"""What the page of a run shows of the sweep that chose it: cost, trials, pictures."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxreg.common.files import open_regular
from jaxreg.experiment.arrays import Experiment
from jaxreg.metrics import scores
from jaxreg.report import sweep_plots
from jaxreg.report.run_predictions import RunPredictions
from jaxreg.target_numbers import number_text
from jaxreg.training.sweep_files import TRIALS, SweepRecord, outer_error

SHOWN = 300  # trials in the table, the best first: a page of thousands is slow to sort


@dataclass(frozen=True)
class TrialLine:
    """One line of trials.csv."""

    trial: str
    stage: str
    fold: str  # empty: the choice on all rows
    status: str
    settings: Mapping[str, str]  # texts; "" where one has no part
    error: float | None  # what the sweep makes small
    r2: float | None
    epochs: str
    seconds: float


class Table(NamedTuple):
    """A caption, the names of the columns, and the lines; a line begins with its name."""

    caption: str
    names: list[str]
    lines: list[list[str]]


class SweepContent(NamedTuple):
    """The sections of the page on a sweep."""

    about: list[str]  # sentences
    cost: Table  # errors, inner and outer, beside the baselines
    chosen: Table  # the settings of each choice
    trials: Table  # of the choice on all rows
    effects: list[tuple[str, bytes]]  # a setting, and its picture
    time: bytes | None  # error against seconds
    files: str  # where all trials are


def sweep_content(
    folder: Path, sweep: SweepRecord, experiment: Experiment, predictions: RunPredictions
) -> SweepContent:
    """The sections of a run's page on the sweep that chose its head.

    Args:
        folder: of the run, with trials.csv.
        sweep: what sweep.json says.
        experiment: the run.
        predictions: of the run; at the end of the sweep the outer ones.
    """
    said = sweep.content
    lines = read_trials(folder / TRIALS, said)
    several = len(experiment.targets) > 1
    unit, std = ("Huber loss", 1.0) if several else ("MAE", float(experiment.loss.std[0]))
    own = [one for one in lines if not one.fold]
    pictured = [one for one in own if one.stage != "mean"]
    return SweepContent(
        about=_about(said, unit, std),
        cost=_cost(said, unit, std),
        chosen=_chosen(said, lines, experiment, predictions, unit, std),
        trials=_trials(sorted(own, key=_place), list(_searched(said)), unit, std),
        effects=sweep_plots.effects(pictured, _searched(said), unit),
        time=sweep_plots.error_over_time(pictured, unit),
        files=str(folder / TRIALS),
    )


def read_trials(path: Path, said: Mapping[str, Any]) -> list[TrialLine]:
    """The lines of trials.csv; `said` is the content of sweep.json, which names the settings."""
    with open_regular(path) as file:
        text = file.read().decode(errors="replace")
    names, found = list(_searched(said)), []
    for row in csv.DictReader(io.StringIO(text), restval=""):
        mae = _number(row.get("mae"))
        found.append(
            TrialLine(
                trial=row.get("trial", ""),
                stage=row.get("stage", ""),
                fold=row.get("fold", ""),
                status=row.get("status", ""),
                settings={name: row.get(name) or "" for name in names},
                error=_number(row.get("huber")) if mae is None else mae,
                r2=_number(row.get("r2")),
                epochs=row.get("epochs", ""),
                seconds=_number(row.get("seconds")) or 0.0,
            )
        )
    return found


def _searched(said: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The settings that were searched, and the range or choices of each."""
    return said["search"]["read"]


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _place(one: TrialLine) -> tuple[bool, bool, float]:
    """Heads before the ridges of stage one; the lowest error first, those without one last."""
    return one.stage == "ridge", one.error is None, one.error or 0.0


def _about(said: Mapping[str, Any], unit: str, std: float) -> list[str]:
    """What choosing cost, in sentences."""
    folds, inner, optimism = said["folds"], said["best_inner_mae"], said["optimism"]
    if not said["finished"]:
        return [
            "This sweep has not finished. The scores above are of heads whose settings were chosen "
            "with the rows that score them, so they are too good"
        ]
    outer = outer_error(said["metrics"] or {})
    if outer is None:
        return ["This sweep has no score: a head that it chose is not finite"]
    told = [
        f"The settings were chosen {folds} times more, each time without one fold, and the heads "
        f"that were chosen predict this fold. Their {unit} is {number_text(outer, std)}: the score "
        "of the run, on rows that no choice has seen",
    ]
    if inner is None or optimism is None:
        late = "No trial on all rows had ended in time, so the head has the first settings drawn"
        return [*told, late]
    told.append(f"The choice on all rows reached {number_text(inner, std)} on its inner folds")
    if optimism > 0:
        told.append(
            f"So choosing made the error look {optimism:.2g} smaller than it is"
            + (f" ({optimism / outer:.0%})" if outer > 0 else "")
        )
    else:
        told.append(
            "So choosing did not make the error look smaller. The heads on inner folds learn from "
            "fewer rows"
        )
    return told


def _cost(said: Mapping[str, Any], unit: str, std: float) -> Table:
    """The inner and the outer error, and those of the baselines on the outer rows."""
    known = {"lowest inner error of the choice on all rows": said["best_inner_mae"]}
    if said["finished"]:
        known["error on rows that no choice has seen"] = outer_error(said["metrics"] or {})
        known["difference"] = said["optimism"]
        for name, its in (said["baselines"] or {}).items():
            known[f"{name}, on the same rows"] = outer_error(its or {})
    lines = [[name, _text(value, std)] for name, value in known.items()]
    return Table("what choosing cost", ["error", unit], lines)


def _chosen(
    said: Mapping[str, Any],
    lines: Sequence[TrialLine],
    experiment: Experiment,
    predictions: RunPredictions,
    unit: str,
    std: float,
) -> Table:
    """The settings of each choice, its inner error and that of its fold."""
    names = list(_searched(said))
    choices = {"": said["chosen"] or {}}
    choices |= {str(fold): its for fold, its in enumerate(said["chosen_by_fold"])}
    table = []
    for fold, its in choices.items():
        settings = [_setting(its, name) for name in names]
        heads = len(its.get("finalists") or [{}])
        inner = _lowest(lines, fold) if fold else said["best_inner_mae"]
        outer = None
        if said["finished"] and fold:
            outer = _fold_error(experiment, predictions, int(fold))
        name = f"without fold {fold}" if fold else "on all rows"
        table.append([name, _text(inner, std), _text(outer, std), str(heads), *settings])
    heads = ["choice", f"inner {unit}", f"{unit} of the fold", "heads", *names]
    return Table("what each choice found", heads, table)


def _lowest(lines: Sequence[TrialLine], fold: str) -> float | None:
    """The error of what was chosen: the lowest of the trials that were trained to the end.

    Without any of these it is the best of the others, and without these a ridge of stage one.
    """
    own = [one for one in lines if one.fold == fold and one.error is not None]
    heads = [one for one in own if one.stage != "ridge"]
    ended = [one for one in heads if one.status == "done"]
    errors = [one.error for one in ended or heads or own if one.error is not None]
    return min(errors, default=None)


def _setting(chosen: Mapping[str, Any], name: str) -> str:
    """The value of a setting in what was chosen; of several heads each value."""
    each = [{**chosen, **one} for one in chosen.get("finalists") or [{}]]
    texts = [_value(one[name]) for one in each if name in one]
    return ", ".join(dict.fromkeys(texts))


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        joint = "-" if all(isinstance(part, int) for part in value) else "+"
        return joint.join(map(str, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)


def _fold_error(experiment: Experiment, predictions: RunPredictions, fold: int) -> float | None:
    """The error of one fold's held-out rows."""
    rows = np.flatnonzero(experiment.fold_of_row == fold)
    return outer_error(scores(predictions.y[rows], predictions.predictions[rows], experiment.loss))


def _trials(own: Sequence[TrialLine], names: Sequence[str], unit: str, std: float) -> Table:
    """The trials of the choice on all rows, the best first."""
    lines = [
        [
            one.trial,
            _text(one.error, std),
            _text(one.r2, 0.0),
            one.stage,
            one.status,
            *(one.settings[name] for name in names),
            one.epochs,
            f"{one.seconds:.3g}",
        ]
        for one in own[:SHOWN]
    ]
    caption = f"the {len(own):,} trials of the choice on all rows"
    if len(own) > SHOWN:
        caption = f"the {SHOWN} best of {len(own):,} trials of the choice on all rows"
    heads = ["trial", unit, "R²", "stage", "status", *names, "epochs", "seconds"]
    return Table(caption, heads, lines)


def _text(value: float | None, std: float) -> str:
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    return number_text(value, std).replace("-", "\N{MINUS SIGN}")
