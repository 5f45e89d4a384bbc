"""The findings of `jaxreg evaluate`: what is looked for in data that a run has not seen."""

from jaxreg.verdict.cause import DEFINED, Cause
from jaxreg.verdict.checks import new_errors, new_images, new_targets
from jaxreg.verdict.unit_parts import FURTHER, SPREADS

_CALIBRATED = (
    "parts of a recording of 1,000 frames, held out in turn, compared with a darker and a mirrored "
    "copy of it"
)
_PARTS = (
    f"also more than {FURTHER:g} times the largest value of parts of the training rows, and more "
    f"than their mean plus {SPREADS:g} std"
)

NEW_DATA: tuple[Cause, ...] = (
    Cause(
        "predictions-reversed", "warning", "warning",
        "the correlation of predictions and targets, with its bootstrap error over units; only "
        "`evaluate` measures it",
        f"below {new_errors.REVERSED:g}, and below 0 by more than {new_errors.SURE:g} errors; on "
        "the held-out rows of the run it is above 0",
        DEFINED, "check whether the images are mirrored, or the targets have another sign",
        None, None, per_target=True,
    ),
    Cause(
        "images-shifted", "warning", "warning",
        "how well a linear discriminant tells the features of the new images from those of the "
        "training images, on units (blocks, groups) of both that it has not seen: the distance of "
        "the means of its scores, in std; only `evaluate` measures it",
        f"{new_images.APART:g} std; {_PARTS}",
        _CALIBRATED, "train on images like these too",
        None, None,
    ),
    Cause(
        "targets-shifted", "warning", "warning",
        "the difference of the means of the new targets and of those of training, the ratio of "
        "their std, and the Kolmogorov-Smirnov statistic; only `evaluate` measures it",
        f"{new_targets.MEANS:g} std, {new_targets.WIDER:g} times, or "
        f"{new_targets.KOLMOGOROV:g}; {_PARTS}",
        _CALIBRATED, "check unit and zero of the targets; train on such rows too",
        None, None, per_target=True,
    ),
    Cause(
        "targets-mismatched", "warning", "warning",
        "the correlation of predictions and targets, and the MAE if the targets are read as "
        "predictions in another unit, where the images are like those of training and the run is "
        "far worse than it promised; only `evaluate` measures it",
        f"less than {new_errors.LOST:g} of the correlation on the held-out rows; or at most "
        f"{new_errors.LINE:g} of the MAE",
        _CALIBRATED, "check that each image has its own target, in the unit of training",
        None, None, per_target=True,
    ),
)  # fmt: skip
"""In the order in which they are named: what explains an error comes first."""
