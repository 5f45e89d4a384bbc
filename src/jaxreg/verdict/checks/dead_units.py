"""Units that say 0 for every row: no gradient reaches them, so they never come back."""

from jaxreg.verdict import dead_head
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed

DEAD_SHARE = 0.5  # of a layer's units


def dead_output(obs: Observed) -> Evidence | None:
    """The output is one constant, and no weight gets a gradient."""
    if not dead_head.is_dead(obs.last_activity, obs.config):
        return None
    rows = len(obs.sample_train)
    relu = obs.config.output_activation == "relu" and (obs.last_activity.raw <= 0).all()
    if relu:
        sentence = f"the output relu is 0 for all {rows} sampled training rows, with zero gradient"
        return Evidence(sentence, {"output_activation": "linear"}, {"rows": rows})
    layer = 1 + [bool((hidden <= 0).all()) for hidden in obs.last_activity.hidden].index(True)
    sentence = (
        f"all units of hidden layer {layer} are 0 for all {rows} sampled training rows: the output "
        "is a constant, with zero gradient but for its bias"
    )
    return Evidence(sentence, _slower(obs), {"layer": layer, "rows": rows})


def dead_units(obs: Observed) -> Evidence | None:
    """Half a hidden layer or more is dead."""
    shares = [dead_head.dead_share(hidden) for hidden in obs.last_activity.hidden]
    if not obs.behind or max(shares, default=0) < DEAD_SHARE:
        return None
    listed = ", ".join(f"{share:.0%}" for share in shares)
    sentence = f"dead units, 0 for every sampled training row, by hidden layer: {listed}"
    numbers = {f"layer_{i + 1}": share for i, share in enumerate(shares)}
    return Evidence(sentence, _slower(obs), numbers)


def _slower(obs: Observed) -> dict[str, float]:
    return {"learning_rate": float(f"{min(obs.config.learning_rate / 10, 1e-3):g}")}
