"""Validation rows that training has nearly seen, and those that are unlike all it has seen."""

import numpy as np

from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observed import Observed
from jaxreg.verdict.sampling import nearest_in_time
from jaxreg.verdict.whatif import Dual

COPIES = 0.05  # share of validation images that also train
MOMENTS = 1  # how far a neighbour in time is at most: blocks leave that many out of training
BESIDE, ALIKE = 0.3, 0.6  # share of validation rows with one; its distance over a stranger's
FLATTERED = 1.2  # times the error grows where neighbours are held out together
FOLDS, EDGE = 5, 10  # sampled rows beside a fold that are left out, at least
SHIFT, UNUSUAL = 0.5, 3.0  # deviations; times the same between parts of the training rows
TARGET_SHIFT, OUTSIDE = 1.0, 0.2  # deviations; share of validation targets out of reach
UNLIKE = 0.8  # training over validation error


def split_leak(seen: Observed) -> Evidence | None:
    """The same or nearly the same image on both sides."""
    return _copies(seen) or _neighbours(seen)


def _copies(seen: Observed) -> Evidence | None:
    trained = {seen.digests[row] for row in seen.train}
    copies = np.array([seen.digests[row] in trained for row in seen.watched])
    if copies.mean() < COPIES or seen.mae is None or (copies.mean() > 0.99 and len(trained) < 2):
        return None
    clean = seen.watched[~copies]
    sentence = f"{copies.mean():.0%} of the validation images also train"
    numbers = {"share": float(copies.mean())}
    severity = None
    if len(clean) > 1:
        honest = float(np.abs(seen.predictions[clean] - seen.y[clean]).mean())
        bar = float(np.abs(seen.median - seen.y[clean]).mean())
        sentence += f"; on the others the MAE is {honest:.3g}, the median predictor's {bar:.3g}"
        numbers |= {"honest": honest}
        severity = _severity(honest, seen.mae, bar)
    return Evidence(sentence, {"split": "hash"}, numbers, severity)


def _neighbours(seen: Observed) -> Evidence | None:
    rows = seen.sampled[seen.sample_watched]
    beside = nearest_in_time(rows, seen.sampled[seen.sample_train], seen.sequence, seen.order)
    near = beside >= 0
    near[near] = np.abs(seen.order[rows[near]] - seen.order[beside[near]]) <= MOMENTS
    share = float(near.mean())
    if share < BESIDE or seen.mae is None:
        return None
    standard = np.clip(seen.standard, -4, 4)
    here = standard[seen.sample_watched][near]
    there = standard[np.searchsorted(seen.sampled, beside[near])]
    strangers = standard[np.random.default_rng(0).choice(seen.sample_train, size=len(here))]
    ratio = float(np.median(_distance(here, there)) / (np.median(_distance(here, strangers)) or 1))
    if ratio > ALIKE:
        return None
    flattered, honest, bar = _in_blocks(seen, standard)
    if honest < FLATTERED * flattered:
        return None
    sentence = (
        f"{share:.0%} of the validation rows stand beside a training row in time, "
        f"{ratio:.2f} times as far from it as from a stranger; where neighbours are held out "
        f"together a ridge's MAE is {honest:.3g}, on this split {flattered:.3g} (median predictor "
        f"{bar:.3g})"
    )
    numbers = {"share": share, "ratio": ratio, "honest": honest, "flattered": flattered}
    return Evidence(sentence, {"split": "blocks"}, numbers, _severity(honest, flattered, bar))


def _severity(honest: float, flattered: float, bar: float):
    """An error where the number cannot be believed."""
    return "error" if honest > 0.9 * bar or honest > 2 * flattered else "warning"


def _in_blocks(seen: Observed, standard: np.ndarray) -> tuple[float, float, float]:
    """MAE of a ridge on the sampled rows: on this split, on contiguous folds, and of the median."""
    y = seen.sample_y.astype(np.float64)
    watched = seen.sample_watched
    flattered = float(np.abs(seen.dual.predict() - y[watched]).mean())
    used = np.union1d(seen.sample_train, watched)
    rows = seen.sampled[used]
    used = used[np.lexsort((seen.order[rows], seen.sequence[rows]))]
    wrong, usual, edge = [], [], max(EDGE, len(used) // 50)
    for fold in np.array_split(np.arange(len(used)), FOLDS):
        rest = used[np.r_[0 : max(0, fold[0] - edge), fold[-1] + 1 + edge : len(used)]]
        told = Dual(standard[rest], y[rest], standard[used[fold]]).predict()
        wrong.append(np.abs(told - y[used[fold]]))
        usual.append(np.abs(np.median(y[rest], axis=0) - y[used[fold]]))
    return flattered, float(np.concatenate(wrong).mean()), float(np.concatenate(usual).mean())


def validation_shift(seen: Observed) -> Evidence | None:
    """Validation rows that are unlike training rows, in features or in targets."""
    if (
        seen.mae is None
        or seen.train_mae is None
        or (seen.learns and seen.train_mae > UNLIKE * seen.mae)
    ):
        return None
    other = "hash" if seen.split in ("tail", "blocks") or not seen.sequential else "blocks:20"
    y, watched = seen.y[seen.train].astype(np.float64), seen.y[seen.watched].astype(np.float64)
    deviation = np.where(y.std(axis=0) > 0, y.std(axis=0), 1.0)
    moved = float((np.abs(watched.mean(axis=0) - y.mean(axis=0)) / deviation).max())
    outside = float(((watched < y.min(axis=0)) | (watched > y.max(axis=0))).mean())
    if moved > TARGET_SHIFT or outside > OUTSIDE:
        sentence = (
            f"the validation targets' mean lies {moved:.2g} deviations from the training targets', "
            f"and {outside:.0%} of them are outside their range"
        )
        return Evidence(sentence, {"split": other}, {"moved": moved, "outside": outside})
    standard = np.clip(seen.standard, -10, 10)
    trained = standard[seen.sample_train]
    shift = _shift(standard[seen.sample_watched], trained)
    usual = _usual_shift(seen, trained)
    if shift < SHIFT or shift < UNUSUAL * usual:
        return None
    sentence = (
        f"the validation rows' features lie {shift:.2g} deviations from the training rows' (root "
        f"mean square over columns), parts of the training rows {usual:.2g} from each other"
    )
    return Evidence(sentence, {"split": other}, {"shift": shift, "usual": usual})


def _shift(some: np.ndarray, others: np.ndarray) -> float:
    moved = some.mean(axis=0, dtype=np.float64) - others.mean(axis=0, dtype=np.float64)
    return float(np.sqrt(np.square(moved).mean()))


def _usual_shift(seen: Observed, trained: np.ndarray) -> float:
    """The median over contiguous fifths of the training rows, each against the rest."""
    rows = seen.sampled[seen.sample_train]
    place = np.lexsort((seen.order[rows], seen.sequence[rows]))
    told = []
    for fold in np.array_split(np.arange(len(place)), FOLDS):
        if len(fold) and len(fold) < len(place):
            rest = np.delete(place, fold)
            told.append(_shift(trained[place[fold]], trained[rest]))
    return float(np.median(told)) if told else 0.0


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(a - b).sum(axis=1))
