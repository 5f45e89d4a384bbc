"""Looks for validation rows that nearly equal training rows, and for some unlike all of them.

No remedy weakens the split. From the strongest: groups, blocks, a hash, the tail.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxreg.target_types import center_and_std, medians
from jaxreg.verdict.finding import Evidence, Severity
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.sampling import nearest_in_time
from jaxreg.verdict.small_ridge import small_ridge

COPIES = 0.05  # share of validation images that also train
BESIDE_BY = 1  # places in the order: a split in blocks leaves at least that many out of training
BESIDE, ALIKE = 0.3, 0.6  # share of rows with a neighbour; its distance over a stranger's
GROWS = 1.2  # times: the error where neighbours are held out together, over that on this split
FOLDS, EDGE = 5, 10  # of the sampled rows; rows beside a fold that are left out, at least
FEWEST = FOLDS * EDGE  # sampled rows: with fewer, none would be left to fit a ridge on
SHIFT, UNUSUAL = 0.5, 3.0  # std; times the shift between parts of the training rows
TARGET_SHIFT, OUTSIDE = 1.0, 0.2  # std; share of validation targets out of range
UNLIKE = 0.8  # training over validation error


def split_leak(obs: Observed) -> Evidence | None:
    """The same image, or nearly the same one, is on both sides."""
    return _copies(obs) or _neighbours(obs)


def _copies(obs: Observed) -> Evidence | None:
    trained = {obs.digests[row] for row in obs.train}
    copies = np.array([obs.digests[row] in trained for row in obs.validation])
    if copies.mean() < COPIES or obs.mae is None or (copies.mean() > 0.99 and len(trained) < 2):
        return None
    others = obs.validation[~copies]
    sentence = f"{copies.mean():.0%} of the validation {obs.noun}s are training {obs.noun}s too"
    numbers = {"share": float(copies.mean())}
    severity = None
    if len(others) > 1:
        apart = obs.difference(obs.predictions[others], obs.y[others])
        error = float(np.abs(apart).mean())
        median = float(np.abs(obs.difference(obs.median, obs.y[others])).mean())
        sentence += f"; on the others the MAE is {error:.3g}, the median predictor's {median:.3g}"
        numbers |= {"others": error}
        severity = _severity(error, obs.mae, median)
    return Evidence(sentence, _apart_from_copies(obs), numbers, severity)


def _neighbours(obs: Observed) -> Evidence | None:
    rows = obs.sampled[obs.sample_validation]
    beside = nearest_in_time(rows, obs.sampled[obs.sample_train], obs.sequence, obs.order)
    near = beside >= 0
    near[near] = np.abs(obs.order[rows[near]] - obs.order[beside[near]]) <= BESIDE_BY
    share = float(near.mean())
    if share < BESIDE or obs.mae is None or len(rows) + len(obs.sample_train) < FEWEST:
        return None
    standard = np.clip(obs.standard, -4, 4)
    here = standard[obs.sample_validation][near]
    there = standard[np.searchsorted(obs.sampled, beside[near])]
    strangers = standard[np.random.default_rng(0).choice(obs.sample_train, size=len(here))]
    ratio = float(np.median(_distance(here, there)) / (np.median(_distance(here, strangers)) or 1))
    if ratio > ALIKE:
        return None
    apart = obs.difference(obs.sample_ridge, obs.sample_y[obs.sample_validation])
    on_split = float(np.abs(apart).mean())
    in_blocks, median = _in_blocks(obs)
    if in_blocks < GROWS * on_split:
        return None
    where = "of the same group" if _has_groups(obs) else "in the table"
    sentence = (
        f"{share:.0%} of the validation rows are next to a training row "
        f"{'in time' if obs.sequential else where}, and the distance of their features is "
        f"{ratio:.2f} times that to a random training row. A ridge's MAE is {on_split:.3g} on this "
        f"split, and {in_blocks:.3g} if neighbours are held out together (median predictor "
        f"{median:.3g})"
    )
    numbers = {"share": share, "ratio": ratio, "in_blocks": in_blocks, "on_split": on_split}
    severity = _severity(in_blocks, on_split, median)
    return Evidence(sentence, _apart_from_neighbours(obs), numbers, severity)


def _severity(held_out: float, measured: float, median: float) -> Severity:
    """An error where the measured MAE cannot be believed."""
    return "error" if held_out > 0.9 * median or held_out > 2 * measured else "warning"


def _in_blocks(obs: Observed) -> tuple[float, float]:
    """MAE of a ridge and of the median on contiguous folds of the sampled rows."""
    y = obs.sample_y.astype(np.float64)
    used = np.union1d(obs.sample_train, obs.sample_validation)
    rows = obs.sampled[used]
    used = used[np.lexsort((obs.order[rows], obs.sequence[rows]))]
    wrong, usual, edge = [], [], max(EDGE, len(used) // 50)
    for fold in np.array_split(np.arange(len(used)), FOLDS):
        rest = used[np.r_[0 : max(0, fold[0] - edge), fold[-1] + 1 + edge : len(used)]]
        asked = used[fold]
        ridge = small_ridge(obs.x[rest], y[rest], obs.x[asked], obs.types, obs.side)
        wrong.append(np.abs(obs.difference(ridge, y[asked])))
        usual.append(np.abs(obs.difference(medians(obs.types, y[rest]), y[asked])))
    return float(np.concatenate(wrong).mean()), float(np.concatenate(usual).mean())


def validation_shift(obs: Observed) -> Evidence | None:
    """The validation rows differ from the training rows in features or in targets."""
    if obs.mae is None or obs.train_mae is None:
        return None
    if obs.learns and obs.train_mae > UNLIKE * obs.mae:
        return None
    y, validation = obs.y[obs.train].astype(np.float64), obs.y[obs.validation].astype(np.float64)
    mean, std = center_and_std(obs.types, y)
    apart = np.abs(obs.difference(validation, mean[None, :]).mean(axis=0))
    moved = float((apart / np.where(std == 0, np.inf, std)).max())
    outside = float(((validation < y.min(axis=0)) | (validation > y.max(axis=0))).mean())
    if obs.types[0].circular:  # a circle has no ends
        outside = 0.0
    if moved > TARGET_SHIFT or outside > OUTSIDE:
        sentence = (
            f"the mean of the validation targets lies {moved:.2g} std from that of the training "
            f"targets, and {outside:.0%} of the validation targets are outside their range"
        )
        return Evidence(sentence, _all_held_out(obs), {"moved": moved, "outside": outside})
    standard = np.clip(obs.standard, -10, 10)
    trained = standard[obs.sample_train]
    shift = _shift(standard[obs.sample_validation], trained)
    usual = _usual_shift(obs, trained)
    if shift < SHIFT or shift < UNUSUAL * usual:
        return None
    sentence = (
        f"the mean features of the validation rows lie {shift:.2g} std from those of the "
        "training rows (root mean square over columns); parts of the training rows lie "
        f"{usual:.2g} from each other"
    )
    return Evidence(sentence, _all_held_out(obs), {"shift": shift, "usual": usual})


Remedy = Mapping[str, Any] | str


def _apart_from_copies(obs: Observed) -> Remedy:
    """What keeps copies of an image on one side. A hash does, and it is stronger than a tail."""
    if obs.split == "tail" and not obs.sequential and not _has_groups(obs):
        return {"split": "hash"}
    return f"keep one of each {obs.noun}, or give all its copies one group, then: {obs.extract}"


def _apart_from_neighbours(obs: Observed) -> Remedy:
    """What keeps neighbours in time on one side."""
    if obs.split.startswith("group"):
        return f"give rows that follow one another one group (--group-column), then: {obs.extract}"
    return {"split": "group:group" if _has_groups(obs) and not obs.sequential else "blocks"}


def _all_held_out(obs: Observed) -> Remedy:
    """What scores more than this one choice of rows: every row is held out once."""
    if obs.config.folds is not None:
        return f"add more {obs.noun}s like the validation rows, then: {obs.extract}"
    if obs.split == "tail":  # it has one end only
        return _apart_from_neighbours(obs)
    if obs.units < 3:  # a fold needs one part to train on, and one to watch
        return (
            f"add more {obs.noun}s like the validation rows, in other groups, then: {obs.extract}"
        )
    folds = {"folds": min(FOLDS, obs.units)}
    return folds | {"test": 0.0} if obs.config.test else folds


def _has_groups(obs: Observed) -> bool:
    return bool((obs.sequence != obs.sequence[0]).any())


def _shift(some: np.ndarray, others: np.ndarray) -> float:
    moved = some.mean(axis=0, dtype=np.float64) - others.mean(axis=0, dtype=np.float64)
    return float(np.sqrt(np.square(moved).mean()))


def _usual_shift(obs: Observed, trained: np.ndarray) -> float:
    """The median shift of contiguous fifths of the training rows, each against the rest."""
    rows = obs.sampled[obs.sample_train]
    place = np.lexsort((obs.order[rows], obs.sequence[rows]))
    shifts = [
        _shift(trained[place[fold]], trained[np.delete(place, fold)])
        for fold in np.array_split(np.arange(len(place)), FOLDS)
        if 0 < len(fold) < len(place)
    ]
    return float(np.median(shifts)) if shifts else 0.0


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(a - b).sum(axis=1))
