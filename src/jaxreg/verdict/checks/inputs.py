"""Looks for features that are all alike, of the wrong scale, constant, or of random weights."""

from collections import Counter

import numpy as np

from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed

ALIKE_SHARE = 1 / 3  # of the rows
ALIKE_SPREAD = 1e-5  # std over magnitude: float32 holds 1e-7
VANISHING, EXPLODING = 0.02, 20.0  # root mean square, where scaled inputs have about 1
CONSTANT_SHARE = 0.1  # of the columns
TAIL_ROWS, TAIL_ERROR, TAIL_REACH = 0.02, 0.2, 5.0


def inputs_identical(obs: Observed) -> Evidence | None:
    """Most images are one image, or all features are nearly the same."""
    used = np.concatenate([obs.train, obs.validation])
    _, images = Counter(obs.digests[row] for row in used).most_common(1)[0]
    _, alike = Counter(row.tobytes() for row in obs.features).most_common(1)[0]
    share = max(images / len(used), alike / len(obs.features))
    spread = float(
        obs.mean_and_std[1].max(initial=0) / (np.abs(obs.features).max(initial=0) or 1.0)
    )
    numbers = {"share": share, "spread": spread, "rows": len(used)}
    of_images = obs.noun == "image"
    advice = f"look at the {obs.noun}s{' and paths' * of_images}, then: {obs.extract}"
    if share > ALIKE_SHARE:
        sentence = f"{share:.0%} of the {len(used)} rows are the same {obs.noun}"
    elif spread < ALIKE_SPREAD:
        sentence = (
            f"the features of all rows are alike: their std is at most {spread:.1g} of their "
            f"size{', as for empty images' * of_images}"
        )
    else:
        return None
    return Evidence(sentence, advice, numbers)


def inputs_unscaled(obs: Observed) -> Evidence | None:
    """Unscaled features are too small or too large for the head."""
    if obs.config.scale_features or not obs.behind:
        return None
    inputs = obs.inputs[obs.sample_train].astype(np.float64)
    std = float(np.sqrt(inputs.var(axis=0).mean()))
    size = float(np.sqrt(np.square(inputs).mean()))
    if std >= VANISHING and size <= EXPLODING:
        return None
    found = f"a std of {std:.2g}" if std < VANISHING else f"a size of {size:.3g}"
    sentence = f"the features have {found} at the first layer, instead of about 1"
    return Evidence(sentence, {"scale_features": True}, {"std": std, "size": size})


def inputs_heavy_tailed(obs: Observed) -> Evidence | None:
    """A few rows with extreme features cause much of the error."""
    if obs.config.scale_features or not obs.finite:
        return None
    rows = obs.sample_validation
    reach = np.abs(obs.standard[rows]).max(axis=1)
    wrong = obs.errors[obs.sampled[rows]]
    few = max(1, round(TAIL_ROWS * len(rows)))
    far = np.argsort(-reach)[:few]
    share = float(wrong[far].sum() / (wrong.sum() or 1.0))
    times = float(np.median(reach[far]) / (np.median(reach) or 1.0))
    if share < TAIL_ERROR or times < TAIL_REACH:
        return None
    sentence = (
        f"{few} of {len(rows)} validation rows cause {share:.0%} of the error; their features lie "
        f"up to {reach.max():.3g} std from the mean ({np.median(reach):.2g} is usual)"
    )
    return Evidence(sentence, {"scale_features": True}, {"share": share, "times": times})


def columns_constant(obs: Observed) -> Evidence | None:
    """Columns are the same for every row."""
    rows = obs.features[obs.sample_train]
    constant = float((rows == rows[:1]).all(axis=0).mean())
    if not CONSTANT_SHARE <= constant < 1:
        return None
    sentence = f"{constant:.0%} of the {rows.shape[1]} columns are the same for every training row"
    return Evidence(sentence, obs.diagnose, {"share": constant})


def random_weights(obs: Observed) -> Evidence | None:
    """The features come from a network with random weights."""
    if obs.random_seed is None:
        return None
    sentence = (
        f"the features come from random weights (seed {obs.random_seed}), which were never trained"
    )
    return Evidence(sentence, obs.extract_trained)
