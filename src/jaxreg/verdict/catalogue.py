"""The table of findings. To add a cause, write one check and add one entry here.

Among findings of the same severity, the verdict names the first in this table first. So causes in
the data come before causes in the training, and a cause comes before its symptoms.
"""

from jaxreg.verdict import target_remedies
from jaxreg.verdict.cause import BEHIND, DEFINED, SANE, TUNED, Cause
from jaxreg.verdict.checks import (
    capacity,
    dead_units,
    divergence,
    held_out,
    inputs,
    label_signal,
    learning_rate,
    side_alone,
    split_leakage,
    stopped_early,
    targets,
    unit_coverage,
)
from jaxreg.verdict.image_causes import PREPROCESSING, SHORTCUT
from jaxreg.verdict.new_data_causes import NEW_DATA
from jaxreg.verdict.short_training import STAGES, STEPS

CAUSES: tuple[Cause, ...] = (
    Cause(
        "non-finite", "error", "error",
        "whether a loss, a prediction or a feature is NaN or infinite; the size of features and "
        "targets inside the head decides whether they or the learning rate are named as the cause",
        f"one number; features above {divergence.LARGE_INPUT:g} or targets above "
        f"{divergence.LARGE_TARGET:g} in the head's units are named first",
        f"{DEFINED}; scaled features end at 4",
        "scale the features or the target, or lower the rate", divergence.non_finite, "curves",
    ),
    Cause(
        "inputs-identical", "error", "error",
        "the share of rows with the same image (digest) or the same features, and the std of the "
        "features over their size",
        f"more than {inputs.ALIKE_SHARE:.0%} of the rows, or a std below "
        f"{inputs.ALIKE_SPREAD:g} of the size",
        f"{SANE} (a recording has 1% copies; the std of random weights' features is 1e-3 of their "
        "size)",
        "look at the images, and extract again", inputs.inputs_identical, "inputs",
    ),
    Cause(
        "target-constant", "error", "error",
        "whether each target varies over the training rows", "one is constant", DEFINED,
        "another --target", targets.target_constant, "targets", per_target=True,
    ),
    Cause(
        "output-bounded", "error", "error",
        "how far the training targets lie below 0 where the output is a relu",
        f"on average more than {targets.BOUND_COST:.0%} of the median predictor's error",
        "below it, the bound changes the error less than any other finding does",
        "--output-activation linear", targets.output_bounded, "targets", per_target=True,
    ),
    Cause(
        "inputs-unscaled", "warning", "error",
        f"root mean square of the features at the first layer, without scaling; {BEHIND}",
        f"a std below {inputs.VANISHING:g} or a size above {inputs.EXPLODING:g}",
        f"{TUNED}; features of random weights have a std of 0.0009, and do not train",
        "--scale-features", inputs.inputs_unscaled, "inputs",
    ),
    Cause(
        "targets-outliers", "warning", "error",
        "how far targets lie from the median, and the std without the outliers",
        f"{targets.OUTLYING:g} times the std of the middle 80%, and a std that falls "
        f"{targets.SHRINKS:g} times without the outliers",
        f"{TUNED}; for a log-normal target of sigma 1.5 it falls 1.6 times",
        "correct or remove those rows", targets.targets_outliers, "targets", per_target=True,
    ),
    Cause(
        "inputs-heavy-tailed", "warning", "error",
        f"the share of the error that comes from the {inputs.TAIL_ROWS:.0%} of validation rows "
        "with the most extreme features, without scaling",
        f"{inputs.TAIL_ERROR:.0%} of the error, and features {inputs.TAIL_REACH:g} times as far "
        "from the mean as usual",
        TUNED, "--scale-features, which also clips them", inputs.inputs_heavy_tailed, "reach",
    ),
    Cause(
        "split-leak", "warning", "error",
        "the share of validation images that are training images too; the share of validation rows "
        "that are next to a training row (in time, in their group or in the table) and much more "
        "similar to it than to a random one; "
        "and the error without them (a ridge's, with neighbours held out together)",
        f"{split_leakage.COPIES:.0%} of the images; or {split_leakage.BESIDE:.0%} of the rows, at "
        f"{split_leakage.ALIKE:g} of the distance, and an error {split_leakage.GROWS:g} times as "
        "high",
        f"{TUNED}. It is an error if the error without them is above 0.9 of the median "
        "predictor's, or above twice the measured one",
        "a stronger --split, or one group for rows that belong together",
        split_leakage.split_leak, "leak", per_target=True,
    ),
    Cause(
        "side-columns-alone", "warning", "warning",
        "the error of a ridge and of a small tree on the side columns alone, compared with the "
        "run's",
        f"the lower one is below {side_alone.REACHES:g} times the run's error, and below the "
        "median predictor's by more than twice the error of the gain",
        SANE, "leave out the side columns that are known only together with the target",
        side_alone.side_columns_alone, "gap", pooled=True, per_target=True,
    ),
    Cause(
        "validation-shift", "warning", "error",
        "how far the targets and features of the validation rows lie from those of the training "
        "rows, compared with parts of the training rows among themselves",
        f"targets: {split_leakage.TARGET_SHIFT:g} std, or {split_leakage.OUTSIDE:.0%} out of "
        f"range; features: {split_leakage.SHIFT:g} std and {split_leakage.UNUSUAL:g} times the "
        "usual shift. Where the run learns, the training error must also be below "
        f"{split_leakage.UNLIKE:g} of the validation error",
        TUNED, "--folds 5, which hold out every row once; more images like those of the validation "
        "rows; never a weaker --split", split_leakage.validation_shift, "shift",
        per_target=True,
    ),
    Cause(
        "target-scale", "warning", "error",
        "how far unscaled targets lie from the outputs of a new head; if early stopping ended the "
        f"run, also the median predictor's loss over --min-delta; {BEHIND}",
        f"{targets.FAR:g}, where a new head's outputs are about 1; less than {targets.UNSEEN:g} "
        "times --min-delta",
        TUNED, "--scale-target; a lower --min-delta", targets.target_scale, "targets",
        per_target=True,
    ),
    Cause(
        "rows-few", "warning", "error",
        "the number of training rows over the number of directions in which the features vary, the "
        "errors on training and validation rows, and a ridge's errors with half the rows and with "
        "all",
        f"fewer than {capacity.ROWS_PER_DIRECTION:g} rows for each direction, a training error "
        f"below {capacity.GAP:g} of the validation error, and a ridge that still gains "
        f"{1 - capacity.STILL_FALLS:.0%}",
        TUNED, "more images", capacity.rows_few, "gap", per_target=True,
    ),
    Cause(
        "labels-unrelated", "error", "error",
        "a ridge's error over the median predictor's, and its rank correlation with the target "
        "compared with shuffled targets (sequences are rotated, so neighbours stay neighbours)",
        f"more than {label_signal.CHANCE:.0%} of {label_signal.SHUFFLES} shuffles reach the "
        f"correlation; or it is at most {label_signal.RELATED:g} and the ridge's error at least "
        f"{label_signal.HELPS:g} of the median's. There is no finding in four cases: the ridge's "
        f"error is below {label_signal.LITTLE:g} of the median's; the head's gain over the median "
        f"is more than {label_signal.SURE:g} times the error of this gain; the head learns, and "
        f"its error is {label_signal.MUCH:.0%} below the median's or its own correlation passes "
        "the test with shuffles; the rows are so few that their best order may be chance",
        "the usual level of a test", "check that each image has its own target",
        label_signal.labels_unrelated, "linear", per_target=True,
    ),
    Cause(
        "learning-rate-high", "error", "error",
        f"the validation loss after {STAGES * STEPS} steps from the run's first weights, at a "
        "tenth to a thousandth of the rate, compared with the whole run; also how far the loss "
        f"jumps and how many units die at the run's rate; {BEHIND}",
        f"below {learning_rate.BETTER:g} times the run's loss, and below {learning_rate.BETTER:g} "
        "times that of as many steps at the run's rate",
        f"{TUNED}; two seeds of a healthy head differ by less",
        "the best of the lower rates", learning_rate.learning_rate_high, "rates",
    ),
    Cause(
        "stopping-eager", "warning", "error",
        f"the validation loss after {STAGES * STEPS} steps at the run's rate, where early stopping "
        f"ended the run sooner; {BEHIND}",
        f"below {stopped_early.CONTINUED:g} times the run's loss",
        TUNED, "a --patience or --min-delta that does not stop there",
        stopped_early.stopping_eager, "curves",
    ),
    Cause(
        "learning-rate-low", "warning", "error",
        "the same as for learning-rate-high, at 10 to 1,000 times the rate; also whether the rate "
        f"has decayed; {BEHIND}",
        f"below {learning_rate.BETTER:g} times the run's loss, and below {learning_rate.BETTER:g} "
        "times that of as many steps at the run's rate",
        TUNED, "the best of the higher rates, or a slower decay", learning_rate.learning_rate_low,
        "rates",
    ),
    Cause(
        "dead-output", "warning", "error",
        "whether the output is the same constant for all sampled training rows, without a "
        "gradient: its relu is 0, or a hidden layer is",
        "all of them", DEFINED, "--output-activation linear, or a lower rate",
        dead_units.dead_output, "dead", symptom=True,
    ),
    Cause(
        "dead-units", "warning", "error",
        f"the share of units that are 0 for every sampled training row, by hidden layer; {BEHIND}",
        f"{dead_units.DEAD_SHARE:.0%} of a layer", SANE, "a lower rate",
        dead_units.dead_units, "dead", symptom=True,
    ),
    Cause(
        "overfit", "warning", "warning",
        "the training error over the validation error, and a ridge's error; also how far the "
        "validation loss rises after its lowest value while the training loss falls",
        f"below {capacity.GAP:g}, with a ridge below {capacity.SIMPLER:g} times the run's error; a "
        f"rise to {stopped_early.RISES:g} times (a note: the run keeps its best weights)",
        TUNED, "--head ridge, fewer --components, early stopping", capacity.overfit, "curves",
        per_target=True,
    ),
    Cause(
        "linear-is-better", "warning", "warning",
        "the error of a ridge on the same features, compared with the head's by bootstrap",
        f"below {held_out.LINEAR:g} times the head's error, by more than twice the bootstrap error "
        "of the difference; the ridge must also be better than the median predictor by as much",
        "the usual level of a test; a gain below 5% is not worth a warning",
        "--head ridge, or --head blend if the mean of both predictions is better than the ridge",
        held_out.linear_is_better, "gap", pooled=True, per_target=True,
    ),
    Cause(
        "unit-not-covered", "warning", "warning",
        "how many rows of each block or group lie in the intervals that follow from the other "
        "blocks or groups; only with `--folds`, and only where the split holds out blocks or "
        "groups",
        f"the share in a block or group of at least {unit_coverage.ROWS} rows is below "
        f"{unit_coverage.QUARTER:g} times the level",
        "drawn units, whose sizes of errors differ by a factor of 1.6: in 95% of the draws the "
        "lowest share was at least 0.17 of 50 units, and at least 0.32 of 10 units",
        "look at the rows of that unit, and add images like them", unit_coverage.unit_not_covered,
        None, pooled=True, per_target=True,
    ),
    Cause(
        "stuck-at-median", "error", "error",
        "the std of the predictions over that of the targets, where the run does not learn",
        f"less than {stopped_early.CONSTANT:.0%}", SANE,
        "that of the first finding; without another finding, jaxreg diagnose",
        stopped_early.stuck_at_median, "targets", symptom=True, per_target=True,
    ),
    Cause(
        "columns-constant", "note", "note",
        "the share of columns that are the same for all sampled training rows",
        f"{inputs.CONSTANT_SHARE:.0%}", f"{SANE}: real features have none",
        "another layer", inputs.columns_constant, "inputs",
    ),
    Cause(
        "targets-at-both-ends", "note", "note",
        f"the errors of the {held_out.END:.0%} of rows with the lowest and the highest targets",
        f"on average {held_out.BIAS:.0%} of the range too high at the low end and too low at the "
        f"high end, up to {held_out.FAR:.0%}; and {held_out.STEEP:g} times the error of rows a "
        f"little further inside ({held_out.BESIDE[0]:.0%} to {held_out.BESIDE[1]:.0%} of the range "
        "from an end), or, around the circle, a ridge that learns directions errs less than "
        f"{held_out.AROUND:.0%} of the run and of a ridge that learns the numbers",
        f"{SANE}: predictions that only shrink to the mean err 1.5 times as much at the ends, at "
        "most 2.1 times by chance",
        "--target-type circular:PERIOD", held_out.targets_at_both_ends,
        "targets", pooled=True, per_target=True,
    ),
    Cause(
        "targets-at-bound", "note", "note",
        "the share of training targets that stand exactly on the lowest or the highest value, and "
        "the part of the error that lies beyond it",
        f"{target_remedies.PILE:.0%} of the targets, {target_remedies.ABOVE:g} times as many as on "
        f"any value beside it; {held_out.BEYOND:.0%} of the MAE",
        f"{SANE}: of counts and grades, no end has so many more than the values beside it",
        "--target-type bounded:LO:HI", held_out.targets_at_bound, "targets", pooled=True,
        per_target=True,
    ),
    Cause(
        "predictions-out-of-range", "note", "note",
        "how far predictions lie outside the range of the training targets",
        "more than the std of the training targets", DEFINED,
        "look at those images; --scale-features, which clips features that lie far out",
        held_out.predictions_out_of_range, "targets", pooled=True, per_target=True,
    ),
    Cause(
        "side-columns-gain", "note", "note",
        "the error of a ridge on the features alone, and of one on features and side columns",
        "each run with side columns has it", DEFINED,
        "leave the side columns out, if the ridge's error falls by less than "
        f"{side_alone.LEAST:.0%}, or by less than twice the error of the gain",
        side_alone.side_columns_gain, "gap", pooled=True, per_target=True,
    ),
    Cause(
        "random-weights", "note", "note",
        "whether the features come from random weights", "they do", DEFINED,
        "extract with trained weights", inputs.random_weights, "gap",
    ),
)  # fmt: skip
"""All causes, in the order in which the verdict names them."""

EVERY_CAUSE: tuple[Cause, ...] = (*CAUSES, PREPROCESSING, SHORTCUT, *NEW_DATA)
"""All findings that there are, for pages and lists."""
