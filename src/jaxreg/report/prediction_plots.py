"""The plots of the predictions of a target: over the true values, and their errors."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from jaxreg.report.plots import (
    BLACK,
    SIDES,
    figure,
    legend,
    save,
    short_name,
    styled,
)
from jaxreg.target_types import PLAIN, TargetType, difference


class Chart(NamedTuple):
    """A plot of predictions over true values, and where its axes are."""

    png: bytes
    left: float  # of the axes, as a share of the picture's width
    top: float  # as a share of the picture's height
    width: float
    height: float
    low: float  # of both axes at their ends, target units
    high: float

    def places(self, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(rows, 2): where rows are drawn, as shares of the picture from its left and its top."""
        reach = self.high - self.low
        across = (np.clip(true, self.low, self.high) - self.low) / reach
        down = (self.high - np.clip(predicted, self.low, self.high)) / reach
        both = [self.left + self.width * across, self.top + self.height * down]
        return np.stack(both, axis=1)


@styled
def predicted_against_true(
    target: str,
    true: np.ndarray,
    predicted: np.ndarray,
    split: np.ndarray,
    kind: TargetType = PLAIN,
) -> Chart:
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
    ends = low - margin, high + margin
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.set_xlabel(f"true {short_name(target)} (target units)", parse_math=False)
    axes.set_ylabel("predicted (target units)")
    not_finite = _not_finite(true, predicted, split)
    _legend_with_counts(axes, {"not finite": not_finite, "out of range, at the edge": beyond})
    png, box = save(drawing), axes.get_position()  # the layout is made when it is drawn
    return Chart(png, box.x0, 1 - box.y1, box.width, box.height, *ends)


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
    counts.set_xlabel(f"error of {short_name(target)} (target units)", parse_math=False)
    counts.set_ylabel("rows of the split (%)")
    over.set_xlabel(f"true {short_name(target)} (target units)", parse_math=False)
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
