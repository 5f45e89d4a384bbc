"""What reaches the first layer: all alike, of another scale than weights expect, or nothing."""

from collections import Counter

import numpy as np

from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observed import Observed

ALIKE_SHARE = 1 / 3  # of the rows
ALIKE_SPREAD = 1e-5  # deviation over magnitude: float32 holds 1e-7
VANISHING, EXPLODING = 0.02, 20.0  # root mean square, where scaled inputs have about 1
CONSTANT_SHARE = 0.1  # of the columns
TAIL_ROWS, TAIL_ERROR, TAIL_REACH = 0.02, 0.2, 5.0


def inputs_identical(seen: Observed) -> Evidence | None:
    """Most images are one image, or all features are nearly the same."""
    used = np.concatenate([seen.train, seen.watched])
    _, images = Counter(seen.digests[row] for row in used).most_common(1)[0]
    _, alike = Counter(row.tobytes() for row in seen.x).most_common(1)[0]
    share = max(images / len(used), alike / len(seen.x))
    spread = float(seen.moments[1].max(initial=0) / (np.abs(seen.x).max(initial=0) or 1.0))
    numbers = {"share": share, "spread": spread, "rows": len(used)}
    advice = f"look at the images and paths, then: {seen.extract}"
    if share > ALIKE_SHARE:
        sentence = f"{share:.0%} of the {len(used)} rows are one and the same image"
        return Evidence(sentence, advice, numbers)
    if spread < ALIKE_SPREAD:
        sentence = (
            f"the features of all rows are alike: they deviate by at most {spread:.1g} of "
            "their size, as those of empty images do"
        )
        return Evidence(sentence, advice, numbers)
    return None


def inputs_unscaled(seen: Observed) -> Evidence | None:
    """Unscaled features so small or so large that the head cannot work with them."""
    if seen.config.scale_features or not seen.behind:
        return None
    inputs = seen.inputs[seen.sample_train].astype(np.float64)
    deviation = float(np.sqrt(inputs.var(axis=0).mean()))
    size = float(np.sqrt(np.square(inputs).mean()))
    numbers = {"deviation": deviation, "size": size}
    if deviation < VANISHING:
        sentence = f"features deviate by {deviation:.2g} at the first layer, not by about 1"
    elif size > EXPLODING:
        sentence = f"features have a size of {size:.3g} at the first layer, not of about 1"
    else:
        return None
    return Evidence(sentence, {"scale_features": True}, numbers)


def inputs_heavy_tailed(seen: Observed) -> Evidence | None:
    """A few rows with features far from all others make up much of the error."""
    if seen.config.scale_features or seen.mae is None:
        return None
    rows = seen.sample_watched
    reach = np.abs(seen.standard[rows]).max(axis=1)
    told = seen.predictions[seen.sampled].astype(np.float64)  # of a head that diverges, too
    wrong = np.abs(told - seen.sample_y)[rows].mean(axis=1)
    few = max(1, round(TAIL_ROWS * len(rows)))
    far = np.argsort(-reach)[:few]
    share = float(wrong[far].sum() / (wrong.sum() or 1.0))
    times = float(np.median(reach[far]) / (np.median(reach) or 1.0))
    if share < TAIL_ERROR or times < TAIL_REACH:
        return None
    sentence = (
        f"{share:.0%} of the error is that of {few} of {len(rows)} validation rows, whose features "
        f"lie up to {reach.max():.3g} deviations out ({np.median(reach):.2g} is usual)"
    )
    return Evidence(sentence, {"scale_features": True}, {"share": share, "times": times})


def columns_constant(seen: Observed) -> Evidence | None:
    """Columns that say the same of every row."""
    rows = seen.x[seen.sample_train]
    constant = float((rows == rows[:1]).all(axis=0).mean())
    if not CONSTANT_SHARE <= constant < 1:
        return None
    sentence = f"{constant:.0%} of the {rows.shape[1]} columns are the same for every training row"
    return Evidence(sentence, f"python -m jaxreg.diagnose {seen.words[0]}", {"share": constant})
