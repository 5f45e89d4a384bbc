"""Looks for a learning rate that is too high or too low: short trainings try other rates."""

from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.short_training import BETTER, FACTORS, STAGES, STEPS, Probe


def learning_rate_high(obs: Observed) -> Evidence | None:
    """At a lower rate, a few hundred steps reach a lower loss than the whole run."""
    probe = obs.probe
    if probe is None:
        return None
    best = _best(probe, [factor for factor in FACTORS if factor < 1])
    if not _is_better(probe, best):
        return None
    own, rate, steps = probe.at(1.0), obs.config.learning_rate, STAGES * STEPS
    reached = probe.reached[probe.at(best)]
    linear = " with a linear output" if obs.bounded else ""
    sentence = (
        f"in {steps} steps at the learning rate {rate:g}{linear} the loss rises to "
        f"{probe.jump[own]:.3g} times its first value and {probe.dead[own]:.0%} of a hidden layer "
        f"dies; at {rate * best:.1g} as many steps reach a validation loss of {reached:.2g}, the "
        f"whole run reached {probe.run:.2g}"
    )
    numbers = {"jump": float(probe.jump[own]), "dead": float(probe.dead[own])}
    numbers |= _numbers(probe, best)
    helped = probe.improved(best, obs.targets)
    return Evidence(sentence, _at(rate * best), numbers, targets=helped)


def learning_rate_low(obs: Observed) -> Evidence | None:
    """At a higher rate, or at its own without decay, a few hundred steps reach a lower loss."""
    probe, config = obs.probe, obs.config
    if probe is None or not obs.epochs or obs.bounded:
        return None
    first, last = config.learning_rate, float(obs.history["learning_rate"][-1])
    steps, own = STAGES * STEPS, probe.reached[probe.at(1.0)]
    if obs.has_decayed and own < BETTER * probe.run:
        sentence = (
            f"the learning rate has decayed from {first:g} to {last:.2g}; {steps} steps at "
            f"{first:g} reach a validation loss of {own:.2g}, the whole run reached {probe.run:.2g}"
        )
        slower = {"decay_steps": 100_000, "decay_rate": 0.95}
        numbers, helped = {"last": last, **_numbers(probe, 1.0)}, probe.improved(1.0, obs.targets)
        return Evidence(sentence, slower, numbers, targets=helped)
    best = _best(probe, [factor for factor in FACTORS if factor > 1])
    if not _is_better(probe, best):
        return None
    sentence = (
        f"{steps} steps at the learning rate {first * best:.1g} reach a validation loss of "
        f"{probe.reached[probe.at(best)]:.2g}; at {first:g} as many steps reach {own:.2g}, and the "
        f"whole run reached {probe.run:.2g}"
    )
    numbers, helped = {"last": last, **_numbers(probe, best)}, probe.improved(best, obs.targets)
    return Evidence(sentence, _at(first * best), numbers, targets=helped)


def _best(probe: Probe, factors: list[float]) -> float:
    return min(factors, key=lambda factor: probe.reached[probe.at(factor)])


def _is_better(probe: Probe, factor: float) -> bool:
    """Whether that rate is better than the whole run, and than as many steps at the run's rate."""
    reached = probe.reached[probe.at(factor)]
    return reached < BETTER * probe.run and reached < BETTER * probe.reached[probe.at(1.0)]


def _numbers(probe: Probe, factor: float) -> dict[str, float]:
    return {"reached": float(probe.reached[probe.at(factor)]), "run": probe.run, "factor": factor}


def _at(rate: float) -> dict[str, float]:
    return {"learning_rate": float(f"{rate:.3g}")}
