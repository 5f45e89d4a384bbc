"""The backbone's weights."""

from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observed import Observed


def random_weights(seen: Observed) -> Evidence | None:
    """The features come from a network that was never trained."""
    if seen.random_seed is None:
        return None
    sentence = (
        f"the features come from random weights (seed {seen.random_seed}), trained on nothing"
    )
    return Evidence(sentence, "python -m jaxreg.extract … --weights imagenet")
