"""Whether the predictions follow a small place of the pictures, as those of a leak do."""

from typing import NamedTuple

import numpy as np

from jaxreg.verdict.finding import Evidence

SMALL = 0.04
"""The largest part of a picture that is a small place."""

FOLLOWS = 0.35
"""Which part of the way predictions go, at least, to those of the pictures a place comes from."""

BEYOND = 2.0
"""So many times its part of the variance of the pixels is what predictions take from a place."""

TOLD = 0.5
"""R² of the target by the mean colour of the place: from here on the place may be a label."""

ALONE = 0.5
"""What the colour of a label leaves of the squared error that other places leave, at most."""

USED = 0.05
"""Which part of the way predictions go, at least, for a place that is like a label."""

FEWEST = 32
"""Pictures that such a test needs."""

INDEPENDENT = 8.0
"""So many independent pictures they must be worth: in a short stretch all places move together."""


class Moved(NamedTuple):
    """Predictions of one target before and after a place was taken from other pictures."""

    own: np.ndarray  # (pictures,) of the pictures as they are
    other: np.ndarray  # (pictures,) of those that the place was taken from
    moved: np.ndarray  # (pictures,) with the place of the other picture
    area: float  # of the place, as part of the picture
    variance: float  # of the pixels in the place, as part of that of all pixels
    told: float  # R² of the target by the mean colour of the place alone, on rows left out
    elsewhere: float  # the same of the place that tells most of those that do not touch it
    where: str  # the place in words


def part_followed(own: np.ndarray, other: np.ndarray, moved: np.ndarray) -> float:
    """The coefficient of `other` in the least squares of `moved` on both and a constant.

    It is 1 where the place alone decides, and 0 where it decides nothing. It is 0 too where the
    place only spoils the prediction, which then is nearer to neither picture.
    """
    columns = np.stack([np.ones_like(own), own, other], axis=1)
    found, _, rank, _ = np.linalg.lstsq(columns, moved, rcond=1e-6)
    return float(found[2]) if rank == 3 else 0.0


def shortcut(found: Moved) -> Evidence | None:
    """Evidence, if a small place decides much, or decides something and is like a label."""
    part = part_followed(found.own, found.other, found.moved)
    if found.area > SMALL or part < USED:
        return None
    much = part >= max(FOLLOWS, BEYOND * found.variance)
    # where the whole picture tells the target, as a ripe fruit does, no place is a label
    label = found.told >= TOLD and 1 - found.told <= ALONE * (1 - max(found.elsewhere, 0.0))
    if not much and not label:
        return None
    sentence = (
        f"the prediction follows {found.area:.1%} of the picture, {found.where}: with this place "
        f"of another picture it moves {min(part, 1.0):.0%} of the way to the prediction for that "
        "picture"
    )
    if label:
        sentence += f", and its mean colour alone tells the target (R² {found.told:.2f})"
    return Evidence(
        sentence,
        "see whether this place shows what the target is, as a label, a gauge or a border does; if "
        "so, cover or cut it off in all images, and extract again",
        {
            "follows": part,
            "area": found.area,
            "pixel_variance": found.variance,
            "told_r2": found.told,
            "told_elsewhere_r2": found.elsewhere,
            "images": len(found.own),
        },
    )
