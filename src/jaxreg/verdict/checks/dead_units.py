"""Looks for dead units: they are 0 for every row, so no gradient reaches them."""

from jaxreg.verdict.dead_head import dead_share, is_dead
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed

DEAD_SHARE = 0.5  # of a layer's units


def dead_output(obs: Observed) -> Evidence | None:
    """The output is one constant, and no weight gets a gradient."""
    head = obs.last_activations
    if not is_dead(head, obs.config):
        return None
    rows = len(obs.sample_train)
    if obs.config.output_activation == "relu" and (head.raw <= 0).all():
        sentence = f"the output relu is 0 for all {rows} sampled training rows, with zero gradient"
        return Evidence(sentence, {"output_activation": "linear"}, {"rows": rows})
    layer = 1 + [bool((hidden <= 0).all()) for hidden in head.hidden].index(True)
    sentence = (
        f"all units of hidden layer {layer} are 0 for all {rows} sampled training rows: the output "
        "is a constant, and only its bias has a gradient"
    )
    return Evidence(sentence, slower(obs), {"layer": layer, "rows": rows})


def dead_units(obs: Observed) -> Evidence | None:
    """Half of a hidden layer or more is dead."""
    shares = [dead_share(hidden) for hidden in obs.last_activations.hidden]
    if not obs.behind or max(shares, default=0) < DEAD_SHARE:
        return None
    listed = ", ".join(f"{share:.0%}" for share in shares)
    sentence = f"units that are 0 for every sampled training row, by hidden layer: {listed}"
    numbers = {f"layer_{i + 1}": share for i, share in enumerate(shares)}
    return Evidence(sentence, slower(obs), numbers)


def slower(obs: Observed) -> dict[str, float]:
    """A tenth of the learning rate, and at most 0.001."""
    return {"learning_rate": float(f"{min(obs.config.learning_rate / 10, 1e-3):g}")}
