"""The plots of a run, and the helpers that every plot of jaxreg uses. A plot is a PNG as bytes.

The helpers never use pyplot, so they share no state with a notebook's figures. The same numbers
give the same bytes. Every function that draws is decorated with `styled`.
"""

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator

from jaxreg.common.files import safe_name
from jaxreg.target_types import PLAIN, TargetType, difference
from jaxreg.train_config import HeadConfig

# The colours of Okabe and Ito: readers with any common kind of colour vision can distinguish them.
BLUE, VERMILLION, BLACK, GREY = "#0072B2", "#D55E00", "#222222", "#8A8F98"

SIDES = {"train": GREY, "validation": BLUE, "test": VERMILLION}
"""The splits to draw, from back to front."""

LONGEST_NAME = 32  # letters of a target's name in a plot
MOVES = 0.01  # of the highest learning rate: smaller changes are not drawn

styled = rc_context({
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E5E8",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "savefig.dpi": 160,  # legible at half its size
})  # fmt: skip


def figure(size: tuple[float, float] = (5.6, 3.2), **subplots: Any) -> tuple[Figure, Any]:
    """A figure of this size in inches, and its axes; `subplots` goes to `Figure.subplots`."""
    made = Figure(figsize=size, layout="constrained")
    return made, made.subplots(**subplots)


def save(figure: Figure) -> bytes:
    """The figure as a PNG."""
    with warnings.catch_warnings():  # the font may lack the letters of a target's name
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        picture = io.BytesIO()
        FigureCanvasAgg(figure).print_figure(picture, metadata={"Software": None})
    return picture.getvalue()


def legend(axes: Axes, columns: int = 3) -> Legend | None:
    """Draw the legend above the axes, if they have labels."""
    if not axes.get_legend_handles_labels()[0]:
        return None
    return axes.legend(ncols=columns, loc="lower left", bbox_to_anchor=(0, 1))


def with_gaps(values: Sequence[float] | np.ndarray, *, positive: bool = False) -> np.ndarray:
    """The values with NaN, a gap in a line, for those that are not finite (or not positive)."""
    numbers = np.asarray(values, dtype=np.float64)
    shown = np.isfinite(numbers) & (numbers > 0) if positive else np.isfinite(numbers)
    return np.where(shown, numbers, np.nan)


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """A `safe_name` for each name; no two are equal, even where case does not count."""
    chosen: dict[str, str] = {}
    for name in names:
        safe, count = safe_name(name), 1
        while safe.lower() in map(str.lower, chosen.values()):
            count += 1
            safe = f"{safe_name(name)}-{count}"
        chosen[name] = safe
    return chosen


def curve_labels(config: HeadConfig) -> tuple[str, str]:
    """What the lines of the training loss and of the validation loss are."""
    dropout = "dropout on" if config.dropout and config.hidden_layers else ""
    of = ", MLP alone" if config.head == "blend" else ""
    return f"training{of}{dropout and f' ({dropout})'}", f"validation{of}"


