"""The picture of each trial."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes

from jaxreg.diagnosis.pictures import picture
from jaxreg.diagnosis.trials import Trial
from jaxreg.runs.plots import BLACK, BLUE, GREY, VERMILLION


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
