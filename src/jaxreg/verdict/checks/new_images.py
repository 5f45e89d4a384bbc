"""Whether new images are unlike the training images.

A linear discriminant is fitted to tell new features from training features, with units held out on
both sides (a classifier two-sample test: Lopez-Paz & Oquab, Revisiting Classifier Two-Sample Tests,
2017). How far the means of its held-out scores lie apart, in std, is compared with the same of
parts of the training images.
"""

from typing import NamedTuple

import numpy as np

from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.unit_parts import differences, threshold, unit_numbers

APART = 2.0  # std: no difference below it is a shift
COMPONENTS = 16
FOLDS = 5
MOST = 600  # rows of each side, spread evenly
LEAST = 10  # rows of each side
CLIP = 6.0  # std of a feature
FLOOR = 0.1  # of the largest std: no std of a feature is taken as lower
DARKER = 0.08  # a difference in mean brightness, of 1, that is worth a word


class Images(NamedTuple):
    """Some images of one side."""

    x: np.ndarray  # (rows, features) as stored
    units: np.ndarray | None  # (rows,) which rows are alike; None: rows alone
    brightness: np.ndarray  # (rows,) from 0 to 1, NaN where it is not known
    of: int  # how many images these are spread over


def spread_rows(count: int) -> np.ndarray:
    """The numbers of the rows that are compared."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(np.int64))


def untested(train: Images, new: Images) -> str:
    """Why the sides cannot be compared; "" if they can."""
    for side, what in ((train, "training"), (new, "new")):
        if len(side.x) < LEAST:
            return f"a comparison needs {LEAST} {what} images, and has {len(side.x)}"
    if differences(unit_numbers(train.units, len(train.x)), 1, 1.0, lambda part: 0.0) is None:
        return "the training images come in too few groups to say how much groups differ"
    return ""


def images_shifted(train: Images, new: Images) -> Evidence | None:
    """The evidence that new images are unlike; None if they are not, or it cannot be tested."""
    if untested(train, new):
        return None
    known, others = _components(train.x, new.x)
    numbers = unit_numbers(train.units, len(known))
    new_numbers = unit_numbers(new.units, len(others))

    def apart(part: np.ndarray) -> float:
        sides = (known[~part], numbers[~part]), (known[part], numbers[part])
        return _apart(*sides[0], *sides[1])

    usual = differences(numbers, int(new_numbers.max()) + 1, new.of / train.of, apart)
    assert usual is not None
    found, least = _apart(known, numbers, others, new_numbers), threshold(usual, APART)
    if found <= least:
        return None
    most = f"{usual.max():.1f} std" if usual.max() > 0 else "0"
    return Evidence(
        "a linear classifier tells the new images from the training images: on images that it has "
        f"not seen, its scores of the two lie {found:.1f} std apart, and at most {most} for parts "
        f"of the training images{_lighter(train, new)}",
        remedy="train on images like these too, or take the new images as those of training were",
        numbers={
            "apart": found,
            "threshold": least,
            "most_among_training": float(usual.max()),
            **_brightness(train, new),
        },
    )


def _brightness(train: Images, new: Images) -> dict[str, float]:
    sides = {"brightness": new.brightness, "training_brightness": train.brightness}
    known = {name: values[np.isfinite(values)] for name, values in sides.items()}
    return {name: float(values.mean()) for name, values in known.items() if len(values)}


def _lighter(train: Images, new: Images) -> str:
    """Words on the brightness, where it differs."""
    both = _brightness(train, new)
    if len(both) < 2 or abs(both["brightness"] - both["training_brightness"]) < DARKER:
        return ""
    word = "darker" if both["brightness"] < both["training_brightness"] else "brighter"
    return (
        f"; the new images are {word}: their mean brightness is {both['brightness']:.2f}, that of "
        f"the training images {both['training_brightness']:.2f} (0 is black, 1 is white)"
    )


def _components(train: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The principal components of all rows, in features standardized by the training rows."""
    from sklearn.decomposition import PCA

    mean, std = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    std = np.maximum(std, max(FLOOR * float(std.max()), np.finfo(np.float32).tiny))
    rows = np.concatenate([train, new]).astype(np.float32)
    rows = np.clip((rows - mean.astype(np.float32)) / std.astype(np.float32), -CLIP, CLIP)
    count = min(COMPONENTS, rows.shape[1], (len(rows) - 1) // 2)
    scores = PCA(count, svd_solver="randomized", random_state=0).fit_transform(rows)
    return scores[: len(train)], scores[len(train) :]


def _apart(a: np.ndarray, units: np.ndarray, b: np.ndarray, others: np.ndarray) -> float:
    """How far the held-out scores of b lie above those of a, in std; below 0: at chance."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    of_a, of_b = _folds(units), _folds(others)
    scores_a, scores_b = np.empty(len(a)), np.empty(len(b))
    for fold in range(FOLDS):
        rows = np.concatenate([a[of_a != fold], b[of_b != fold]])
        sides = np.repeat([0, 1], [(of_a != fold).sum(), (of_b != fold).sum()])
        discriminant = LinearDiscriminantAnalysis(
            solver="lsqr", shrinkage="auto", priors=[0.5, 0.5]
        ).fit(rows, sides)
        scores_a[of_a == fold] = discriminant.decision_function(a[of_a == fold])
        scores_b[of_b == fold] = discriminant.decision_function(b[of_b == fold])
    spread = np.sqrt((scores_a.var() + scores_b.var()) / 2)
    return float((scores_b.mean() - scores_a.mean()) / max(spread, np.finfo(float).tiny))


def _folds(units: np.ndarray) -> np.ndarray:
    """Which fold holds out each row: whole units; of fewer units than folds, stretches of rows."""
    own = np.unique(units, return_inverse=True)[1]
    if own.max() + 1 >= FOLDS:
        return own % FOLDS
    folds = np.empty(len(own), np.int64)
    folds[np.argsort(own, kind="stable")] = np.arange(len(own)) * FOLDS // len(own)
    return folds
