"""Pictures of the page: one for each finding that numbers alone do not show, one for each trial."""

import io
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxreg.diagnosis.trials import Trial
from jaxreg.report.plots import BLACK, BLUE, DOTS_PER_INCH, GREY, VERMILLION
from jaxreg.verdict import dead_head
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.short_training import FACTORS

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


def of_finding(code: str, obs: Observed) -> bytes | None:
    """The picture of a finding, None for those without one."""
    draw = FINDINGS.get(code)
    if draw is None or (draw in (_curves,) and not obs.epochs):
        return None
    if draw is _rates and obs.probe is None:
        return None
    return picture(lambda axes: draw(axes, obs))


def _targets(axes: Axes, obs: Observed) -> None:
    """How often which target, and which prediction."""
    sets = {
        "training targets": (obs.y[obs.train], GREY),
        "validation targets": (obs.y[obs.validation], BLUE),
        "predictions": (obs.predictions[obs.validation], VERMILLION),
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


def _inputs(axes: Axes, obs: Observed) -> None:
    """What reaches the first layer: the std of each column, sorted."""
    inputs = obs.inputs[obs.sample_train].astype(np.float64)
    std = np.sort(np.nan_to_num(inputs.std(axis=0), posinf=1e38))[::-1]
    size = np.sort(np.nan_to_num(np.abs(inputs).mean(axis=0), posinf=1e38))[::-1]
    axes.plot(np.maximum(std, 1e-9), color=BLUE, lw=1.8, label="std")
    axes.plot(np.maximum(size, 1e-9), color=GREY, lw=1.8, label="mean size")
    axes.axhline(1, color=BLACK, lw=1, ls="--", label="what weights expect")
    axes.set_yscale("log")
    axes.set_xlabel("columns, largest first")
    axes.set_ylabel("at the first layer")


def _reach(axes: Axes, obs: Observed) -> None:
    """The error of validation rows over how far out their features are."""
    rows = obs.sample_validation
    reach = np.abs(obs.standard[rows]).max(axis=1)
    wrong = np.abs(obs.predictions[obs.sampled] - obs.sample_y)[rows].mean(axis=1)
    axes.scatter(reach, wrong, s=10, color=BLUE, lw=0)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=float(np.median(wrong)) or 1.0)
    axes.set_xlabel("largest feature of a validation row (std)")
    axes.set_ylabel("its error")


