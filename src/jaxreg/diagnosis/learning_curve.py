"""Would more data help? The validation error over the training rows, or over their groups."""

from collections.abc import Iterator

import numpy as np

from jaxreg.diagnosis.trials import Trial, rates_at, unit_of
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.short_training import Bench

LEAST = 16  # rows at the start of a curve
LEAST_UNITS = 4  # groups or blocks of a curve
DRAWS = 3  # of groups: a few of them are more unlike others than a few rows are
SIZES = 5
QUESTION = "Would more data help?"


def learning_curve(bench: Bench, obs: Observed) -> Trial | None:
    """The validation error over the number of training rows, extrapolated; None for too few.

    Rows that come in groups or blocks are counted in these: other rows of the same photograph or
    of the same second are not more data.

    Args:
        bench: has the sampled training rows of `obs`.
        obs: the training.
    """
    word, own, every = "rows", np.arange(len(bench.x)), len(obs.train)
    if obs.unit_of_row is not None:
        word, own = obs.unit_word, obs.unit_of_row[obs.sampled[obs.sample_train]]
        every = len(np.unique(obs.unit_of_row[obs.train]))
    most, in_units = len(np.unique(own)), word != "rows"
    same = f"More rows of the same {word} are not more data"
    if in_units and most < LEAST_UNITS:
        answer = f"the training rows come in {most} {word}, and a curve needs {LEAST_UNITS}. {same}"
        return Trial("curve", QUESTION, answer, {"counted": word, "sizes": [most]})
    if not in_units and most < 2 * LEAST:
        return None
    least = max(1 if in_units else LEAST, most // 16)
    sizes = np.unique(np.geomspace(least, most, SIZES).round().astype(int))
    rates = rates_at(bench, max(bench.config.learning_rate, 3e-4))
    found = [
        np.array([[len(rows), bench.run(rows=rows, rates=rates).mae] for rows in some])
        for some in (_drawn(own, int(size), DRAWS if in_units else 1) for size in sizes)
    ]
    rows, maes = np.array([each.mean(axis=0) for each in found]).T
    asked = np.array([every, 2 * every, 10 * every], float)
    floor, slope, power = power_law(sizes, maes)
    now, double, ten = floor + slope * asked**-power
    gain = 1 - double / now if now > 0 else 0.0
    more = f"more {word}" if in_units else "more data"
    helps = f"{more} would help" if gain > 0.03 else f"{more} alone would help little"
    ends = [f" ({count:.0f} rows)" if in_units else "" for count in rows]
    unit = unit_of(bench.types)
    answer = (
        f"{helps}: MAE {maes[0]:.3g}{unit} on {sizes[0]} {_of(word, sizes[0])}{ends[0]}, "
        f"{maes[-1]:.3g} on {sizes[-1]}{ends[-1]}; the extrapolated MAE is "
        f"{double:.3g} on {2 * every:,} and {ten:.3g} on {10 * every:,}"
        + (f". {same}" if in_units else "")
    )
    numbers = {"counted": word, "sizes": sizes.tolist(), "rows": rows.round().astype(int).tolist()}
    numbers |= {"mae": maes.tolist(), "floor": floor}
    numbers |= {"double": float(double), "tenfold": float(ten)}
    series = {"sizes": sizes, "mae": maes, "asked": asked}
    series |= {"predicted": np.array([now, double, ten]), "law": np.array([floor, slope, power])}
    return Trial("curve", QUESTION, answer, numbers, series, unit)


def _drawn(units: np.ndarray, size: int, draws: int) -> Iterator[np.ndarray]:
    """The rows of `size` units that are drawn at random, several times unless these are all.

    Of one draw, the rows of fewer units are among those of more.
    """
    distinct = np.unique(units)
    for seed in range(1 if size == len(distinct) else draws):
        some = np.random.default_rng(seed).permutation(distinct)[:size]
        yield np.flatnonzero(np.isin(units, some))


def _of(word: str, count: int) -> str:
    return word.removesuffix("s") if count == 1 else word


def power_law(sizes: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """a, b, c of errors ≈ a + b · sizes^−c by least squares, a and b not below 0, c in (0, 1.5]."""
    from scipy.optimize import nnls  # late: it takes a second

    powers = np.linspace(0.05, 1.5, 30)
    bases = [np.stack([np.ones(len(sizes)), sizes.astype(float) ** -c], axis=1) for c in powers]
    fits = [nnls(basis, errors) for basis in bases]
    best = int(np.argmin([error for _, error in fits]))
    floor, slope = fits[best][0]
    return float(floor), float(slope), float(powers[best])
