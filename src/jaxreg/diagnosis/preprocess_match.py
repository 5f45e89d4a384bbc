"""`--images`: whether the images were prepared as the network's weights expect."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from jaxreg.backbone.norm_statistics import Mismatch, mismatches
from jaxreg.diagnosis.subject import Subject
from jaxreg.diagnosis.trials import Trial
from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.extraction.feature_set import find_weights, smallest_image
from jaxreg.extraction.reader import Sample
from jaxreg.sources import open_source
from jaxreg.verdict.catalogue import PREPROCESSING
from jaxreg.verdict.finding import Finding

IMAGES = 64
CLEARLY = 1.2  # times the mismatch of the best preprocessing

QUESTION = "Are images prepared as the weights expect?"


def preprocessing(subject: Subject, source: str) -> tuple[dict[str, Any] | None, Trial]:
    """A finding, if the recipe's preprocessing is not the one that fits the weights, and the test.

    Raises:
        InputError: no image of the source can be used.
        UnavailableError: the weights are not to be found.
    """
    recipe = subject.experiment.recipe
    examples = open_source(source, SourceOptions())
    images = list(Sample(examples.images, IMAGES, smallest_image(recipe)))
    if not images:
        raise InputError(f"no image of {source} can be used", expected="at least one")
    known = subject.cache.feature_set_record(recipe.feature_set)["weights_path"]
    told = mismatches(recipe, find_weights(recipe, None, [known]), images)
    if told is None:
        answer = (
            "these weights tell nothing of the images they expect: they are random, or the network "
            "has no batch normalization"
        )
        return None, Trial("images", QUESTION, answer)
    return compare(
        recipe.preprocess, {str(name): gap for name, gap in told.items()}, len(images), subject
    )


def compare(
    used: str, told: Mapping[str, Mismatch], count: int, subject: Subject
) -> tuple[dict[str, Any] | None, Trial]:
    """What the mismatches of all preprocessings say of the one that was used."""
    best = min(told, key=lambda name: told[name].size)
    listed = "; ".join(
        f"{name}: means {gap.mean:.2f} std off, std {gap.spread:.2f} in logarithm"
        for name, gap in told.items()
    )
    numbers = {name: gap._asdict() for name, gap in told.items()}
    answer = f"of {count} images, against the weights' own normalizations, {listed}"
    if told[used].size <= CLEARLY * told[best].size:
        return None, Trial("images", QUESTION, f"{answer}: {used} fits", numbers)
    evidence = (
        f"the images were prepared as {used}, and {best} fits the weights: in the first "
        f"normalizations means are {told[used].mean:.2f} and {told[best].mean:.2f} std off, "
        f"std {told[used].spread:.2f} and {told[best].spread:.2f} in logarithm"
    )
    severity = PREPROCESSING.severity if subject.obs.learns else PREPROCESSING.failing
    remedy = subject.experiment.dataset.extract_command(preprocess=best)
    flat = {f"{name}_{key}": value for name, gap in numbers.items() for key, value in gap.items()}
    finding = Finding(PREPROCESSING.code, severity, evidence, remedy, flat)
    return asdict(finding), Trial("images", QUESTION, f"{answer}: {best} fits", numbers)
