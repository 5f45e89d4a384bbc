"""The active tests. Each asks one question of a head or of its data, and answers in a sentence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jaxreg.diagnosis.steps import STAGES, STEPS, Bench
from jaxreg.head.state import Rates
from jaxreg.verdict.observation import MOST, Dual, Observed

FEW = 64  # rows to learn by heart
LEAST = 16  # rows that a learning curve begins with
LEARNED = 0.05  # of the loss it began with
LOWEST, HIGHEST = 1e-6, 10.0  # learning rates
FIRST = 200  # steps whose gradients are shown
SEEDS = 4
NEIGHBOURS = 5
DIRECTIONS = (4, 8, 16, 32)  # principal ones, in which neighbours are sought: the best of these


@dataclass(frozen=True)
class Trial:
    """What one test found."""

    name: str  # a word
    question: str
    answer: str  # a sentence with its numbers
    numbers: Mapping[str, Any] = field(default_factory=dict)  # JSON
    series: Mapping[str, np.ndarray] = field(default_factory=dict)  # for its picture


def overfit(bench: Bench) -> Trial:
    """Learn 64 rows by heart."""
    rows = min(FEW, len(bench.x))
    own = bench.run(rows=rows, dropout=0.0)
    rate, validation = bench.config.learning_rate, own
    left = _left(own.losses)
    if left > LEARNED and rate != 1e-3:
        other = bench.run(rows=rows, dropout=0.0, rates=_rates(bench, 1e-3))
        if _left(other.losses) < left:
            rate, validation, left = 1e-3, other, _left(other.losses)
    can = "can" if left <= LEARNED else "cannot"
    answer = (
        f"it {can}: in {STAGES * STEPS} steps at a rate of {rate:g}, without dropout, the loss "
        f"falls to {left:.1%} of its first value"
    )
    if can == "cannot":
        answer += "; the output, the scaling or the features are in its way"
    numbers = {"rows": rows, "left": left, "learning_rate": rate}
    return Trial("overfit", f"Can the head learn {rows} rows by heart?", answer, numbers,
                 {"loss": validation.losses})  # fmt: skip


def range_test(bench: Bench) -> Trial:
    """Raise the rate from step to step, and see where the loss falls and where it jumps."""
    steps = STAGES * STEPS
    rising = Rates.of(bench.config)._replace(
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
    end = f"and jumps beyond {jumps:.1g}" if jumps else "and does not jump up to 10"
    answer = (
        f"the loss falls until the rate is {rates[low]:.1g} {end}; a tenth of that, {good:g}, is a "
        f"good rate to begin with. The run's is {bench.config.learning_rate:g}"
    )
    numbers = {"lowest_at": float(rates[low]), "jumps_at": jumps, "good": good}
    return Trial("range", "Which learning rate?", answer, numbers,
                 {"rate": rates, "loss": losses, "smooth": even})  # fmt: skip


def gradients(bench: Bench) -> Trial:
    """Gradients and updates of the first steps, layer by layer."""
    validation = bench.run()
    sizes = np.median(validation.gradients[:FIRST], axis=0)
    ratios = np.median(validation.ratios[:FIRST], axis=0)
    listed = ", ".join(f"{ratio:.1g}" for ratio in ratios)
    if ratios.max() > 0.1:
        told = "large steps: a lower learning rate"
    elif ratios.max() < 1e-5:
        told = "hardly any movement: a higher learning rate"
    else:
        told = "as it should be (about 0.001, from 0.00001 to 0.1)"
    if not np.all(sizes > 0):
        told = "a layer without gradient: it cannot learn"
    answer = f"updates over weights, from the first layer to the output: {listed}: {told}"
    numbers = {"gradients": sizes.tolist(), "ratios": ratios.tolist()}
    series = {"gradients": validation.gradients[:FIRST], "ratios": validation.ratios[:FIRST]}
    return Trial("gradients", "Does every layer move?", answer, numbers, series)


def learning_curve(bench: Bench, all_rows: int) -> Trial | None:
    """The validation error over the number of training rows, and where it is going.

    None where there are too few for a curve.
    """
    most = len(bench.x)
    if most < 2 * LEAST:
        return None
    sizes = np.unique(np.geomspace(max(LEAST, most // 16), most, 5).astype(int))
    rates = _rates(bench, max(bench.config.learning_rate, 3e-4))
    maes = np.array([bench.run(rows=int(size), rates=rates).mae for size in sizes])
    asked = np.array([all_rows, 2 * all_rows, 10 * all_rows], float)
    floor, slope, power = power_law(sizes, maes)
    now, double, ten = floor + slope * asked**-power
    gain = 1 - double / now if now > 0 else 0.0
    helps = "more data would help" if gain > 0.03 else "more data alone would help little"
    answer = (
        f"{helps}: MAE {maes[0]:.3g} on {sizes[0]} rows, {maes[-1]:.3g} on {sizes[-1]}; going on "
        f"like that, {double:.3g} on {2 * all_rows:,} and {ten:.3g} on {10 * all_rows:,}"
    )
    numbers = {"rows": sizes.tolist(), "mae": maes.tolist(), "double": float(double),
               "tenfold": float(ten), "floor": floor}  # fmt: skip
    series = {"rows": sizes, "mae": maes, "asked": asked, "told": np.array([now, double, ten])}
    series["law"] = np.array([floor, slope, power])
    return Trial("curve", "Would more data help?", answer, numbers, series)


def power_law(sizes: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """a, b, c of errors ≈ a + b · sizes^−c by least squares, a and b not below 0, c in (0, 1.5]."""
    best = (float(np.mean(errors)), 0.0, 1.0)
    lowest = float(np.square(errors - errors.mean()).sum())
    for power in np.linspace(0.05, 1.5, 30):
        basis = sizes.astype(float) ** -power
        for columns in (np.stack([np.ones_like(basis), basis], 1), basis[:, None]):
            found = np.linalg.lstsq(columns, errors, rcond=None)[0]
            wrong = float(np.square(columns @ found - errors).sum())
            if (found >= 0).all() and wrong < lowest * (1 - 1e-9):
                lowest = wrong
                floor, slope = (found[0], found[1]) if len(found) == 2 else (0.0, found[0])
                best = (float(floor), float(slope), float(power))
    return best


def seeds(bench: Bench) -> Trial:
    """The same training from other first weights."""
    own = bench.config.seed
    maes = np.array([bench.run(seed=own + i).mae for i in range(SEEDS)])
    answer = (
        f"{STAGES * STEPS} steps from {SEEDS} first weights end at an MAE of {maes.min():.3g} to "
        f"{maes.max():.3g}: a difference below {maes.max() - maes.min():.2g} between two settings "
        "may be luck"
    )
    return Trial("seeds", "How much is luck?", answer, {"mae": maes.tolist()}, {"mae": maes})


def columns(obs: Observed, names: Sequence[str], read: Callable[[str], np.ndarray]) -> Trial | None:
    """A small ridge on each cached column. `read` gives the sampled rows' features of one."""
    train, validation = obs.sample_train, obs.sample_validation
    y = obs.sample_y.astype(np.float64)
    told = {}
    for name in names:
        x = replace(obs, x=read(name)).standard
        x = np.clip(x, -4, 4)
        pred = Dual(x[train], y[train], x[validation]).predict()
        told[name] = float(np.abs(pred - y[validation]).mean())
    if not told:
        return None
    best = min(told, key=lambda name: told[name])
    answer = f"{best} knows most: a small ridge on it alone reaches an MAE of {told[best]:.3g}"
    if len(told) > 1:
        worst = max(told, key=lambda name: told[name])
        answer += f"; on {worst} {told[worst]:.3g}"
    else:
        answer += (
            "; this feature set has no other column (extract --layers mixed2 mixed5 … for others)"
        )
    return Trial("columns", "Which column knows the answer?", answer, {"mae": told},
                 {"mae": np.array(list(told.values()))})  # fmt: skip


