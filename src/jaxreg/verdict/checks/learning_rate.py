"""The learning rate, by what a few hundred steps at other rates reach."""

from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.short_training import FACTORS, STAGES, STEPS, Probe

DECAYED = 0.3  # of the first rate: what is left of it at the end
BETTER = 0.8  # of a validation loss: what another rate has to reach


def learning_rate_high(obs: Observed) -> Evidence | None:
    """A lower rate reaches in a few hundred steps what the whole run did not."""
    probe = obs.probe
    if probe is None:
        return None
    best = _best(probe, [factor for factor in FACTORS if factor < 1])
    if not _is_better(probe, best):
        return None
    own, rate = probe.at(1.0), obs.config.learning_rate
    reached = probe.reached[probe.at(best)]
    steps = STAGES * STEPS
    linear = ", with a linear output" if obs.bounded else ""
    sentence = (
        f"at the learning rate {rate:g} the loss rises to {probe.jump[own]:.3g} times its first "
        f"value and {probe.dead[own]:.0%} of a hidden layer dies in {steps} steps{linear}; "
        f"at {rate * best:.1g} as many steps reach a validation loss of {reached:.2g}, the whole "
        f"run {probe.run:.2g}"
    )
    numbers = {"jump": float(probe.jump[own]), "dead": float(probe.dead[own]), **_told(probe, best)}
    return Evidence(sentence, _at(rate * best), numbers)


def learning_rate_low(obs: Observed) -> Evidence | None:
    """A higher rate does, or the same one where it does not decay."""
    probe, config = obs.probe, obs.config
    if probe is None or not obs.epochs or obs.bounded:
        return None
    first, last = config.learning_rate, float(obs.history["learning_rate"][-1])
    steps, own = STAGES * STEPS, probe.reached[probe.at(1.0)]
    if has_decayed(obs) and own < BETTER * probe.run:
        sentence = (
            f"the learning rate has decayed from {first:g} to {last:.2g}; {steps} steps at "
            f"{first:g} reach a validation loss of {own:.2g}, the whole run {probe.run:.2g}"
        )
        slower = {"decay_steps": 100_000, "decay_rate": 0.95}
        return Evidence(sentence, slower, {"last": last, **_told(probe, 1.0)})
    best = _best(probe, [factor for factor in FACTORS if factor > 1])
    if not _is_better(probe, best):
        return None
    sentence = (
        f"{steps} steps at the learning rate {first * best:.1g} reach a validation loss of "
        f"{probe.reached[probe.at(best)]:.2g}; the whole run at {first:g} {probe.run:.2g}, and as "
        f"many of its steps {own:.2g}"
    )
    return Evidence(sentence, _at(first * best), {"last": last, **_told(probe, best)})


def has_decayed(obs: Observed) -> bool:
    """Whether the run ended at a rate far below its first."""
    last = obs.history["learning_rate"][-1:]
    return bool((last < DECAYED * obs.config.learning_rate).any())


def _best(probe: Probe, factors: list[float]) -> float:
    return min(factors, key=lambda factor: probe.reached[probe.at(factor)])


def _is_better(probe: Probe, factor: float) -> bool:
    """Than the run, and than as many steps at the run's own rate."""
    reached = probe.reached[probe.at(factor)]
    return reached < BETTER * probe.run and reached < BETTER * probe.reached[probe.at(1.0)]


def _told(probe: Probe, factor: float) -> dict[str, float]:
    return {"reached": float(probe.reached[probe.at(factor)]), "run": probe.run, "factor": factor}


def _at(rate: float) -> dict[str, float]:
    return {"learning_rate": float(f"{rate:.3g}")}
