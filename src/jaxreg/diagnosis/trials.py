"""The active tests: each answers one question about a head or its data in a sentence."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxreg.head.rates import Rates
from jaxreg.target_types import Types, medians
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.short_training import STEPS, Bench
from jaxreg.verdict.small_ridge import MOST, small_ridge

STAGES = 8  # of STEPS steps, in each test
FEW = 64  # rows to learn by heart
LEARNED = 0.05  # of the first loss
LOWEST, HIGHEST = 1e-6, 10.0  # learning rates
FIRST = 200  # steps: the gradients of these are shown
SEEDS = 4
NEIGHBOURS = 5
DIRECTIONS = (4, 8, 16, 32)  # numbers of principal components in which to look for neighbours


STD = " std (the mean over the targets)"  # several targets have no common unit


@dataclass(frozen=True)
class Trial:
    """What one test found."""

    name: str  # a word
    question: str
    answer: str  # a sentence with its numbers
    numbers: Mapping[str, Any] = field(default_factory=dict)  # JSON
    series: Mapping[str, np.ndarray] = field(default_factory=dict)  # for its picture
    unit: str = ""  # of errors: "" for target units, or STD
    remedy: str = ""  # a command


def bench_of(obs: Observed) -> Bench:
    """The head of a training, and the sampled rows to try it on."""
    return Bench.of(obs.config, obs.state.scalers, *obs.sides, STAGES)


def overfit(bench: Bench) -> Trial:
    """Train on 64 rows only: the head should learn them by heart."""
    rows = min(FEW, len(bench.x))
    own = bench.run(rows=rows, dropout=False)
    rate, shown = bench.config.learning_rate, own
    left = _left(own.losses)
    if left > LEARNED and rate != 1e-3:
        other = bench.run(rows=rows, dropout=False, rates=rates_at(bench, 1e-3))
        if _left(other.losses) < left:
            rate, shown, left = 1e-3, other, _left(other.losses)
    can, end = "can", ""
    if left > LEARNED:
        can, end = "cannot", "; the output, the scaling or the features prevent it"
    answer = (
        f"it {can}: in {STAGES * STEPS} steps at a rate of {rate:g}, without dropout, the loss "
        f"falls to {left:.1%} of its first value{end}"
    )
    numbers = {"rows": rows, "left": left, "learning_rate": rate}
    question = f"Can the head learn {rows} rows by heart?"
    return Trial("overfit", question, answer, numbers, {"loss": shown.losses})


def range_test(bench: Bench) -> Trial:
    """Raise the rate at each step: where does the loss fall, and where does it jump?"""
    steps = STAGES * STEPS
    rising = Rates.of(bench.config, bench.scalers.target)._replace(
        learning_rate=np.float32(LOWEST),
        decay_steps=np.float32(steps),
        decay_rate=np.float32(HIGHEST / LOWEST),
    )
    losses = bench.run(rates=rising).losses.astype(np.float64)
    rates = LOWEST * (HIGHEST / LOWEST) ** (np.arange(steps) / steps)
    even = _smooth(losses)
    first = float(even[: steps // 10].mean())
    low = int(np.argmin(np.where(np.isfinite(even), even, np.inf)))
    worse = np.flatnonzero(~(even[low:] < 2 * first))
    jumps = float(rates[low + worse[0]]) if len(worse) else None
    good = float(f"{rates[low] / 10:.0e}")
    end = f"and jumps above {jumps:.1g}" if jumps else f"and does not jump below {HIGHEST:g}"
    answer = (
        f"the loss falls until the rate is {rates[low]:.1g} {end}; a good first rate is a tenth of "
        f"{rates[low]:.1g}: {good:g}. The run uses {bench.config.learning_rate:g}"
    )
    numbers = {"lowest_at": float(rates[low]), "jumps_at": jumps, "good": good}
    series = {"rate": rates, "loss": losses, "smooth": even}
    return Trial("range", "Which learning rate?", answer, numbers, series)


def gradients(bench: Bench) -> Trial:
    """Gradients and updates of the first steps, layer by layer."""
    found = bench.run(gradients=True)
    sizes, ratios = (np.median(part[:FIRST], axis=0) for part in (found.gradients, found.ratios))
    listed = ", ".join(f"{ratio:.1g}" for ratio in ratios)
    advice = "as it should be (about 0.001, from 0.00001 to 0.1)"
    if not np.all(sizes > 0):
        advice = "a layer has no gradient and cannot learn"
    elif ratios.max() > 0.1:
        advice = "the steps are large: try a lower learning rate"
    elif ratios.max() < 1e-5:
        advice = "the weights hardly move: try a higher learning rate"
    answer = f"updates over weights, from the first layer to the output, are {listed}: {advice}"
    numbers = {"gradients": sizes.tolist(), "ratios": ratios.tolist()}
    ratios = {"ratios": found.ratios[:FIRST]}
    return Trial("gradients", "Does every layer move?", answer, numbers, ratios)


def seeds(bench: Bench) -> Trial:
    """The same training from other initial weights."""
    own = bench.config.seed
    maes = np.array([bench.run(seed=own + i).mae for i in range(SEEDS)])
    numbers, unit = {"mae": maes.tolist()}, unit_of(bench.types)
    answer = (
        f"{STAGES * STEPS} steps from {SEEDS} initial weights end at an MAE of {maes.min():.3g} to "
        f"{maes.max():.3g}{unit}: a difference below {maes.max() - maes.min():.2g} between two "
        "settings may be chance"
    )
    return Trial("seeds", "How much is chance?", answer, numbers, {"mae": maes}, unit)


def columns(
    obs: Observed, names: Sequence[str], read: Callable[[str], np.ndarray], more: str = ""
) -> Trial | None:
    """Fit a small ridge on each cached column; None if there is none.

    Args:
        obs: the training.
        names: of the columns.
        read: returns the features of the sampled rows in a column.
        more: the command that adds columns.
    """
    train, validation = obs.sample_train, obs.sample_validation
    y, each = obs.sample_y.astype(np.float64), {}
    for name in names:
        x = read(name)
        pred = small_ridge(x[train], y[train], x[validation], obs.types)
        each[name] = np.nanmean(np.abs(obs.difference(pred, y[validation])), axis=0)
    if not each:
        return None
    maes = {name: float((errors / _scale(obs)).mean()) for name, errors in each.items()}
    best = min(maes, key=lambda name: maes[name])
    unit = unit_of(obs.types)
    answer = (
        f"the best is {best}: a small ridge on it alone reaches an MAE of {maes[best]:.3g}{unit}"
    )
    numbers: dict[str, Any] = {"mae": maes}
    if len(obs.targets) > 1:
        own = {t: {n: float(e[i]) for n, e in each.items()} for i, t in enumerate(obs.targets)}
        numbers["by_target"] = own
        bests = {target: min(its, key=its.__getitem__) for target, its in own.items()}
        told = [f"{name} for {t} (MAE {own[t][name]:.3g})" for t, name in bests.items()]
        answer += f" (the best is {', '.join(told)})"
    if len(maes) > 1:
        worst = max(maes, key=lambda name: maes[name])
        answer += f"; on {worst} it reaches {maes[worst]:.3g}"
        more = ""
    else:
        answer += "; the feature set has no other"
    question = "Which column predicts best?"
    return Trial("columns", question, answer, numbers, unit=unit, remedy=more)


def noise(obs: Observed) -> Trial | None:
    """The error that remains where features are equal: no head can do better.

    The Gamma test (Stefánsson, Končar and Jones 1997) takes half the mean squared difference
    between the targets of k-th neighbours as a line over their squared distance. Its intercept is
    the variance of the noise. None where all rows are frames that follow one another.
    """
    rows = np.union1d(obs.sample_train, obs.sample_validation)
    rows = rows[~np.isnan(obs.sample_y[rows]).any(axis=1)]  # with every target
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:MOST])
    y = obs.sample_y[rows].astype(np.float64)
    apart = _apart(obs, obs.sampled[rows])
    if apart.all():
        return None
    from sklearn.decomposition import PCA  # late: it takes a second

    z = np.clip(obs.standard[rows], -4, 4).astype(np.float64)
    at = PCA(min(max(DIRECTIONS), *z.shape), random_state=0).fit_transform(z)
    found = [_neighbours(obs, at[:, :count], y, apart) for count in DIRECTIONS]
    delta, gamma = min(found, key=lambda pair: pair[1][0])
    slope, intercept = np.polyfit(delta, gamma, 1) if np.ptp(delta) > 0 else (0.0, gamma.mean())
    variance = float(np.clip(intercept, 0, gamma.min()))
    ceiling = float(np.sqrt(variance * 2 / np.pi))
    usual, unit = float(_apart_by(obs, y, medians(obs.types, y)).mean()), unit_of(obs.types)
    mae = float(np.nanmean(obs.errors[obs.validation])) if obs.finite else math.inf
    answer = (
        f"the targets of rows with the most similar features differ by {np.sqrt(2 * gamma[0]):.2g}"
        f"{unit}, as a root mean square"
    )
    if ceiling > mae:
        answer += (
            f", more than the head's MAE of {mae:.3g} suggests: neighbours are too far apart "
            "to measure the noise"
        )
    else:
        answer += (
            f"; extrapolated to equal features, an MAE of about {ceiling:.2g} is noise that these "
            f"features cannot predict (the median predictor's MAE is {usual:.3g})"
        )
    numbers = {"mae": ceiling, "variance": variance, "nearest": float(np.sqrt(2 * gamma[0]))}
    series = {"delta": delta, "gamma": gamma, "line": np.array([float(slope), variance])}
    return Trial("noise", "How good can it get?", answer, numbers, series)


def unit_of(types: Types) -> str:
    """The unit of an error of targets of these types, as words after its number."""
    return STD if len(types) > 1 else ""


def _scale(obs: Observed) -> np.ndarray:
    """(targets,) what errors are divided by for `unit_of`."""
    return obs.std if len(obs.targets) > 1 else np.ones(1)


def _apart_by(obs: Observed, some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Absolute differences (..., targets) in the unit of `unit_of`."""
    return np.abs(obs.difference(some, others)) / _scale(obs)


