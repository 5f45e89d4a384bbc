"""Whether errors on new data are larger than on the held-out rows of a run, and how they lie."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from jaxreg.metrics import bootstrap_gain, runs_of_rows
from jaxreg.target_types import TargetType, circular_mean, difference
from jaxreg.verdict.finding import Evidence

FAR = 1.25  # times the promised error
SURE = 2.0  # errors of the difference
REVERSED = -0.2  # a correlation below it is of predictions that go the other way
LOST = 0.5  # of the promised correlation: less is no relation any more
LINE = 0.7  # of the error is left if the targets are predictions in another unit
LEAST = 10  # rows
DRAWS = 500
MOST_DRAWN = 20_000  # units; more are drawn in so many lots, which bounds time and memory


class Scored(NamedTuple):
    """Predictions of one target on the rows of one side that have it."""

    y: np.ndarray  # (rows,) float64
    predictions: np.ndarray  # (rows,) float64, finite
    units: np.ndarray | None  # (rows,) which rows are alike; None: rows alone


@dataclass(frozen=True)
class Compared:
    """The errors of a run for one target, here and on its held-out rows."""

    kind: TargetType
    here: Scored
    promised: Scored | None  # None for a bundle, which has no table of them
    promised_score: float  # the MAE that the run's summary has

    @cached_property
    def mae(self) -> tuple[float, float]:
        """The MAE here, and its bootstrap error over units."""
        return _mae(self.kind, self.here)

    @cached_property
    def promised_mae(self) -> tuple[float, float]:
        """The MAE on the held-out rows, and its bootstrap error over units; 0 of a bundle."""
        if self.promised is None:
            return self.promised_score, 0.0
        return _mae(self.kind, self.promised)

    @property
    def error(self) -> float:
        """The error of the difference of the two."""
        return float(np.hypot(self.mae[1], self.promised_mae[1]))

    @property
    def far_worse(self) -> bool:
        """The MAE is FAR times the promised one, and above it by more than SURE errors."""
        here, promised = self.mae[0], self.promised_mae[0]
        return here > FAR * promised and here - promised > SURE * self.error

    @cached_property
    def correlation(self) -> tuple[float, float]:
        """Of targets and predictions here, and its bootstrap error over units."""
        return _correlation(self.kind, self.here)

    @cached_property
    def promised_correlation(self) -> float | None:
        """Of targets and predictions on the held-out rows; None for a bundle."""
        return None if self.promised is None else _correlation(self.kind, self.promised)[0]


def predictions_reversed(compared: Compared) -> Evidence | None:
    """The evidence that predictions fall where the targets rise."""
    if len(compared.here.y) < LEAST:
        return None
    found, error = compared.correlation
    promised = compared.promised_correlation
    learned = promised is None or promised > 0
    if not (found < REVERSED and found < -SURE * error and learned):
        return None
    beside = "" if promised is None else f", and {promised:.2f} on the held-out rows of the run"
    return Evidence(
        f"the predictions fall where the targets rise: their correlation is {found:.2f} ± "
        f"{error:.2f}{beside}",
        remedy="check whether the images are mirrored, or the targets have another sign",
        numbers={
            "correlation": found,
            "correlation_error": error,
            **({} if promised is None else {"promised_correlation": promised}),
        },
    )


def targets_mismatched(compared: Compared) -> Evidence | None:
    """The evidence that targets go with the images otherwise than in training.

    It holds only for images like those of training, and for a run that is far worse than promised.
    """
    if len(compared.here.y) < LEAST or not compared.far_worse:
        return None
    (found, _), promised = compared.correlation, compared.promised_correlation
    if promised is not None and promised > 0 and found < LOST * promised:
        return Evidence(
            "the images are like those of training, and the targets do not go with them: the "
            f"correlation of predictions and targets is {found:.2f}, and {promised:.2f} on the "
            "held-out rows of the run",
            remedy="check that each image has its own target",
            numbers={"correlation": found, "promised_correlation": promised},
        )
    words, left, numbers = _line(compared.kind, compared.here)
    if left > LINE * compared.mae[0]:
        return None
    return Evidence(
        f"the images are like those of training, and the targets are {words}: so read, the "
        f"predictions have an MAE of {left:.3g} instead of {compared.mae[0]:.3g}",
        remedy="check that the targets have the unit and the zero of training",
        numbers={"mae": left, **numbers},
    )


def _mae(kind: TargetType, side: Scored) -> tuple[float, float]:
    """The MAE and the bootstrap error of it, as the gain of the targets over the predictions."""
    y, predictions = side.y[:, None], side.predictions[:, None]
    mae, error = bootstrap_gain(y, y, predictions, _drawn(side), kind=kind)
    return mae, _corrected(error, side)


def _drawn(side: Scored) -> np.ndarray | None:
    """What a bootstrap draws: units; stretches of rows where all are of one unit."""
    if side.units is None or len(np.unique(side.units)) > 1:
        return side.units
    return runs_of_rows(np.zeros(len(side.y), np.int64), np.arange(len(side.y)))


def _corrected(error: float, side: Scored) -> float:
    """A bootstrap error of few units, as the sample std has N − 1."""
    drawn = _drawn(side)
    count = len(side.y) if drawn is None else len(np.unique(drawn))
    return float(error * np.sqrt(count / (count - 1))) if count > 1 else float("inf")


def _correlation(kind: TargetType, side: Scored) -> tuple[float, float]:
    """Pearson's correlation and its bootstrap error.

    Of a circular target it is the correlation of the sines of the distances from the circular
    means (Jammalamadaka & SenGupta, Topics in Circular Statistics, 8.2).
    """
    a, b = (_centred(kind, values) for values in (side.y, side.predictions))
    drawn = _drawn(side)
    number = np.arange(len(a)) if drawn is None else np.unique(drawn, return_inverse=True)[1]
    if number.max() >= MOST_DRAWN:
        lots = np.random.default_rng(0).permutation(number.max() + 1) % MOST_DRAWN
        number = lots[number]
    parts = (np.ones(len(a)), a, b, a * a, b * b, a * b)
    sums = np.stack([np.bincount(number, part) for part in parts], axis=1)
    count = len(sums)
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), DRAWS)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = float(_pearson(sums.sum(0)))
        each = _pearson((draws @ sums).T)
    each = each[np.isfinite(each)]
    error = float(each.std(ddof=1)) if len(each) > 1 and count > 1 else float("inf")
    return (found if np.isfinite(found) else 0.0), _corrected(error, side)


def _centred(kind: TargetType, values: np.ndarray) -> np.ndarray:
    if not kind.circular:
        return values - values.mean()
    apart = difference([kind], values[:, None], np.array([circular_mean(kind, values)]))[:, 0]
    return np.sin(apart * (2 * np.pi / kind.period))


def _pearson(sums: np.ndarray) -> np.ndarray:
    n, a, b, aa, bb, ab = sums
    spread = np.sqrt((n * aa - a * a) * (n * bb - b * b))
    return np.where(spread > 0, (n * ab - a * b) / spread, np.nan)


def _line(kind: TargetType, side: Scored) -> tuple[str, float, dict[str, float]]:
    """The targets as predictions in another unit: words, the MAE so, slope and offset."""
    if kind.circular:
        apart = difference([kind], side.y[:, None], side.predictions[:, None])[:, 0]
        offset = float(difference([kind], circular_mean(kind, apart), np.zeros(1))[0])
        rest = difference([kind], apart[:, None], np.array([offset]))
        words = f"about predictions {offset:+.3g}, around the circle"
        return words, float(np.abs(rest).mean()), {"offset": offset}
    a, b = _centred(kind, side.predictions), _centred(kind, side.y)
    # the ratio of the std, not the slope of least squares, which errors of predictions lower
    slope = float(b.std() / a.std()) if a.std() > 0 else 1.0
    offset = float(side.y.mean() - slope * side.predictions.mean())
    rest = side.y - (slope * side.predictions + offset)
    words = f"about {slope:.3g} times the predictions {offset:+.3g}"
    return words, float(np.abs(rest).mean()), {"slope": slope, "offset": offset}
