"""The findings that are looked for in images, and not in the training of a run."""

from jaxreg.verdict.cause import Cause
from jaxreg.verdict.checks import small_place

PREPROCESSING = Cause(
    "preprocessing-mismatch", "warning", "error",
    "mean and std of what the network's first four normalizations receive for 64 images, compared "
    "with the moving means and variances in the weights, for each --preprocess; only "
    "`diagnose --images SOURCE` measures it",
    "the mismatch of another preprocessing (means off in std, plus std off in logarithm) is 1.2 "
    "times lower",
    "frames of a recording with trained weights, tried both ways; random weights were trained on "
    "no images, so they cannot show it",
    "extract with the --preprocess that fits", None, None,
)  # fmt: skip
"""`diagnose --images` looks for it."""

SHORTCUT = Cause(
    "shortcut", "warning", "warning",
    "how far predictions follow a small place: the place of one image is put into another, and the "
    "prediction moves towards that for the first; only `explain` measures it",
    f"{small_place.FOLLOWS:.0%} of the way, for a place of at most {small_place.SMALL:.0%} of the "
    f"picture, and {small_place.BEYOND:g} times the part of the place in the variance of pixels; "
    f"or {small_place.USED:.0%}, where the mean colour of the place alone tells the target with an "
    f"R² of {small_place.TOLD:g} and leaves at most {small_place.ALONE:g} of the squared error "
    "that other places leave",
    "the drawn road and a recording, as they are and with the target written into a corner",
    "see whether the place shows what the target is, as a label does; cover it in all images",
    None, None, per_target=True,
)  # fmt: skip
"""`explain` looks for it."""