def _shift(axes: Axes, obs: Observed) -> None:
    """How far each column's validation mean lies from the training mean, sorted."""
    standard = np.clip(obs.standard, -10, 10)
    moved = standard[obs.sample_validation].mean(axis=0) - standard[obs.sample_train].mean(axis=0)
    rows = obs.sampled[obs.sample_train]
    place = np.lexsort((obs.order[rows], obs.sequence[rows]))
    fifth = obs.sample_train[place[: max(1, len(place) // 5)]]
    usual = standard[fifth].mean(axis=0) - standard[obs.sample_train].mean(axis=0)
    axes.plot(np.sort(moved), color=BLUE, lw=1.8, label="validation rows")
    axes.plot(np.sort(usual), color=GREY, lw=1.8, label="a fifth of the training rows")
    axes.set_xlabel("columns, sorted")
    axes.set_ylabel("mean, in training std")


def _rates(axes: Axes, obs: Observed) -> None:
    """What other learning rates reach."""
    probe = obs.probe
    assert probe is not None
    rates = obs.config.learning_rate * np.array(FACTORS)
    shown = np.isfinite(probe.reached)
    axes.plot(rates[shown], probe.reached[shown], color=BLUE, marker="o", lw=1.8,
              label="a few hundred steps")  # fmt: skip
    axes.axhline(probe.run, color=VERMILLION, lw=1.4, ls="--", label="the whole run")
    axes.axvline(obs.config.learning_rate, color=BLACK, lw=1, ls=":", label="its rate")
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="validation loss")


def _curves(axes: Axes, obs: Observed) -> None:
    """Losses by epoch."""
    epochs = np.arange(1, obs.epochs + 1)
    for name, label, colour in [("loss", "training", GREY), ("val_loss", "validation", BLUE)]:
        values = np.where(np.isfinite(obs.history[name]), obs.history[name], np.nan)
        axes.plot(epochs, values, color=colour, lw=1.8, marker="o", ms=3, label=label)
    if obs.best_epoch:
        axes.axvline(obs.best_epoch, color=VERMILLION, lw=1.2, ls="--", label="best")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.set_yscale("log" if np.nanmin(values) > 0 else "linear")


def _dead(axes: Axes, obs: Observed) -> None:
    """Dead units by layer."""
    shares = [100 * dead_head.dead_share(hidden) for hidden in obs.last_activations.hidden]
    axes.bar([f"layer {i + 1}" for i in range(len(shares))], shares, color=BLUE, width=0.6)
    axes.set_ylabel("dead units (%)")
    axes.set_ylim(0, 100)


def _linear(axes: Axes, obs: Observed) -> None:
    """A ridge's predictions over the targets."""
    middle = float(obs.median[0])
    axes.scatter(obs.y[obs.linear_rows][:, 0], obs.linear[:, 0], s=10, color=BLUE, lw=0)
    axes.axline((middle, middle), slope=1, color=BLACK, lw=1)
    axes.set(xlabel="target of a validation row", ylabel="what a ridge predicts")


def _leak(axes: Axes, obs: Observed) -> None:
    """Errors of validation rows over their distance to the nearest sampled training row."""
    standard = np.clip(obs.standard, -4, 4)
    here, there = standard[obs.sample_validation], standard[obs.sample_train]
    squares = np.square(here).sum(1)[:, None] + np.square(there).sum(1) - 2 * here @ there.T
    nearest = np.sqrt(np.maximum(squares, 0).min(axis=1) / here.shape[1])
    usual = float(np.sqrt(np.median(np.maximum(squares, 0)) / here.shape[1]))
    axes.hist(nearest, 40, color=BLUE, label="to the nearest training row")
    axes.axvline(usual, color=VERMILLION, lw=1.4, ls="--", label="to a stranger")
    axes.set(xlabel="distance of a validation row (std)", ylabel="rows")


def _gap(axes: Axes, obs: Observed) -> None:
    """Errors side by side."""
    told = {
        "head,\ntraining": obs.train_mae,
        "head,\nvalidation": obs.mae,
        "ridge,\nvalidation": obs.ridge_mae,
        "median,\nvalidation": obs.median_mae,
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


def of_trial(trial: Trial) -> bytes | None:
    """A PNG, None for a trial that has nothing to draw."""
    draw = TRIALS.get(trial.name)
    if draw is None:
        return None
    tall = 0.36 * len(trial.numbers["mae"]) + 1.2 if trial.name == "columns" else 3.2
    return picture(lambda axes: draw(axes, trial), (5.6, tall))


def _overfit(axes: Axes, trial: Trial) -> None:
    axes.plot(_above(trial.series["loss"]), color=BLUE, lw=1.2)
    axes.set(yscale="log", xlabel="step", ylabel="loss of a batch")


def _range(axes: Axes, trial: Trial) -> None:
    rate = trial.series["rate"]
    axes.plot(rate, _above(trial.series["loss"]), color=GREY, lw=0.8, label="each step")
    axes.plot(rate, _above(trial.series["smooth"]), color=BLUE, lw=1.8, label="smoothed")
    axes.axvline(trial.numbers["good"], color=VERMILLION, ls="--", lw=1.2, label="good")
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="loss")


def _gradients(axes: Axes, trial: Trial) -> None:
    ratios = trial.series["ratios"]
    for i, values in enumerate(ratios.T):
        name = "output" if i == ratios.shape[1] - 1 else f"layer {i + 1}"
        colour = VERMILLION if name == "output" else BLUE
        axes.plot(
            _above(values), lw=1.4, label=name, color=colour, alpha=0.35 + 0.6 * i / len(ratios.T)
        )
    axes.axhspan(1e-5, 0.1, color=GREY, alpha=0.12, lw=0)
    axes.set(yscale="log", xlabel="step", ylabel="update over weights")


def _curve(axes: Axes, trial: Trial) -> None:
    series = trial.series
    floor, slope, power = series["law"]
    rows = np.geomspace(series["rows"][0], series["asked"][-1], 100)
    axes.plot(rows, floor + slope * rows**-power, color=GREY, ls="--", lw=1.4, label="going on")
    axes.plot(series["rows"], series["mae"], color=BLUE, marker="o", lw=1.8, label="measured")
    axes.plot(series["asked"][1:], series["told"][1:], "o", color=VERMILLION, mfc="none",
              label="2 and 10 times the rows")  # fmt: skip
    axes.set(xscale="log", xlabel="training rows", ylabel="validation MAE")
    axes.set_ylim(bottom=0)


def _seeds(axes: Axes, trial: Trial) -> None:
    maes = trial.series["mae"]
    axes.bar([str(i) for i in range(len(maes))], maes, color=BLUE, width=0.6)
    axes.set(xlabel="first weights", ylabel="validation MAE")


def _columns(axes: Axes, trial: Trial) -> None:
    told = sorted(trial.numbers["mae"].items(), key=lambda pair: -pair[1])
    axes.barh([name for name, _ in told], [mae for _, mae in told], color=BLUE, height=0.6)
    axes.set_xlabel("validation MAE of a ridge")


def _noise(axes: Axes, trial: Trial) -> None:
    delta, gamma = trial.series["delta"], trial.series["gamma"]
    slope, variance = trial.series["line"]
    reach = np.array([0, delta.max()])
    axes.plot(reach, variance + slope * reach, color=GREY, ls="--", lw=1.4, label="to no distance")
    axes.plot(delta, gamma, "o", color=BLUE, label="1st to 5th neighbours")
    axes.plot([0], [variance], "o", color=VERMILLION, label="noise")
    axes.set(xlabel="squared distance of features", ylabel="½ squared difference\nof targets")
    axes.set_ylim(bottom=0)
    axes.axvline(0, color=BLACK, lw=0.8)


TRIALS: dict[str, Callable[[Axes, Trial], None]] = {
    "overfit": _overfit,
    "range": _range,
    "gradients": _gradients,
    "curve": _curve,
    "seeds": _seeds,
    "columns": _columns,
    "noise": _noise,
}


def _above(values: np.ndarray) -> np.ndarray:
    """Values that a logarithmic axis can show; others are gaps."""
    numbers = np.asarray(values, np.float64)
    return np.where(np.isfinite(numbers) & (numbers > 0), numbers, np.nan)