def noise(obs: Observed) -> Trial | None:
    """How much the targets of rows differ whose features hardly do: no head can do better.

    The Gamma test (Stefánsson, Končar and Jones 1997): half the mean squared difference of the
    targets of k-th neighbours, over the squared distance; its intercept is the noise's variance.
    None where all rows are frames that follow one another.
    """
    rows = np.union1d(obs.sample_train, obs.sample_validation)
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:MOST])
    y = obs.sample_y[rows].astype(np.float64)
    apart = _apart(obs, obs.sampled[rows])
    if apart.all():
        return None
    from sklearn.decomposition import PCA  # late: it takes a second

    z = np.clip(obs.standard[rows], -4, 4).astype(np.float64)
    at = PCA(min(max(DIRECTIONS), *z.shape), random_state=0).fit_transform(z)
    told = [_neighbours(at[:, :count], y, apart) for count in DIRECTIONS]
    delta, gamma = min(told, key=lambda pair: pair[1][0])
    slope, intercept = np.polyfit(delta, gamma, 1) if np.ptp(delta) > 0 else (0.0, gamma.mean())
    variance = float(np.clip(intercept, 0, gamma.min()))
    ceiling = float(np.sqrt(variance * 2 / np.pi))
    usual = float(np.abs(y - np.median(y, axis=0)).mean())
    answer = (
        f"rows with the most similar features have targets {np.sqrt(2 * gamma[0]):.2g} apart (root "
        "mean square)"
    )
    if obs.mae is not None and ceiling > obs.mae:
        answer += (
            f", more than the head's MAE of {obs.mae:.3g} would suggest: neighbours are too far "
            "apart to tell what is noise"
        )
    else:
        answer += (
            f"; taken to no distance, an MAE of about {ceiling:.2g} is noise that these features "
            f"cannot tell (the median predictor's is {usual:.3g})"
        )
    numbers = {"mae": ceiling, "variance": variance, "nearest": float(np.sqrt(2 * gamma[0]))}
    series = {"delta": delta, "gamma": gamma, "line": np.array([float(slope), variance])}
    return Trial("noise", "How good can it get?", answer, numbers, series)