def _neighbours(
    obs: Observed, at: np.ndarray, y: np.ndarray, apart: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared distance of the k-th neighbours, and half their targets' squared difference."""
    from sklearn.neighbors import NearestNeighbors

    most = min(len(at), NEIGHBOURS + int(apart.sum(axis=1).max()))
    far, near = NearestNeighbors(n_neighbors=most).fit(at).kneighbors(at)
    out = np.take_along_axis(apart, near, axis=1)
    # the nearest pairs that count
    place = np.argsort(out, axis=1, kind="stable")[:, :NEIGHBOURS]
    far, near, out = (np.take_along_axis(part, place, axis=1) for part in (far, near, out))
    half = 0.5 * np.square(_apart_by(obs, y[near], y[:, None, :])).mean(axis=2)
    both = [np.ma.masked_array(part, out).mean(axis=0) for part in (np.square(far), half)]
    some = ~out.all(axis=0)
    return both[0].data[some], both[1].data[some]


def _apart(obs: Observed, rows: np.ndarray) -> np.ndarray:
    """Pairs that do not count: a row and itself, and frames that follow one another."""
    same = np.eye(len(rows), dtype=bool)
    if not obs.sequential:
        return same
    close = np.abs(obs.order[rows][:, None] - obs.order[rows][None, :]) <= 10
    return same | (close & (obs.sequence[rows][:, None] == obs.sequence[rows][None, :]))


def rates_at(bench: Bench, rate: float) -> Rates:
    """The rates of a head, but for its first learning rate."""
    rates = Rates.of(bench.config, bench.scalers.target)
    return rates._replace(learning_rate=np.float32(rate))


def _left(losses: np.ndarray) -> float:
    """The loss of the last tenth over that of the first batch."""
    if not np.isfinite(losses).all():
        return float("inf")
    return float(losses[-len(losses) // 10 :].mean() / losses[0]) if losses[0] > 0 else 0.0


def _smooth(values: np.ndarray, width: int = 15) -> np.ndarray:
    """Running mean; what is not finite stays."""
    padded = np.pad(values, width // 2, mode="edge")
    with np.errstate(invalid="ignore"):
        return np.convolve(padded, np.ones(width) / width, mode="valid")
