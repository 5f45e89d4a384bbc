"""The table of findings. Adding a cause is one function and one entry here.

Of findings equally grave the first in this table is named first: what breaks the data comes before
what breaks the training, and a cause before what it causes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxreg.verdict.checks import (
    capacity,
    dead_units,
    divergence,
    inputs,
    label_signal,
    learning_rate,
    split_leakage,
    stopped_early,
    targets,
)
from jaxreg.verdict.checks.inputs import random_weights
from jaxreg.verdict.finding import Evidence, Severity
from jaxreg.verdict.observation import WORSE_THAN_RIDGE, Observed
from jaxreg.verdict.short_training import STAGES, STEPS


@dataclass(frozen=True)
class Cause:
    """One line of the table of findings; the checks are pure functions of what was observed."""

    code: str  # kebab-case, fixed once used
    severity: Severity  # where the run learns
    failing: Severity  # where it does not
    measures: str  # in words
    threshold: str  # from where on it is a finding
    origin: str  # where the threshold comes from
    remedy: str  # what to do, in words
    check: Callable[[Observed], Evidence | None] | None  # None: not measured on a run
    symptom: bool = False  # what others cause: its remedy is not joined to theirs


TUNED = (
    "the half of the catalogue of planted faults that thresholds are fixed on (verdict-score.md)"
)
SANE = "healthy runs stay far from it"
CONTRACT = "definition"
BEHIND = (
    "only looked at where the run does not learn or a ridge's error is more than "
    f"{WORSE_THAN_RIDGE:g} times lower"
)

CAUSES: tuple[Cause, ...] = (
    Cause(
        "non-finite", "error", "error",
        "a loss, a prediction or a feature is NaN or infinite; whether the features, the targets "
        "or the learning rate are behind it is told by their size where the head meets them",
        f"any; features above {divergence.LARGE_INPUT:g} or targets above "
        f"{divergence.LARGE_TARGET:g} in "
        "the head's units are blamed first",
        f"{CONTRACT}; scaled features end at 4",
        "scale features or targets, or a lower rate", divergence.non_finite,
    ),
    Cause(
        "inputs-identical", "error", "error",
        "the share of rows with one and the same image (digest) or features, and how far features "
        "deviate over their size",
        f"more than {inputs.ALIKE_SHARE:.0%} of the rows, or a std below "
        f"{inputs.ALIKE_SPREAD:g} of their size",
        f"{SANE} (1% copies in a recording; random weights deviate by 1e-3 of their size)",
        "look at the images, extract again", inputs.inputs_identical,
    ),
    Cause(
        "target-constant", "error", "error",
        "whether a target varies over the training rows", "it does not", CONTRACT,
        "another --target", targets.target_constant,
    ),
    Cause(
        "output-bounded", "error", "error",
        "how far the training targets lie below 0 where the output is a relu",
        f"on average more than {targets.BOUND_COST:.0%} of the median predictor's error",
        "less costs less than any other finding is about",
        "--output-activation linear", targets.output_bounded,
    ),
    Cause(
        "inputs-unscaled", "warning", "error",
        f"root mean square of the features at the first layer, without scaling; {BEHIND}",
        f"a std below {inputs.VANISHING:g} or a size above {inputs.EXPLODING:g}",
        f"{TUNED}; random weights' features deviate by 0.0009, and do not train",
        "--scale-features", inputs.inputs_unscaled,
    ),
    Cause(
        "targets-outliers", "warning", "error",
        "targets far from the middle of the others, and what the std is without them",
        f"{targets.OUTLYING:g} std of the middle 80%, and a std that falls "
        f"{targets.SHRINKS:g} times without them",
        f"{TUNED}; a log-normal target of sigma 1.5 falls 1.6 times",
        "mend or take out those rows", targets.targets_outliers,
    ),
    Cause(
        "inputs-heavy-tailed", "warning", "error",
        f"the share of the error that the {inputs.TAIL_ROWS:.0%} of validation rows with the most "
        "extreme features make up, without scaling",
        f"{inputs.TAIL_ERROR:.0%} of the error, and features {inputs.TAIL_REACH:g} times as far "
        "out as usual",
        TUNED, "--scale-features, which also cuts them", inputs.inputs_heavy_tailed,
    ),
    Cause(
        "split-leak", "warning", "error",
        "validation images that also train; validation rows whose neighbour in time trains and is "
        "far more alike than a stranger; and what the error is without them (a ridge's, where "
        "neighbours are held out together)",
        f"{split_leakage.COPIES:.0%} of the images; {split_leakage.BESIDE:.0%} of the rows, "
        f"{split_leakage.ALIKE:g} of the "
        f"distance, and an error {split_leakage.FLATTERED:g} times as high",
        f"{TUNED}. An error where the honest one is no tenth better than the median's, or "
        "twice the measured one",
        "--split blocks, or hash for copies", split_leakage.split_leak,
    ),
    Cause(
        "validation-shift", "warning", "error",
        "how far the validation rows' targets and features lie from the training rows', against "
        "parts of the training rows among themselves",
        f"targets: {split_leakage.TARGET_SHIFT:g} std, or {split_leakage.OUTSIDE:.0%} out "
        f"of range; "
        f"features: {split_leakage.SHIFT:g} std and {split_leakage.UNUSUAL:g} times what "
        f"is usual. Where it "
        f"learns, only if the training error is below {split_leakage.UNLIKE:g} of the validation "
        f"error",
        TUNED, "another --split", split_leakage.validation_shift,
    ),
    Cause(
        "target-scale", "warning", "error",
        "how far unscaled targets lie from what a new head says; and the median predictor's loss "
        f"against --min-delta where early stopping ended the run; {BEHIND}",
        f"{targets.FAR:g}, where a new head's outputs are about 1; less than {targets.UNSEEN:g} "
        "times --min-delta",
        TUNED, "--scale-target; a lower --min-delta", targets.target_scale,
    ),
    Cause(
        "rows-few", "warning", "error",
        "training rows against the directions that the features vary in, the error on training and "
        "validation rows, and a ridge's on half the rows and on all",
        f"fewer than {capacity.ROWS_PER_DIRECTION:g} rows a direction, an error on training rows "
        f"below {capacity.GAP:g} of the validation rows', and a ridge that still gains "
        f"{1 - capacity.STILL_FALLS:.0%}",
        TUNED, "more images", capacity.rows_few,
    ),
    Cause(
        "labels-unrelated", "error", "error",
        "a ridge's error against the median predictor's, and its rank correlation with the target "
        "against shuffled targets (within sequences: rolled, so that neighbours stay neighbours)",
        f"a correlation that {label_signal.CHANCE:.0%} of {label_signal.SHUFFLES} shuffles "
        f"reach, or one below "
        f"{label_signal.RELATED:g} with a ridge's error above {label_signal.HELPS:g} of the "
        f"median's; never "
        f"where the ridge's error is below {label_signal.LITTLE:g} of it, nor where the head "
        f"learns and "
        f"its own lies {label_signal.MUCH:.0%} below it",
        "the usual level of a test", "check that each image has its own target",
        label_signal.labels_unrelated,
    ),
    Cause(
        "learning-rate-high", "error", "error",
        f"the validation loss that {STAGES * STEPS} steps from the run's own first weights reach "
        "at a tenth to a thousandth of the rate, against the whole run; how the loss jumps and how "
        f"many units die at the run's rate; {BEHIND}",
        f"below {learning_rate.BETTER:g} times the run's, and what as many steps at its own rate "
        f"reach",
        f"{TUNED}; two seeds of a healthy head differ by less",
        "the lower rate that did best", learning_rate.learning_rate_high,
    ),
    Cause(
        "stopping-eager", "warning", "error",
        f"what {STAGES * STEPS} steps at the run's own rate reach, where early stopping ended it "
        f"sooner; {BEHIND}",
        f"below {stopped_early.CONTINUED:g} times the run's validation loss",
        TUNED, "the --patience or --min-delta that would have let it go on",
        stopped_early.stopping_eager,
    ),
    Cause(
        "learning-rate-low", "warning", "error",
        f"as learning-rate-high, at 10 to 1,000 times the rate; a rate that has decayed; {BEHIND}",
        f"below {learning_rate.BETTER:g} times the run's, and what as many steps at its own rate "
        f"reach",
        TUNED, "the higher rate that did best, a slower decay", learning_rate.learning_rate_low,
    ),
    Cause(
        "dead-output", "warning", "error",
        "whether the output is one constant for all sampled training rows with no gradient: its "
        "relu is 0, or a hidden layer is",
        "all of them", CONTRACT, "--output-activation linear, or a lower rate",
        dead_units.dead_output,
        symptom=True,
    ),
    Cause(
        "dead-units", "warning", "error",
        f"units that are 0 for every sampled training row, by hidden layer; {BEHIND}",
        f"{dead_units.DEAD_SHARE:.0%} of a layer", SANE, "a lower rate",
        dead_units.dead_units, symptom=True,
    ),
    Cause(
        "overfit", "warning", "warning",
        "the error on training rows against that on validation rows and a ridge's; and how far the "
        "validation loss has risen since its lowest while the training loss fell",
        f"below {capacity.GAP:g}, with a ridge below {capacity.SIMPLER:g} times the run's; a rise "
        f"to {stopped_early.RISES:g} times (a note: the best weights are kept)",
        TUNED, "--head ridge, fewer --components, early stopping", capacity.overfit,
    ),
    Cause(
        "stuck-at-median", "error", "error",
        "how much the predictions vary, where they are no better than the median predictor's",
        f"less than {stopped_early.CONSTANT:.0%} of what the targets do", SANE,
        "what is named before it; else jaxreg diagnose", stopped_early.stuck_at_median,
        symptom=True,
    ),
    Cause(
        "columns-constant", "note", "note",
        "columns that are the same for all sampled training rows",
        f"{inputs.CONSTANT_SHARE:.0%} of them", f"{SANE}: real features have none",
        "another layer", inputs.columns_constant,
    ),
    Cause(
        "random-weights", "note", "note",
        "whether the features come from seeded random weights", "they do", CONTRACT,
        "extract with trained weights", random_weights,
    ),
)  # fmt: skip
"""Every cause there is, in the order in which causes are named."""

PREPROCESSING = Cause(
    "preprocessing-mismatch", "warning", "error",
    "only by `diagnose --images SOURCE`: mean and std of what the network's first four "
    "normalizations get of 64 images, against the moving means and variances in the weights, for "
    "each --preprocess",
    "another preprocessing's mismatch (means off in std, plus std off in logarithm) "
    "1.2 times lower",
    "a recording's frames and trained weights, both ways; random weights have seen no images and "
    "cannot tell",
    "extract with the --preprocess that fits", None,
)  # fmt: skip
"""The one cause that is looked for in images."""
