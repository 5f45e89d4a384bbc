"""The slices of a run in words and tables: for its page and for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxreg.report.run_slices import RunSlice, RunSlices
from jaxreg.report.slope import NEAR

SHOWN = 12  # slices of each target; those that intervals do not hold follow


class SliceLine(NamedTuple):
    """One line of a table."""

    name: str
    slice: RunSlice
    share: float  # percent: its MAE over the largest of the table
    worst: bool  # beyond chance


class SliceTable(NamedTuple):
    """The slices of one target."""

    caption: str
    lines: list[SliceLine]
    weighted: bool  # whether rows have weights
    covered: bool  # whether the run has intervals

    @property
    def marked(self) -> bool:
        """Whether a slice is the worst beyond chance."""
        return any(line.worst for line in self.lines)


def slice_tables(found: RunSlices, targets: Sequence[str]) -> list[SliceTable]:
    """For each target with slices a table of those with the largest errors."""
    tables = []
    for target in targets:
        own = [one for one in found.slices if one.target == target]
        shown = own[:SHOWN] + [one for one in own[SHOWN:] if one.below_level]
        shown += [one for one in found.worst if one.target == target and one not in shown]
        if not shown:
            continue
        largest = max(one.mae for one in shown) or 1.0
        lines = [
            SliceLine(
                slice_name(one.target, one.by, one.value),
                one,
                100 * one.mae / largest,
                one in found.worst,
            )
            for one in shown
        ]
        start = f"{target}, " if len(targets) > 1 else ""
        of = f"the {len(shown)} of {len(own)} slices" if len(own) > len(shown) else "the slices"
        caption = f"{start}{of} with the largest MAE"
        weighted = any(one.weighted_mae is not None for one in shown)
        covered = any(one.coverage is not None for one in shown)
        tables.append(SliceTable(caption, lines, weighted, covered))
    return tables


def worst_lines(worst: Sequence[Mapping[str, Any]], targets: int) -> list[str]:
    """A line for each worst slice.

    Args:
        worst: `worst_slices` of summary.json.
        targets: how many the run has.
    """
    lines = []
    for one in worst:
        of = f"{one['target']}, " if targets > 1 and one["by"] != "target" else ""
        name = slice_name(one["target"], one["by"], one["value"])
        rest = "" if one["rest_mae"] is None else f", {one['rest_mae']:.3g} on the other rows"
        lines.append(f"worst slice: {of}{name} ({one['rows']:,} rows): MAE {one['mae']:.3g}{rest}")
    return lines


def slice_name(target: str, by: str, value: str) -> str:
    """What the rows of a slice have in common."""
    if by == "block":  # block 4, or the recording and its block
        return value
    return f"{target if by == 'target' else by} {value}"


def slope_lines(
    slopes: Mapping[str, Mapping[str, Any] | None], by_target: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """What the slope of each target that has one means.

    Args:
        slopes: `slope` of summary.json.
        by_target: the same of summary.json.
    """
    lines = near_mean_lines(slopes, by_target)
    for name, own in slopes.items():
        if own is not None and name not in lines:
            lines[name] = (
                f"the slope of the predictions over the true values is {_slope_text(own)}. At 1 "
                "they move as much as the true values do, at 0 all are alike"
            )
    return lines


def near_mean_lines(
    slopes: Mapping[str, Mapping[str, Any] | None], by_target: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """A sentence on each target that is learned, but whose predictions lie near their mean."""
    lines = {}
    for name, own in slopes.items():
        r2 = by_target[name]["r2"]
        if own is not None and r2 is not None and r2 > 0 and own["slope"] < NEAR:
            lines[name] = (
                "predictions stay near their mean: where true values differ by 1, predictions "
                f"differ by {_slope_text(own)}. So the largest are predicted too low and the "
                f"smallest too high, although R² is {r2:.2f}"
            )
    return lines


def _slope_text(own: Mapping[str, Any]) -> str:
    """The slope and its interval."""
    if own["low"] is None:
        return f"{own['slope']:.2f}"
    return f"{own['slope']:.2f} (95%: {own['low']:.2f} to {own['high']:.2f})"
