"""Pictures of the page: one for each finding that numbers alone do not show, one for each trial."""

import io
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxreg.runs.plots import BLACK, BLUE, DOTS_PER_INCH, GREY, VERMILLION
from jaxreg.verdict import Observed, network
from jaxreg.verdict.probe import FACTORS

Draw = Callable[[Axes, Observed], None]


def picture(draw: Callable[[Axes], None], size: tuple[float, float] = (5.6, 3.2)) -> bytes:
    """A PNG of one set of axes."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E3E5E8", lw=0.8)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), fontsize=9)
    told = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(told, dpi=DOTS_PER_INCH, metadata={"Software": None})
    return told.getvalue()


def of_finding(code: str, seen: Observed) -> bytes | None:
    """The picture of a finding, None for those without one."""
    draw = FINDINGS.get(code)
    if draw is None or (draw in (_curves,) and not seen.epochs):
        return None
    if draw is _rates and seen.probe is None:
        return None
    return picture(lambda axes: draw(axes, seen))


def _targets(axes: Axes, seen: Observed) -> None:
    """How often which target, and which prediction."""
    sets = {
        "training targets": (seen.y[seen.train], GREY),
        "validation targets": (seen.y[seen.watched], BLUE),
        "predictions": (seen.predictions[seen.watched], VERMILLION),
    }
    finite = {name: (_finite(values), colour) for name, (values, colour) in sets.items()}
    together = np.concatenate([values for values, _ in finite.values()])
    edges = np.linspace(together.min(), together.max() or 1.0, 41)
    if edges[0] == edges[-1]:
        edges = np.linspace(edges[0] - 1, edges[0] + 1, 41)
    for name, (values, colour) in finite.items():
        share = np.full(len(values), 100 / max(1, len(values)))
        axes.hist(values, edges, weights=share, histtype="step", color=colour, lw=1.8, label=name)
    axes.set_xlabel("target units")
    axes.set_ylabel("% of them")
    axes.set_yscale("symlog", linthresh=1)


def _inputs(axes: Axes, seen: Observed) -> None:
    """What reaches the first layer: the deviation of each column, sorted."""
    inputs = seen.inputs[seen.sample_train].astype(np.float64)
    deviation = np.sort(np.nan_to_num(inputs.std(axis=0), posinf=1e38))[::-1]
    size = np.sort(np.nan_to_num(np.abs(inputs).mean(axis=0), posinf=1e38))[::-1]
    axes.plot(np.maximum(deviation, 1e-9), color=BLUE, lw=1.8, label="deviation")
    axes.plot(np.maximum(size, 1e-9), color=GREY, lw=1.8, label="mean size")
    axes.axhline(1, color=BLACK, lw=1, ls="--", label="what weights expect")
    axes.set_yscale("log")
    axes.set_xlabel("columns, largest first")
    axes.set_ylabel("at the first layer")


def _reach(axes: Axes, seen: Observed) -> None:
    """The error of validation rows over how far out their features are."""
    rows = seen.sample_watched
    reach = np.abs(seen.standard[rows]).max(axis=1)
    wrong = np.abs(seen.predictions[seen.sampled] - seen.sample_y)[rows].mean(axis=1)
    axes.scatter(reach, wrong, s=10, color=BLUE, lw=0)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=float(np.median(wrong)) or 1.0)
    axes.set_xlabel("largest feature of a validation row (deviations)")
    axes.set_ylabel("its error")


def _shift(axes: Axes, seen: Observed) -> None:
    """How far each column's validation mean lies from the training mean, sorted."""
    standard = np.clip(seen.standard, -10, 10)
    moved = standard[seen.sample_watched].mean(axis=0) - standard[seen.sample_train].mean(axis=0)
    rows = seen.sampled[seen.sample_train]
    place = np.lexsort((seen.order[rows], seen.sequence[rows]))
    fifth = seen.sample_train[place[: max(1, len(place) // 5)]]
    usual = standard[fifth].mean(axis=0) - standard[seen.sample_train].mean(axis=0)
    axes.plot(np.sort(moved), color=BLUE, lw=1.8, label="validation rows")
    axes.plot(np.sort(usual), color=GREY, lw=1.8, label="a fifth of the training rows")
    axes.set_xlabel("columns, sorted")
    axes.set_ylabel("mean, in training deviations")


def _rates(axes: Axes, seen: Observed) -> None:
    """What other learning rates reach."""
    probe = seen.probe
    assert probe is not None
    rates = seen.config.learning_rate * np.array(FACTORS)
    shown = np.isfinite(probe.reached)
    axes.plot(rates[shown], probe.reached[shown], color=BLUE, marker="o", lw=1.8,
              label="a few hundred steps")  # fmt: skip
    axes.axhline(probe.run, color=VERMILLION, lw=1.4, ls="--", label="the whole run")
    axes.axvline(seen.config.learning_rate, color=BLACK, lw=1, ls=":", label="its rate")
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="validation loss")


def _curves(axes: Axes, seen: Observed) -> None:
    """Losses by epoch."""
    epochs = np.arange(1, seen.epochs + 1)
    for name, label, colour in [("loss", "training", GREY), ("val_loss", "validation", BLUE)]:
        values = np.where(np.isfinite(seen.history[name]), seen.history[name], np.nan)
        axes.plot(epochs, values, color=colour, lw=1.8, marker="o", ms=3, label=label)
    if seen.best_epoch:
        axes.axvline(seen.best_epoch, color=VERMILLION, lw=1.2, ls="--", label="best")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.set_yscale("log" if np.nanmin(values) > 0 else "linear")


def _dead(axes: Axes, seen: Observed) -> None:
    """Dead units by layer."""
    shares = [100 * network.dead_share(hidden) for hidden in seen.last_activity.hidden]
    axes.bar([f"layer {i + 1}" for i in range(len(shares))], shares, color=BLUE, width=0.6)
    axes.set_ylabel("dead units (%)")
    axes.set_ylim(0, 100)


def _linear(axes: Axes, seen: Observed) -> None:
    """A ridge's predictions over the targets."""
    middle = float(seen.median[0])
    axes.scatter(seen.y[seen.linear_rows][:, 0], seen.linear[:, 0], s=10, color=BLUE, lw=0)
    axes.axline((middle, middle), slope=1, color=BLACK, lw=1)
    axes.set(xlabel="target of a validation row", ylabel="what a ridge predicts")


def _leak(axes: Axes, seen: Observed) -> None:
    """Errors of validation rows over their distance to the nearest sampled training row."""
    standard = np.clip(seen.standard, -4, 4)
    here, there = standard[seen.sample_watched], standard[seen.sample_train]
    squares = np.square(here).sum(1)[:, None] + np.square(there).sum(1) - 2 * here @ there.T
    nearest = np.sqrt(np.maximum(squares, 0).min(axis=1) / here.shape[1])
    usual = float(np.sqrt(np.median(np.maximum(squares, 0)) / here.shape[1]))
    axes.hist(nearest, 40, color=BLUE, label="to the nearest training row")
    axes.axvline(usual, color=VERMILLION, lw=1.4, ls="--", label="to a stranger")
    axes.set(xlabel="distance of a validation row (deviations)", ylabel="rows")


def _gap(axes: Axes, seen: Observed) -> None:
    """Errors side by side."""
    told = {
        "head,\ntraining": seen.train_mae,
        "head,\nvalidation": seen.mae,
        "ridge,\nvalidation": seen.ridge_mae,
        "median,\nvalidation": seen.median_mae,
    }
    shown = {name: value for name, value in told.items() if value is not None}
    axes.bar(list(shown), list(shown.values()), color=[GREY, BLUE, BLACK, VERMILLION], width=0.6)
    axes.set_ylabel("MAE (target units)")


FINDINGS: dict[str, Draw] = {
    "non-finite": _curves,
    "inputs-identical": _inputs,
    "target-constant": _targets,
    "output-bounded": _targets,
    "inputs-unscaled": _inputs,
    "targets-outliers": _targets,
    "inputs-heavy-tailed": _reach,
    "split-leak": _leak,
    "validation-shift": _shift,
    "target-scale": _targets,
    "rows-few": _gap,
    "labels-unrelated": _linear,
    "learning-rate-high": _rates,
    "stopping-eager": _curves,
    "learning-rate-low": _rates,
    "dead-output": _dead,
    "dead-units": _dead,
    "overfit": _curves,
    "stuck-at-median": _targets,
    "columns-constant": _inputs,
    "random-weights": _gap,
}
"""Which picture goes with which finding; a test sees to it that none is missing."""


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)].ravel().astype(np.float64)
