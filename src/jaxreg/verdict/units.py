"""Units that say 0 for every row: no gradient reaches them, so they never come back."""

from jaxreg.verdict import network
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observed import Observed

DEAD_SHARE = 0.5  # of a layer's units


def dead_output(seen: Observed) -> Evidence | None:
    """The output is one constant, and no weight gets a gradient."""
    if not network.is_dead(seen.last_activity, seen.config):
        return None
    rows = len(seen.sample_train)
    relu = seen.config.output_activation == "relu" and (seen.last_activity.raw <= 0).all()
    if relu:
        sentence = f"the output relu is 0 for all {rows} sampled training rows, with zero gradient"
        return Evidence(sentence, {"output_activation": "linear"}, {"rows": rows})
    layer = 1 + [bool((hidden <= 0).all()) for hidden in seen.last_activity.hidden].index(True)
    sentence = (
        f"all units of hidden layer {layer} are 0 for all {rows} sampled training rows: the output "
        "is a constant, with zero gradient but for its bias"
    )
    return Evidence(sentence, _slower(seen), {"layer": layer, "rows": rows})


def dead_units(seen: Observed) -> Evidence | None:
    """Half a hidden layer or more is dead."""
    shares = [network.dead_share(hidden) for hidden in seen.last_activity.hidden]
    if not seen.behind or max(shares, default=0) < DEAD_SHARE:
        return None
    listed = ", ".join(f"{share:.0%}" for share in shares)
    sentence = f"dead units, 0 for every sampled training row, by hidden layer: {listed}"
    numbers = {f"layer_{i + 1}": share for i, share in enumerate(shares)}
    return Evidence(sentence, _slower(seen), numbers)


def _slower(seen: Observed) -> dict[str, float]:
    return {"learning_rate": float(f"{min(seen.config.learning_rate / 10, 1e-3):g}")}
