"""A run's pictures: PNG files of 160 dots an inch, legible at half their size.

Figures are drawn on their own canvas and never through pyplot, so that nothing is shared with a
notebook's figures. The same numbers give the same bytes.
"""

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxreg.common.files import safe_name, write_whole

# Okabe and Ito's colours, told apart by all common kinds of colour vision.
BLUE, VERMILLION, BLACK, GREY = "#0072B2", "#D55E00", "#222222", "#8A8F98"

SIDES = {"train": GREY, "validation": BLUE, "test": VERMILLION}
"""The splits that are drawn, back to front."""

DOTS_PER_INCH = 160
LONGEST_NAME = 40  # letters of a target's name in a picture


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """A different `safe_name` for each name, also where letters' case does not count."""
    told: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        safe, count = safe_name(name), 1
        while safe.lower() in taken:
            count += 1
            safe = f"{safe_name(name)}-{count}"
        taken.add(safe.lower())
        told[name] = safe
    return told


def write_curves(
    path: Path, trainings: Sequence[Mapping[str, Sequence[float]]], best_epoch: int | None
) -> None:
    """Draw loss and validation loss over the epochs, and below them the learning rate.

    Args:
        path: the PNG to write.
        trainings: of each, the columns `epoch` (from 1), `loss`, `val_loss` and `learning_rate`,
            equally long; numbers that are not finite are gaps.
        best_epoch: the epoch of the lowest validation loss, None to mark none.
    """
    figure = Figure(figsize=(6.0, 4.4), layout="constrained")
    losses, rate = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    longest = max(trainings, key=lambda columns: len(columns["epoch"]))
    marker = "o" if len(longest["epoch"]) < 25 and len(trainings) == 1 else None
    look = {"marker": marker, "ms": 3.5, "lw": 1.8 if len(trainings) == 1 else 1.0}
    drawn = []
    for name, label, colour in [
        ("loss", "training (dropout on)", GREY),
        ("val_loss", "validation", BLUE),
    ]:
        for columns in trainings:
            values = _finite_or_gap(columns[name])
            shown = label if columns is trainings[0] else None
            losses.plot(columns["epoch"], values, color=colour, label=shown, **look)
            drawn.append(values)
    values = np.concatenate(drawn)
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 20 * values.min():
        losses.set_yscale("log")
    if best_epoch is not None:
        losses.axvline(best_epoch, color=VERMILLION, lw=1.2, ls="--", label=f"best: {best_epoch}")
    losses.set_ylabel("loss")
    losses.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    rates = _finite_or_gap(longest["learning_rate"])
    rate.plot(longest["epoch"], rates, color=BLACK, lw=1.4, marker=marker, ms=3.5)
    rate.ticklabel_format(axis="y", useOffset=False)
    rate.set_ylabel("learning\nrate")
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _save(figure, path)


def write_predicted_against_true(
    path: Path, target: str, true: np.ndarray, predicted: np.ndarray, split: np.ndarray
) -> None:
    """Draw one target's predictions over its true values; on the line, both are the same.

    Args:
        path: the PNG to write.
        target: its name.
        true: (N,), target units.
        predicted: (N,), target units; numbers that are not finite are counted, not drawn, and
            those far from all true ones are drawn at the rim.
        split: (N,), `train`, `validation`, `test` or `left-out`; the last are not drawn.
    """
    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    axes = figure.subplots()
    sides = _finite_sides(true, predicted, split)
    low, high = _frame(sides)
    beyond = 0
    for side, x, y in sides:
        _scatter(axes, side, x, np.clip(y, low, high))
        beyond += int(((y < low) | (y > high)).sum())
    axes.axline((low, low), slope=1, color=BLACK, lw=1, zorder=4)
    margin = (high - low) * 0.04
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
    axes.set_xlabel(f"true {_short(target)} (target units)", parse_math=False)
    axes.set_ylabel("predicted (target units)")
    _legend(axes, {"not finite": _not_finite(true, predicted, split), "beyond, at the rim": beyond})
    _save(figure, path)


