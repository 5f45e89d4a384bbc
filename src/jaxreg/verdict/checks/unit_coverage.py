"""Looks for a block or a group that the intervals of a run with folds do not hold."""

from jaxreg.conformal import unit_text
from jaxreg.target_numbers import number_text
from jaxreg.verdict.finding import Evidence
from jaxreg.verdict.observation import Observed

QUARTER = 0.25  # of the level: a unit that is covered less is named
ROWS = 20  # of a unit; fewer say too little


def unit_not_covered(obs: Observed) -> Evidence | None:
    """Intervals that follow from the other units hold less than a quarter of the level."""
    coverage = obs.coverage.get(obs.targets[0])
    worst = None if coverage is None else coverage.worst(ROWS)
    if coverage is None or worst is None or worst.coverage >= QUARTER * coverage.level:
        return None
    name = unit_text(coverage.word, worst.unit)
    half = number_text(coverage.half_width, float(obs.std[0]))
    sentence = (
        f"intervals of level {coverage.level:.3g} (half width {half}) that follow from the other "
        f"{coverage.word}s hold {worst.coverage:.0%} of the {worst.rows} rows of {name}, and "
        f"{coverage.mean:.0%} on average: errors there are larger than elsewhere"
    )
    remedy = f"look at the rows of {name} and their targets, and add {obs.noun}s like them"
    numbers = {"coverage": worst.coverage, "rows": worst.rows, "level": coverage.level}
    return Evidence(sentence, remedy, numbers)
