"""Validation rows that training has nearly seen, and those that are unlike all it has seen."""

import numpy as np

from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Dual, Observed
from jaxreg.verdict.sampling import nearest_in_time

COPIES = 0.05  # share of validation images that also train
MOMENTS = 1  # how far a neighbour in time is at most: blocks leave that many out of training
BESIDE, ALIKE = 0.3, 0.6  # share of validation rows with one; its distance over a stranger's
FLATTERED = 1.2  # times the error grows where neighbours are held out together
FOLDS, EDGE = 5, 10  # sampled rows beside a fold that are left out, at least
SHIFT, UNUSUAL = 0.5, 3.0  # std; times the same between parts of the training rows
TARGET_SHIFT, OUTSIDE = 1.0, 0.2  # std; share of validation targets out of reach
UNLIKE = 0.8  # training over validation error


def split_leak(obs: Observed) -> Evidence | None:
    """The same or nearly the same image on both sides."""
    return _copies(obs) or _neighbours(obs)


def _copies(obs: Observed) -> Evidence | None:
    trained = {obs.digests[row] for row in obs.train}
    copies = np.array([obs.digests[row] in trained for row in obs.validation])
    if copies.mean() < COPIES or obs.mae is None or (copies.mean() > 0.99 and len(trained) < 2):
        return None
    clean = obs.validation[~copies]
    sentence = f"{copies.mean():.0%} of the validation images also train"
    numbers = {"share": float(copies.mean())}
    severity = None
    if len(clean) > 1:
        honest = float(np.abs(obs.predictions[clean] - obs.y[clean]).mean())
        bar = float(np.abs(obs.median - obs.y[clean]).mean())
        sentence += f"; on the others the MAE is {honest:.3g}, the median predictor's {bar:.3g}"
        numbers |= {"honest": honest}
        severity = _severity(honest, obs.mae, bar)
    return Evidence(sentence, {"split": "hash"}, numbers, severity)


def _neighbours(obs: Observed) -> Evidence | None:
    rows = obs.sampled[obs.sample_validation]
    beside = nearest_in_time(rows, obs.sampled[obs.sample_train], obs.sequence, obs.order)
    near = beside >= 0
    near[near] = np.abs(obs.order[rows[near]] - obs.order[beside[near]]) <= MOMENTS
    share = float(near.mean())
    if share < BESIDE or obs.mae is None:
        return None
    standard = np.clip(obs.standard, -4, 4)
    here = standard[obs.sample_validation][near]
    there = standard[np.searchsorted(obs.sampled, beside[near])]
    strangers = standard[np.random.default_rng(0).choice(obs.sample_train, size=len(here))]
    ratio = float(np.median(_distance(here, there)) / (np.median(_distance(here, strangers)) or 1))
    if ratio > ALIKE:
        return None
    flattered, honest, bar = _in_blocks(obs, standard)
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


def _in_blocks(obs: Observed, standard: np.ndarray) -> tuple[float, float, float]:
    """MAE of a ridge on the sampled rows: on this split, on contiguous folds, and of the median."""
    y = obs.sample_y.astype(np.float64)
    validation = obs.sample_validation
    flattered = float(np.abs(obs.dual.predict() - y[validation]).mean())
    used = np.union1d(obs.sample_train, validation)
    rows = obs.sampled[used]
    used = used[np.lexsort((obs.order[rows], obs.sequence[rows]))]
    wrong, usual, edge = [], [], max(EDGE, len(used) // 50)
    for fold in np.array_split(np.arange(len(used)), FOLDS):
        rest = used[np.r_[0 : max(0, fold[0] - edge), fold[-1] + 1 + edge : len(used)]]
        told = Dual(standard[rest], y[rest], standard[used[fold]]).predict()
        wrong.append(np.abs(told - y[used[fold]]))
        usual.append(np.abs(np.median(y[rest], axis=0) - y[used[fold]]))
    return flattered, float(np.concatenate(wrong).mean()), float(np.concatenate(usual).mean())


def validation_shift(obs: Observed) -> Evidence | None:
    """Validation rows that are unlike training rows, in features or in targets."""
    if (
        obs.mae is None
        or obs.train_mae is None
        or (obs.learns and obs.train_mae > UNLIKE * obs.mae)
    ):
        return None
    other = "hash" if obs.split in ("tail", "blocks") or not obs.sequential else "blocks:20"
    y, validation = obs.y[obs.train].astype(np.float64), obs.y[obs.validation].astype(np.float64)
    std = np.where(y.std(axis=0) > 0, y.std(axis=0), 1.0)
    moved = float((np.abs(validation.mean(axis=0) - y.mean(axis=0)) / std).max())
    outside = float(((validation < y.min(axis=0)) | (validation > y.max(axis=0))).mean())
    if moved > TARGET_SHIFT or outside > OUTSIDE:
        sentence = (
            f"the validation targets' mean lies {moved:.2g} std from the training targets', "
            f"and {outside:.0%} of them are outside their range"
        )
        return Evidence(sentence, {"split": other}, {"moved": moved, "outside": outside})
    standard = np.clip(obs.standard, -10, 10)
    trained = standard[obs.sample_train]
    shift = _shift(standard[obs.sample_validation], trained)
    usual = _usual_shift(obs, trained)
    if shift < SHIFT or shift < UNUSUAL * usual:
        return None
    sentence = (
        f"the validation rows' features lie {shift:.2g} std from the training rows' (root "
        f"mean square over columns), parts of the training rows {usual:.2g} from each other"
    )
    return Evidence(sentence, {"split": other}, {"shift": shift, "usual": usual})


def _shift(some: np.ndarray, others: np.ndarray) -> float:
    moved = some.mean(axis=0, dtype=np.float64) - others.mean(axis=0, dtype=np.float64)
    return float(np.sqrt(np.square(moved).mean()))


def _usual_shift(obs: Observed, trained: np.ndarray) -> float:
    """The median over contiguous fifths of the training rows, each against the rest."""
    rows = obs.sampled[obs.sample_train]
    place = np.lexsort((obs.order[rows], obs.sequence[rows]))
    told = []
    for fold in np.array_split(np.arange(len(place)), FOLDS):
        if len(fold) and len(fold) < len(place):
            rest = np.delete(place, fold)
            told.append(_shift(trained[place[fold]], trained[rest]))
    return float(np.median(told)) if told else 0.0


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(a - b).sum(axis=1))