def _neighbours(at: np.ndarray, y: np.ndarray, apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared distance of the k-th neighbours, and half their targets' squared difference."""
    size = np.square(at).sum(axis=1)
    distance = np.maximum(size[:, None] + size[None, :] - 2 * at @ at.T, 0)
    distance[apart] = np.inf
    some = min(NEIGHBOURS, len(at) - 1)
    near = np.argpartition(distance, some, axis=1)[:, :some]
    far = np.take_along_axis(distance, near, 1)
    place = np.argsort(far, axis=1)
    near, far = np.take_along_axis(near, place, 1), np.take_along_axis(far, place, 1)
    half = 0.5 * np.square(y[near] - y[:, None, :]).mean(axis=2)
    counts = [np.isfinite(far[:, k]) for k in range(some)]
    return (
        np.array([far[counts[k], k].mean() for k in range(some)]),
        np.array([half[counts[k], k].mean() for k in range(some)]),
    )


def _apart(obs: Observed, rows: np.ndarray) -> np.ndarray:
    """Which pairs do not count: a row and itself, and frames that follow one another."""
    same = np.eye(len(rows), dtype=bool)
    if not obs.sequential:
        return same
    close = np.abs(obs.order[rows][:, None] - obs.order[rows][None, :]) <= 10
    return same | (close & (obs.sequence[rows][:, None] == obs.sequence[rows][None, :]))


def _rates(bench: Bench, rate: float) -> Rates:
    return Rates.of(bench.config)._replace(learning_rate=np.float32(rate))


def _left(losses: np.ndarray) -> float:
    """The loss of the last tenth over that of the first batch."""
    last = losses[-len(losses) // 10 :]
    if not np.isfinite(losses).all():
        return float("inf")
    return float(last.mean() / losses[0]) if losses[0] > 0 else 0.0


def _smooth(values: np.ndarray, width: int = 15) -> np.ndarray:
    """Running mean; what is not finite stays."""
    padded = np.pad(values, width // 2, mode="edge")
    with np.errstate(invalid="ignore"):
        return np.convolve(padded, np.ones(width) / width, mode="valid")
