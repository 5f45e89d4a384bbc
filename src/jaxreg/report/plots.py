"""The loss curves of a run, and the helpers that every plot of jaxreg uses. A plot is a PNG.

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
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator

from jaxreg.common.files import safe_name
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


def short_name(name: str, most: int = LONGEST_NAME) -> str:
    """A name on one line of a plot, cut to so many letters."""
    one = " ".join(name.split())
    return one if len(one) <= most else f"{one[: most - 1]}…"
