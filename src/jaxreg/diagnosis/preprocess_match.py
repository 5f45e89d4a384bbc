"""`diagnose --images`: were the images preprocessed as the network's weights expect?"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from jaxreg.backbone.norm_statistics import Mismatch, mismatches
from jaxreg.cache.recipe import Recipe
from jaxreg.diagnosis.subject import Subject
from jaxreg.diagnosis.trials import Trial
from jaxreg.errors import InputError
from jaxreg.extraction.feature_set import find_weights, smallest_image
from jaxreg.extraction.reader import Sample
from jaxreg.sources import open_source
from jaxreg.verdict.finding import Finding
from jaxreg.verdict.image_causes import PREPROCESSING

IMAGES = 64
CLEARLY = 1.2  # times the mismatch of the best preprocessing

QUESTION = "Are images preprocessed as the weights expect?"


def refuse_embeddings(subject: Subject) -> None:
    """Raise InputError for features that no network computes."""
    if not subject.experiment.features.networks:
        raise InputError(
            "--images compares images with a network, and these features are embeddings",
            remedy="leave --images out",
        )


def preprocessing(
    subject: Subject, source: str, say: Callable[[str], None]
) -> Iterator[tuple[dict[str, Any] | None, Trial]]:
    """Of each network: a finding if another preprocessing fits the weights, and the test.

    Raises:
        InputError: no image of the source can be used.
        UnavailableError: the weights are not to be found.
    """
    networks = subject.experiment.features.networks
    for recipe in networks:
        finding, trial = _of_network(recipe, subject, source, say)
        named = trial.name if len(networks) == 1 else f"images in {recipe.feature_set}"
        yield finding, replace(trial, name=named)


def _of_network(
    recipe: Recipe, subject: Subject, source: str, say: Callable[[str], None]
) -> tuple[dict[str, Any] | None, Trial]:
    examples = open_source(source, ranged=recipe.range is not None)
    for note in examples.notes:
        say(f"note: {note}")
    images = list(Sample(examples.images, IMAGES, smallest_image(recipe), limits=recipe.range))
    if not images:
        raise InputError(f"no image of {source} can be used", expected="at least one")
    known = subject.experiment.cache.feature_set_record(recipe.feature_set)["weights_path"]
    found = mismatches(recipe, find_weights(recipe, None, [known]), images)
    if found is None:
        answer = (
            "these weights do not show which images they expect: they are random, in an ONNX file "
            "or a KerasHub preset, or the network has no batch normalization"
        )
        return None, Trial("images", QUESTION, answer)
    gaps = {str(name): gap for name, gap in found.items()}
    return compare(recipe, gaps, len(images), subject)


def compare(
    recipe: Recipe, found: Mapping[str, Mismatch], count: int, subject: Subject
) -> tuple[dict[str, Any] | None, Trial]:
    """A finding if another preprocessing fits clearly better than the one that was used."""
    used = recipe.preprocess
    best = min(found, key=lambda name: found[name].size)
    listed = "; ".join(
        f"{name}: means {gap.mean:.2f} std off, std {gap.spread:.2f} in logarithm"
        for name, gap in found.items()
    )
    numbers = {name: gap._asdict() for name, gap in found.items()}
    answer = f"for {count} images, compared with the weights' normalizations: {listed}"
    if found[used].size <= CLEARLY * found[best].size:
        return None, Trial("images", QUESTION, f"{answer}: {used} fits", numbers)
    evidence = (
        f"the images were preprocessed with {used}, but {best} fits the weights: in the first "
        f"normalizations, means are {found[used].mean:.2f} and {found[best].mean:.2f} std off, "
        f"std {found[used].spread:.2f} and {found[best].spread:.2f} in logarithm"
    )
    severity = PREPROCESSING.severity if subject.obs.learns else PREPROCESSING.failing
    remedy = subject.experiment.dataset.command_into(recipe, preprocess=best)
    flat = {f"{name}_{key}": value for name, gap in numbers.items() for key, value in gap.items()}
    finding = Finding(PREPROCESSING.code, severity, evidence, remedy, flat)
    return asdict(finding), Trial("images", QUESTION, f"{answer}: {best} fits", numbers)