@styled
def curves(
    trainings: Sequence[Mapping[str, Sequence[float]]],
    best_epoch: int | None,
    labels: tuple[str, str],
) -> bytes:
    """Plot the training loss and the validation loss over the epochs, and a rate that moves.

    The learning rate is drawn where it moves by more than MOVES of its highest value.

    Args:
        trainings: for each training, the columns `epoch` (from 1), `loss`, `val_loss` and
            `learning_rate`, all of one length.
        best_epoch: the epoch to mark; None marks none.
        labels: of the training loss, and of the validation loss.
    """
    longest = max(trainings, key=lambda columns: len(columns["epoch"]))
    rates = with_gaps(longest["learning_rate"], positive=True)
    rates_move = moves(rates)
    drawing, panels = figure(
        (6.0, 4.4 if rates_move else 3.6),
        nrows=1 + rates_move,
        sharex=True,
        squeeze=False,
        height_ratios=(4, 1) if rates_move else None,
    )
    losses = panels[0, 0]
    marker = "o" if len(longest["epoch"]) < 25 and len(trainings) == 1 else None
    look = {"marker": marker, "ms": 3.5, "lw": 1.8 if len(trainings) == 1 else 1.0}
    drawn = []
    for name, label, colour in zip(("loss", "val_loss"), labels, (GREY, BLUE), strict=True):
        for columns in trainings:
            values = with_gaps(columns[name])
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
    legend(losses)
    if rates_move:
        rate = panels[1, 0]
        rate.plot(longest["epoch"], rates, color=BLACK, lw=1.4, marker=marker, ms=3.5)
        if np.nanmax(rates) > 20 * np.nanmin(rates):
            rate.set_yscale("log")
        else:
            rate.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        rate.set_ylabel("learning\nrate")
    panels[-1, 0].set_xlabel("epoch")
    panels[-1, 0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return save(drawing)


def moves(rates: np.ndarray) -> bool:
    """Whether learning rates, NaN where there is none, differ by more than MOVES of the highest."""
    known = rates[np.isfinite(rates)]
    return bool(len(known) and np.ptp(known) > MOVES * known.max())


@styled
def predicted_against_true(
    target: str,
    true: np.ndarray,
    predicted: np.ndarray,
    split: np.ndarray,
    kind: TargetType = PLAIN,
) -> bytes:
    """Plot the predictions of one target over its true values.

    Args:
        target: the name of the target.
        true: (N,), in target units.
        predicted: (N,), in target units. The legend counts values that are not finite. Values far
            outside the range of the true values are drawn at the edge.
        split: (N,), `train`, `validation`, `test` or `left-out`. Left-out rows are not drawn.
        kind: the type of the target; the axes of a circular one go from 0 to the period.
    """
    drawing, axes = figure((5.2, 5.0))
    sides = _finite_sides(true, predicted, split)
    low, high = (0.0, kind.period) if kind.circular else _frame(sides)
    beyond = 0
    for side, x, y in sides:
        _scatter(axes, side, x, np.clip(y, low, high))
        beyond += int(((y < low) | (y > high)).sum())
    axes.axline((low, low), slope=1, color=BLACK, lw=1, zorder=4)
    for turn in (-high, high) if kind.circular else ():  # as near, the other way around
        axes.axline((low, turn), slope=1, color=BLACK, lw=1, ls="--", zorder=4)
    margin = (high - low) * 0.04
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
    axes.set_xlabel(f"true {_short(target)} (target units)", parse_math=False)
    axes.set_ylabel("predicted (target units)")
    not_finite = _not_finite(true, predicted, split)
    _legend_with_counts(axes, {"not finite": not_finite, "out of range, at the edge": beyond})
    return save(drawing)


@styled
def residuals(
    target: str,
    true: np.ndarray,
    predicted: np.ndarray,
    split: np.ndarray,
    kind: TargetType = PLAIN,
) -> bytes:
    """Plot the errors (predicted − true) of one target: a histogram, and over the true values.

    The arguments are those of `predicted_against_true`.
    """
    drawing, (counts, over) = figure((5.2, 5.0), nrows=2)
    finite = _finite_sides(true, predicted, split)
    sides = [(side, x, difference([kind], y[:, None], x[:, None])[:, 0]) for side, x, y in finite]
    edges = _edges({side: error for side, _, error in sides})
    for side, x, error in sides:
        share = np.full(len(error), 100 / len(error))
        look = {"train": {"histtype": "stepfilled", "alpha": 0.35}}.get(side, {"histtype": "step"})
        clipped = np.clip(error, edges[0], edges[-1])  # the outermost bars hold larger errors
        counts.hist(clipped, edges, weights=share, color=SIDES[side], lw=1.8, label=side, **look)
        _scatter(over, side, x, error)
    for line in (counts.axvline, over.axhline):
        line(0, color=BLACK, lw=1, zorder=4)
    counts.set_xlabel(f"error of {_short(target)} (target units)", parse_math=False)
    counts.set_ylabel("rows of the split (%)")
    over.set_xlabel(f"true {_short(target)} (target units)", parse_math=False)
    over.set_ylabel("error (target units)")
    _legend_with_counts(counts, {"not finite": _not_finite(true, predicted, split)})
    return save(drawing)


def _finite_sides(
    true: np.ndarray, predicted: np.ndarray, split: np.ndarray
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """The name, true values and predictions of each split that has finite values."""
    finite = np.isfinite(true) & np.isfinite(predicted)
    chosen = [(side, finite & (split == side)) for side in SIDES]
    return [
        (side, true[rows].astype(np.float64), predicted[rows].astype(np.float64))
        for side, rows in chosen
        if rows.any()
    ]


def _scatter(axes: Axes, side: str, x: np.ndarray, y: np.ndarray) -> None:
    """Draw dots. They are smaller and fainter if there are many, so that their density shows."""
    many = len(x)
    size = float(np.clip(2000 / many, 2, 16))
    alpha = float(np.clip(25 / many**0.5, 0.06, 0.85)) * (0.8 if side == "train" else 1)
    axes.scatter(x, y, s=size, color=SIDES[side], alpha=alpha, lw=0, label=f"{side} ({many:,})")


def _frame(sides: list[tuple[str, np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """The range of all values, extended by at most the range of the true values on each side."""
    if not sides:
        return 0.0, 1.0
    true = np.concatenate([x for _, x, _ in sides])
    both = np.concatenate([true, *(y for _, _, y in sides)])
    low, high = float(both.min()), float(both.max())
    width = float(np.ptp(true))
    if width:
        return max(low, float(true.min()) - width), min(high, float(true.max()) + width)
    around = max(1.0, abs(low) / 1000)  # 1 is less than float64 can tell apart at 1e300
    return (low, high) if high > low else (low - around, low + around)


def _edges(errors: Mapping[str, np.ndarray]) -> np.ndarray:
    """The edges of a histogram around 0. A few huge errors do not stretch it.

    The rows of validation and test decide, where there are any: training errors may be tiny.
    """
    held_out = [one for side, one in errors.items() if side != "train"]
    sizes = np.abs(np.concatenate(held_out or [*errors.values()] or [np.zeros(1)]))
    reach = min(sizes.max(), 6 * np.quantile(sizes, 0.75) or sizes.max()) or 1.0
    bars = 2 * int(np.clip(len(sizes) ** 0.5 / 2, 5, 25)) + 1  # odd: one bar holds 0
    return np.linspace(-reach, reach, bars + 1)


def _not_finite(true: np.ndarray, predicted: np.ndarray, split: np.ndarray) -> int:
    finite = np.isfinite(true) & np.isfinite(predicted)
    known = ~np.isnan(true)  # a missing target is no fault
    return int((~finite & known & np.isin(split, list(SIDES))).sum())


def _legend_with_counts(axes: Axes, counts: Mapping[str, int]) -> None:
    """Draw the legend, with a line for each kind of value that is not drawn where it lies."""
    for label, count in counts.items():
        if count:
            axes.plot([], [], " ", label=f"{label} ({count:,})")
    drawn = legend(axes, columns=2)
    for handle in drawn.legend_handles if drawn else ():
        if isinstance(handle, PathCollection):  # as visible as text, however small the dots are
            handle.set(alpha=0.9, sizes=[24])


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
