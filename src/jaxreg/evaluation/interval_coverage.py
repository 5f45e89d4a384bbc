"""How many of the new targets lie inside the intervals of the run."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxreg.conformal import level_text
from jaxreg.evaluation.labelled_rows import LabelledRows
from jaxreg.target_types import difference

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


def coverage_here(run: "TrainedRun", rows: LabelledRows) -> dict[str, Any] | None:
    """The measured coverage of the intervals of a run, at the level of its summary.

    Returns:
        level, method, half_width by target; coverage, worst_unit and units of the target whose
        coverage is lowest; by_target with these of each. Units (blocks, groups; else rows) have
        equal weight. None for a run without intervals.
    """
    own = run.summary.get("intervals")
    if own is None:
        return None
    by_target: dict[str, dict[str, Any]] = {}
    apart = np.abs(difference(run.types, rows.predictions, rows.y))
    for number, name in enumerate(run.targets):
        known = np.flatnonzero(~np.isnan(apart[:, number]))
        if not len(known):
            continue
        inside = (apart[known, number] <= own["half_width"][name]).astype(np.float64)
        units = np.arange(len(known)) if rows.units is None else rows.units[known]
        found, place = np.unique(units, return_inverse=True)
        shares, counts = np.bincount(place, inside) / np.bincount(place), np.bincount(place)
        worst = None
        if rows.unit_names is not None:
            at = int(shares.argmin())
            shown = rows.unit_names[known[np.flatnonzero(place == at)[0]]]
            worst = {
                "target": name,
                "unit": shown,
                "rows": int(counts[at]),
                "coverage": float(shares[at]),
            }
        by_target[name] = {
            "coverage": float(shares.mean()),
            "worst_unit": worst,
            "units": len(found),
            "rows": len(known),
        }
    lowest = min(by_target, key=lambda name: by_target[name]["coverage"])
    first = by_target[lowest]
    shared = {name: own[name] for name in ("level", "method", "half_width")}
    whole = {name: first[name] for name in ("coverage", "worst_unit", "units")}
    return {**shared, **whole, "by_target": by_target}


def coverage_lines(intervals: dict[str, Any]) -> list[str]:
    """A line for each target."""
    lines, level = [], level_text(intervals["level"])
    for name, one in intervals["by_target"].items():
        text = f"intervals of level {level}: {one['coverage']:.1%} of the targets are inside"
        if len(intervals["by_target"]) > 1:
            text = f"{name}, {text}"
        if (worst := one["worst_unit"]) is not None and one["units"] > 1:
            text += (
                f" (each of {one['units']} units counts the same); least in {worst['unit']}: "
                f"{worst['coverage']:.1%} of {worst['rows']} rows"
            )
        lines.append(text)
    return lines
