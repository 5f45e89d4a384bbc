"""Pictures for the diagnosis: one for most findings, one for each trial."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from jaxreg.diagnosis.trials import Trial
from jaxreg.report.plots import (
    BLACK,
    BLUE,
    GREY,
    VERMILLION,
    curve_labels,
    figure,
    legend,
    save,
    styled,
    with_gaps,
)
from jaxreg.verdict import dead_head
from jaxreg.verdict.catalogue import CAUSES
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.short_training import FACTORS


@styled
def of_finding(finding: Mapping[str, Any], obs: Observed) -> bytes | None:
    """The picture of a finding of a verdict as a PNG, for the first target that it is about.

    None if its cause has none or this run cannot draw it.
    """
    cause = next((cause for cause in CAUSES if cause.code == finding["code"]), None)
    if cause is None or cause.picture is None:
        return None
    name = cause.picture
    if cause.per_target:
        named = finding.get("targets", obs.targets)[0]
        obs = next(one for one in obs.each if one.targets == (named,))
    cannot = {"curves": not obs.epochs, "gap": len(obs.targets) > 1}
    if cannot.get(name) or (name == "rates" and not obs.probe):
        return None
    drawing, axes = figure()
    FINDINGS[name](axes, obs)
    legend(axes)
    return save(drawing)


@styled
def of_trial(trial: Trial) -> bytes | None:
    """The picture of a trial as a PNG; None if the trial has none."""
    draw = TRIALS.get(trial.name)
    if draw is None or (trial.name == "curve" and not trial.series):
        return None
    height = 0.36 * len(trial.numbers["mae"]) + 1.2 if trial.name == "columns" else 3.2
    drawing, axes = figure((5.6, height))
    draw(axes, trial)
    legend(axes)
    return save(drawing)


def _targets(axes: Axes, obs: Observed) -> None:
    """Histograms of targets and predictions."""
    sets = {
        "training targets": (obs.y[obs.train], GREY),
        "validation targets": (obs.y[obs.validation], BLUE),
        "predictions": (obs.predictions[obs.validation], VERMILLION),
    }
    finite = {name: (_finite(values), colour) for name, (values, colour) in sets.items()}
    all_values = np.concatenate([values for values, _ in finite.values()])
    edges = np.linspace(all_values.min(), all_values.max() or 1.0, 41)
    if edges[0] == edges[-1]:
        edges = np.linspace(edges[0] - 1, edges[0] + 1, 41)
    for name, (values, colour) in finite.items():
        share = np.full(len(values), 100 / max(1, len(values)))
        axes.hist(values, edges, weights=share, histtype="step", color=colour, lw=1.8, label=name)
    axes.set(xlabel="target units", ylabel="share (%)")
    axes.set_yscale("symlog", linthresh=1)


def _inputs(axes: Axes, obs: Observed) -> None:
    """The std and the mean size of each column at the first layer, sorted."""
    inputs = obs.inputs[obs.sample_train].astype(np.float64)
    std = np.sort(np.nan_to_num(inputs.std(axis=0), posinf=1e38))[::-1]
    size = np.sort(np.nan_to_num(np.abs(inputs).mean(axis=0), posinf=1e38))[::-1]
    axes.plot(np.maximum(std, 1e-9), color=BLUE, lw=1.8, label="std")
    axes.plot(np.maximum(size, 1e-9), color=GREY, lw=1.8, label="mean size")
    axes.axhline(1, color=BLACK, lw=1, ls="--", label="expected scale")
    axes.set(yscale="log", xlabel="columns, largest first", ylabel="at the first layer")


def _reach(axes: Axes, obs: Observed) -> None:
    """The error of each validation row over its largest standardized feature."""
    rows = obs.sample_validation
    reach = np.abs(obs.standard[rows]).max(axis=1)
    error = obs.errors[obs.sampled[rows]]
    axes.scatter(reach, error, s=10, color=BLUE, lw=0)
    axes.set_yscale("symlog", linthresh=float(np.median(error)) or 1.0)
    axes.set(xscale="log", xlabel="largest feature of a validation row (std)")
    axes.set_ylabel("error (target units)" if len(obs.targets) == 1 else "mean error (std)")


def _shift(axes: Axes, obs: Observed) -> None:
    """The difference between validation and training mean of each column, sorted."""
    standard = np.clip(obs.standard, -10, 10)
    moved = standard[obs.sample_validation].mean(axis=0) - standard[obs.sample_train].mean(axis=0)
    rows = obs.sampled[obs.sample_train]
    place = np.lexsort((obs.order[rows], obs.sequence[rows]))
    fifth = obs.sample_train[place[: max(1, len(place) // 5)]]
    usual = standard[fifth].mean(axis=0) - standard[obs.sample_train].mean(axis=0)
    axes.plot(np.sort(moved), color=BLUE, lw=1.8, label="validation rows")
    axes.plot(np.sort(usual), color=GREY, lw=1.8, label="a fifth of the training rows")
    axes.set(xlabel="columns, sorted", ylabel="mean, in training std")


def _rates(axes: Axes, obs: Observed) -> None:
    """The validation loss that other learning rates reach."""
    probe = obs.probe
    assert probe is not None
    rates = obs.config.learning_rate * np.array(FACTORS)
    shown = np.isfinite(probe.reached)
    label = "a few hundred steps"
    axes.plot(rates[shown], probe.reached[shown], color=BLUE, marker="o", lw=1.8, label=label)
    axes.axhline(probe.run, color=VERMILLION, lw=1.4, ls="--", label="the whole run")
    axes.axvline(obs.config.learning_rate, color=BLACK, lw=1, ls=":", label="rate of the run")
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="validation loss")


def _curves(axes: Axes, obs: Observed) -> None:
    """The losses over the epochs."""
    epochs = np.arange(1, obs.epochs + 1)
    losses = [with_gaps(obs.history[name]) for name in ("loss", "val_loss")]
    for values, label, colour in zip(losses, curve_labels(obs.config), (GREY, BLUE), strict=True):
        axes.plot(epochs, values, color=colour, lw=1.8, marker="o", ms=3, label=label)
    if obs.state.best_epoch:
        axes.axvline(int(obs.state.best_epoch), color=VERMILLION, lw=1.2, ls="--", label="best")
    scale = "log" if np.nanmin(losses[1]) > 0 else "linear"
    axes.set(xlabel="epoch", ylabel="loss", yscale=scale)


def _dead(axes: Axes, obs: Observed) -> None:
    """The share of dead units in each layer."""
    shares = [100 * dead_head.dead_share(hidden) for hidden in obs.last_activations.hidden]
    axes.bar([f"layer {i + 1}" for i in range(len(shares))], shares, color=BLUE, width=0.6)
    axes.set(ylabel="dead units (%)", ylim=(0, 100))


def _linear(axes: Axes, obs: Observed) -> None:
    """The predictions of a ridge over the targets."""
    middle = float(obs.median[0])
    rows, predictions = obs.linear
    axes.scatter(obs.y[rows][:, 0], predictions[:, 0], s=10, color=BLUE, lw=0)
    axes.axline((middle, middle), slope=1, color=BLACK, lw=1)
    axes.set(xlabel="target of a validation row", ylabel="prediction of a ridge")


def _leak(axes: Axes, obs: Observed) -> None:
    """Distances of validation rows to the nearest sampled training row."""
    standard = np.clip(obs.standard, -4, 4)
    here, there = standard[obs.sample_validation], standard[obs.sample_train]
    squares = np.square(here).sum(1)[:, None] + np.square(there).sum(1) - 2 * here @ there.T
    nearest = np.sqrt(np.maximum(squares, 0).min(axis=1) / here.shape[1])
    usual = float(np.sqrt(np.median(np.maximum(squares, 0)) / here.shape[1]))
    axes.hist(nearest, 40, color=BLUE, label="to the nearest training row")
    axes.axvline(usual, color=VERMILLION, lw=1.4, ls="--", label="median distance to all")
    axes.set(xlabel="distance of a validation row (std)", ylabel="rows")


def _gap(axes: Axes, obs: Observed) -> None:
    """The errors of the head, the ridge and the median side by side."""
    errors = {
        "head,\ntraining": obs.train_mae,
        "head,\nvalidation": obs.mae,
        "ridge,\nvalidation": obs.ridge_mae,
        "median,\nvalidation": obs.median_mae,
    }
    shown = {name: value for name, value in errors.items() if value is not None}
    axes.bar(list(shown), list(shown.values()), color=[GREY, BLUE, BLACK, VERMILLION], width=0.6)
    axes.set_ylabel("MAE (target units)")


FINDINGS: dict[str, Callable[[Axes, Observed], None]] = {
    "targets": _targets,
    "inputs": _inputs,
    "reach": _reach,
    "shift": _shift,
    "rates": _rates,
    "curves": _curves,
    "dead": _dead,
    "linear": _linear,
    "leak": _leak,
    "gap": _gap,
}
"""The drawings that `Cause.picture` names."""


def _short(trial: Trial) -> str:
    return " (std)" if trial.unit else ""


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)].ravel().astype(np.float64)


def _overfit(axes: Axes, trial: Trial) -> None:
    axes.plot(with_gaps(trial.series["loss"], positive=True), color=BLUE, lw=1.2)
    axes.set(yscale="log", xlabel="step", ylabel="loss of a batch")


def _range(axes: Axes, trial: Trial) -> None:
    for name, label, look in [
        ("loss", "each step", {"color": GREY, "lw": 0.8}),
        ("smooth", "smoothed", {"color": BLUE, "lw": 1.8}),
    ]:
        losses = with_gaps(trial.series[name], positive=True)
        axes.plot(trial.series["rate"], losses, label=label, **look)
    axes.axvline(trial.numbers["good"], color=VERMILLION, ls="--", lw=1.2, label="good")
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="loss")


def _gradients(axes: Axes, trial: Trial) -> None:
    ratios = trial.series["ratios"]
    for i, values in enumerate(ratios.T):
        name = "output" if i == ratios.shape[1] - 1 else f"layer {i + 1}"
        look = {"color": VERMILLION if name == "output" else BLUE, "lw": 1.4}
        alpha = 0.35 + 0.6 * i / len(ratios.T)
        axes.plot(with_gaps(values, positive=True), label=name, alpha=alpha, **look)
    axes.axhspan(1e-5, 0.1, color=GREY, alpha=0.12, lw=0)
    axes.set(yscale="log", xlabel="step", ylabel="update over weights")


def _curve(axes: Axes, trial: Trial) -> None:
    series, word = trial.series, trial.numbers["counted"]
    floor, slope, power = series["law"]
    sizes = np.geomspace(series["sizes"][0], series["asked"][-1], 100)
    law = floor + slope * sizes**-power
    axes.plot(sizes, law, color=GREY, ls="--", lw=1.4, label="extrapolated")
    axes.plot(series["sizes"], series["mae"], color=BLUE, marker="o", lw=1.8, label="measured")
    label, asked = f"2 and 10 times the {word}", series["asked"][1:]
    axes.plot(asked, series["predicted"][1:], "o", color=VERMILLION, mfc="none", label=label)
    axes.set(xscale="log", xlabel=f"training {word}", ylabel=f"validation MAE{_short(trial)}")
    axes.set_ylim(0, 1.1 * np.max(series["mae"]))


def _seeds(axes: Axes, trial: Trial) -> None:
    maes = trial.series["mae"]
    axes.bar([str(i) for i in range(len(maes))], maes, color=BLUE, width=0.6)
    axes.set(xlabel="seed", ylabel=f"validation MAE{_short(trial)}")


def _columns(axes: Axes, trial: Trial) -> None:
    ranked = sorted(trial.numbers["mae"].items(), key=lambda pair: -pair[1])
    axes.barh([name for name, _ in ranked], [mae for _, mae in ranked], color=BLUE, height=0.6)
    axes.set_xlabel(f"validation MAE of a ridge{_short(trial)}")


def _noise(axes: Axes, trial: Trial) -> None:
    delta, gamma = trial.series["delta"], trial.series["gamma"]
    slope, variance = trial.series["line"]
    reach, label = np.array([0, delta.max()]), "extrapolated to 0"
    axes.plot(reach, variance + slope * reach, color=GREY, ls="--", lw=1.4, label=label)
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
