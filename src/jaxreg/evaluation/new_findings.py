"""What is found in new data: how it differs from the data of the run, and how the errors lie."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxreg.errors import InputError
from jaxreg.evaluation.labelled_rows import LabelledRows
from jaxreg.evaluation.training_rows import RunRows, training_images
from jaxreg.new_predictions import NewPredictions
from jaxreg.verdict.checks.new_errors import (
    Compared,
    Scored,
    predictions_reversed,
    targets_mismatched,
)
from jaxreg.verdict.checks.new_images import Images, images_shifted, spread_rows, untested
from jaxreg.verdict.checks.new_targets import Numbers, targets_shifted
from jaxreg.verdict.finding import Evidence, Finding
from jaxreg.verdict.new_data_causes import NEW_DATA

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


def compare_errors(
    run: "TrainedRun", rows: LabelledRows, held_out: RunRows | None
) -> dict[str, Compared]:
    """The errors of each target here and on the held-out rows, where both have some."""
    found: dict[str, Compared] = {}
    for number, name in enumerate(run.targets):
        here, score = _scored(rows, number), run.summary["by_target"][name]["mae"]
        if score is None or not len(here.y):
            continue
        promised = None if held_out is None else _scored(held_out, number)
        found[name] = Compared(run.types[number], here, promised, score)
    return found


def _scored(side: LabelledRows | RunRows, number: int) -> Scored:
    known = ~np.isnan(side.y[:, number])
    units = None if side.units is None else side.units[known]
    return Scored(side.y[known, number], side.predictions[known, number], units)


def find_in_new_data(
    run: "TrainedRun",
    rows: LabelledRows,
    new: NewPredictions,
    compared: Mapping[str, Compared],
    train: RunRows | None,
    brightness: np.ndarray,
) -> tuple[list[Finding], list[str]]:
    """The findings in the order of NEW_DATA, and sentences on what could not be tested."""
    evidence: dict[str, list[tuple[Evidence, str]]] = {cause.code: [] for cause in NEW_DATA}
    shifted, why = _images(run, rows, new, brightness)
    notes = [f"nobody can say whether the images are like those of training: {why}"] if why else []
    if shifted is not None:
        evidence["images-shifted"].append((shifted, ""))
    reversed_in = set()
    for name, errors in compared.items():
        if (found := predictions_reversed(errors)) is not None:
            evidence["predictions-reversed"].append((found, name))
            reversed_in.add(name)
        alike = shifted is None and not why and name not in reversed_in
        if alike and (found := targets_mismatched(errors)) is not None:
            evidence["targets-mismatched"].append((found, name))
    if train is None:
        notes.append("nobody can say whether the targets are like those of training: a bundle has "
                     "no table of them")  # fmt: skip
    else:
        for number, name in enumerate(run.targets):
            sides = [
                Numbers(side.y[known, number], None if side.units is None else side.units[known])
                for side in (train, rows)
                for known in [~np.isnan(side.y[:, number])]
            ]
            if (found := targets_shifted(run.types[number], *sides)) is not None:
                evidence["targets-shifted"].append((found, name))
    several = len(run.targets) > 1
    return [
        Finding(
            cause.code,
            cause.severity,
            found.sentence,
            found.remedy if isinstance(found.remedy, str) else "",
            dict(found.numbers),
            (name,) if several and name else (),
        ).named()
        for cause in NEW_DATA
        for found, name in evidence[cause.code]
    ], notes


def _images(
    run: "TrainedRun", rows: LabelledRows, new: NewPredictions, brightness: np.ndarray
) -> tuple[Evidence | None, str]:
    """The evidence that images are unlike, and why it cannot be tested."""
    if new.known is None:
        return None, "the features of the training images are not in this cache"
    try:
        train = training_images(run, new.known, new.store)
    except InputError as error:
        return None, error.found
    some = spread_rows(len(rows.numbers))
    x = new.features.x[np.searchsorted(new.features.rows, rows.numbers[some])]
    units = None if rows.units is None else rows.units[some]
    images = Images(x, units, brightness[some], len(rows.numbers))
    why = untested(train, images)
    return (None, why) if why else (images_shifted(train, images), "")