def write_residuals(
    path: Path, target: str, true: np.ndarray, predicted: np.ndarray, split: np.ndarray
) -> None:
    """Draw one target's errors, predicted − true: how often each size, and over the true values.

    The arguments are those of `write_predicted_against_true`.
    """
    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    often, over = figure.subplots(2, 1)
    sides = [(side, x, y - x) for side, x, y in _finite_sides(true, predicted, split)]
    edges = _edges([error for _, _, error in sides])
    for side, x, error in sides:
        share = np.full(len(error), 100 / len(error))
        look = {"train": {"histtype": "stepfilled", "alpha": 0.35}}.get(side, {"histtype": "step"})
        clipped = np.clip(error, edges[0], edges[-1])  # what lies beyond is in the outermost bars
        often.hist(clipped, edges, weights=share, color=SIDES[side], lw=1.8, label=side, **look)
        _scatter(over, side, x, error)
    for line in (often.axvline, over.axhline):
        line(0, color=BLACK, lw=1, zorder=4)
    often.set_xlabel(f"error of {_short(target)} (target units)", parse_math=False)
    often.set_ylabel("rows of the split (%)")
    over.set_xlabel(f"true {_short(target)} (target units)", parse_math=False)
    over.set_ylabel("error (target units)")
    _legend(often, {"not finite": _not_finite(true, predicted, split)})
    _save(figure, path)


def _finite_or_gap(values: Sequence[float]) -> np.ndarray:
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _finite_sides(
    true: np.ndarray, predicted: np.ndarray, split: np.ndarray
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, true and predicted values of each split that has something to draw."""
    finite = np.isfinite(true) & np.isfinite(predicted)
    chosen = [(side, finite & (split == side)) for side in SIDES]
    return [
        (side, true[rows].astype(np.float64), predicted[rows].astype(np.float64))
        for side, rows in chosen
        if rows.any()
    ]


def _scatter(axes: Axes, side: str, x: np.ndarray, y: np.ndarray) -> None:
    """Dots that fade and shrink as they grow many: a hundred thousand still show their density."""
    many = len(x)
    size = float(np.clip(2000 / many, 2, 16))
    alpha = float(np.clip(25 / many**0.5, 0.06, 0.85)) * (0.45 if side == "train" else 1)
    axes.scatter(x, y, s=size, color=SIDES[side], alpha=alpha, lw=0, label=f"{side} ({many:,})")


def _frame(sides: list[tuple[str, np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """The range of all values, but no wider on either side than the true values' own range."""
    if not sides:
        return 0.0, 1.0
    true = np.concatenate([x for _, x, _ in sides])
    both = np.concatenate([true, *(y for _, _, y in sides)])
    low, high = float(both.min()), float(both.max())
    width = float(np.ptp(true))
    if width:
        return max(low, float(true.min()) - width), min(high, float(true.max()) + width)
    return (low, high) if high > low else (low - 1, low + 1)


def _edges(errors: list[np.ndarray]) -> np.ndarray:
    """Edges of a histogram centred on 0, which a few huge errors cannot flatten."""
    together = np.abs(np.concatenate(errors)) if errors else np.zeros(1)
    reach = min(together.max(), 6 * np.quantile(together, 0.75) or together.max()) or 1.0
    bars = 2 * int(np.clip(len(together) ** 0.5 / 2, 5, 25)) + 1  # odd: one bar holds 0
    return np.linspace(-reach, reach, bars + 1)


def _not_finite(true: np.ndarray, predicted: np.ndarray, split: np.ndarray) -> int:
    finite = np.isfinite(true) & np.isfinite(predicted)
    return int((~finite & np.isin(split, list(SIDES))).sum())


def _legend(axes: Axes, counts: Mapping[str, int]) -> None:
    """Name what is drawn, and count what is not."""
    for label, count in counts.items():
        if count:
            axes.plot([], [], " ", label=f"{label} ({count:,})")
    if not axes.get_legend_handles_labels()[0]:
        return
    legend = axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):  # as visible as text, however small the dots are
            handle.set(alpha=0.9, sizes=[24])


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _save(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E3E5E8", lw=0.8)
        axes.set_axisbelow(True)
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():  # a target named in a script that the font lacks is only boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        picture = io.BytesIO()
        canvas.print_figure(picture, dpi=DOTS_PER_INCH, metadata={"Software": None})
    write_whole(path, picture.getvalue())
