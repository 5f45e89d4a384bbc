"""The pictures of a sweep: the effect of each setting, and error against seconds."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from jaxreg.report.plots import (
    BLACK,
    BLUE,
    GREY,
    VERMILLION,
    figure,
    save,
    short_name,
    styled,
)

MOST_NAMES = 16  # choices in a picture: those with the lowest errors
HIGHEST = 2.0  # times the middle error: trials beyond are drawn at the edge
WIDE = 100.0  # a range whose ends differ by as much has a log axis


class Tried(Protocol):
    """What a picture needs of a trial."""

    @property
    def stage(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, str]: ...
    @property
    def error(self) -> float | None: ...
    @property
    def seconds(self) -> float: ...


LOOKS = {
    "stopped": ("stopped", GREY),
    "done": ("trained to the end", BLUE),
    "ridge": ("ridge of stage one", VERMILLION),
}
"""The label and the colour of trials by `_look`, from back to front."""


def _look(one: "Tried") -> str:
    return "ridge" if one.stage == "ridge" else one.status


def effects(
    trials: Sequence[Tried], searched: Mapping[str, Mapping[str, Any]], unit: str
) -> list[tuple[str, bytes]]:
    """A picture for each setting that has two values or more among the trials with an error.

    Args:
        trials: of one choice.
        searched: the settings, and what sweep.json says of each: `from`, `to`, `scale` of a range,
            or `choices`.
        unit: the name of the error.
    """
    scored = [one for one in trials if one.error is not None]
    found = []
    for name, its in searched.items():
        own = [one for one in scored if one.settings.get(name)]
        if len({one.settings[name] for one in own}) < 2:
            continue
        draw = _choices if "choices" in its else _range
        found.append((name, draw(name, own, its, unit)))
    return found


@styled
def _range(name: str, trials: Sequence[Tried], its: Mapping[str, Any], unit: str) -> bytes:
    """The error over a number."""
    drawing, axes = figure((5.2, 3.4))
    values = np.array([float(one.settings[name]) for one in trials])
    errors, top, beyond = _within(trials)
    _points(axes, values, errors, trials)
    if its.get("scale") == "log":
        _log_axis(axes)
        axes.set_xlim(its["from"] / 1.2, its["to"] * 1.2)
    axes.set_xlabel(short_name(name), parse_math=False)
    axes.set_ylabel(unit)
    axes.set_ylim(top=top)
    _note(drawing, axes, beyond)
    return save(drawing)


@styled
def _choices(name: str, trials: Sequence[Tried], its: Mapping[str, Any], unit: str) -> bytes:
    """The errors of each choice, side by side; a line marks their median."""
    errors, top, beyond = _within(trials)
    places: dict[str, list[int]] = {}
    for number, one in enumerate(trials):
        places.setdefault(one.settings[name], []).append(number)
    names = sorted(places, key=lambda choice: float(np.min(errors[places[choice]])))[:MOST_NAMES]
    drawing, axes = figure((5.2, max(2.2, 1.2 + 0.32 * len(names))))
    rows = np.zeros(len(trials))
    for row, choice in enumerate(names):
        own = places[choice]
        rows[own] = row + (np.linspace(-0.18, 0.18, len(own)) if len(own) > 1 else 0.0)
        middle = float(np.median(errors[own]))
        axes.plot([middle, middle], [row - 0.32, row + 0.32], color=BLACK, lw=1.6, zorder=2.5)
    shown = [number for choice in names for number in places[choice]]
    _points(axes, errors[shown], rows[shown], [trials[number] for number in shown])
    axes.set_yticks(range(len(names)), [short_name(one) for one in names], parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    left_out = len(places) - len(names)
    more = f" (the {len(names)} best of {len(places)})" if left_out else ""
    axes.set_title(f"{short_name(name)}{more}", fontsize=10, loc="right", parse_math=False)
    axes.set_xlabel(unit)
    axes.set_xlim(right=top)
    _note(drawing, axes, beyond)
    return save(drawing)


@styled
def error_over_time(trials: Sequence[Tried], unit: str) -> bytes | None:
    """The error of each trial over its seconds, and the best so far over all seconds.

    The second panel takes the trials by stage, and of a stage in their order. Ridges of stage one
    only take time there, because they are scored on other folds than heads. None without a trial
    that has an error.
    """
    scored = [one for one in trials if one.error is not None]
    if not scored:
        return None
    drawing, (each, best) = figure((6.0, 5.2), nrows=2)
    errors, top, beyond = _within(scored)
    seconds = np.array([max(one.seconds, 1e-3) for one in scored])
    _points(each, seconds, errors, scored)
    if seconds.max() >= WIDE * seconds.min():
        _log_axis(each)
    each.set_xlabel("seconds of the trial")
    each.set_ylabel(unit)
    each.set_ylim(top=top)
    _note(drawing, each, beyond)
    ordered = sorted(trials, key=lambda one: one.stage != "ridge")
    spent = np.cumsum([one.seconds for one in ordered])
    stage = "heads" if any(one.stage == "heads" for one in scored) else "ridge"
    of_stage = [one.error if one.stage == stage else None for one in ordered]
    lowest = np.minimum.accumulate([np.inf if error is None else error for error in of_stage])
    known = np.isfinite(lowest)
    best.step(spent[known], lowest[known], where="post", color=BLACK, lw=1.6)
    best.plot(spent[known][-1:], lowest[known][-1:], "o", color=BLACK, ms=4)
    best.set_xlabel("seconds of all trials so far")
    best.set_ylabel(f"lowest {unit} so far")
    return save(drawing)


def _within(trials: Sequence[Tried]) -> tuple[np.ndarray, float, int]:
    """Errors cut at a highest one, that one, and how many were cut."""
    errors = np.array([one.error for one in trials], np.float64)
    low, most = float(errors.min()), float(errors.max())
    highest = min(most, max(HIGHEST * float(np.median(errors)), low * 1.2))
    beyond = int((errors > highest).sum())
    return np.minimum(errors, highest), highest + 0.05 * ((highest - low) or 1.0), beyond


def _points(axes: Axes, x: np.ndarray, y: np.ndarray, trials: Sequence[Tried]) -> None:
    """A dot for each trial, coloured by its stage and status."""
    for look, (text, colour) in LOOKS.items():
        own = np.array([_look(one) == look for one in trials])
        if not own.any():
            continue
        axes.scatter(x[own], y[own], s=20, color=colour, lw=0, label=text, zorder=3)


def _log_axis(axes: Axes) -> None:
    """A logarithmic axis x whose labels are few: 0.001, 0.003, 0.01."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _note(drawing: Figure, axes: Axes, beyond: int) -> None:
    """The legend, above all panels: names beside the axes leave them little room."""
    if beyond:
        axes.plot([], [], " ", label=f"larger: {beyond:,}, at the edge")
    drawing.legend(loc="outside upper left", ncols=3, columnspacing=1, handletextpad=0.2)
