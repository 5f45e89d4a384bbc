"""Runs that were scored on the same rows, and how far each is from the best of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from jaxreg.comparison.bootstrap import interval, maes, r2s
from jaxreg.comparison.held_out_errors import HeldOut, Way, errors_by_unit
from jaxreg.target_types import words_of
from jaxreg.training.run_directory import RunDirectory


class Difference(NamedTuple):
    """How far a run is from the best of its group, with its 95% interval."""

    value: float  # of the MAE; of the mean R² for several targets
    low: float | None  # None where draws have no score
    high: float | None


@dataclass
class FinishedRun:
    """A finished run of a folder."""

    directory: RunDirectory
    config: dict[str, Any]
    summary: dict[str, Any]
    held_out: HeldOut
    interval: tuple[float, float] | None = None  # of its MAE, 95%; None for several targets
    difference: Difference | None = None

    @property
    def settings(self) -> dict[str, Any]:
        return self.config["settings"]

    @property
    def several(self) -> bool:
        return len(self.settings["target"]) > 1

    @property
    def score(self) -> float | None:
        """Its MAE; with several targets its mean R²."""
        return self.summary["metrics"]["r2" if self.several else "mae"]

    @property
    def version(self) -> str:
        """The digest of its dataset."""
        return self.config["dataset_sha256"]

    @property
    def kind(self) -> str:
        """What its features are of: images, vectors by their name, or several of these."""
        recipes = [self.config, *self.config.get("others", {}).values()]
        return str(sorted({one["recipe"].get("name", "") for one in recipes}))

    @property
    def drawn(self) -> str:
        """What the bootstrap drew."""
        return " or ".join(way.units.word for way in self.held_out.ways)


@dataclass
class Group:
    """Runs with the same dataset, targets and held-out rows."""

    number: int
    runs: list[FinishedRun] = field(default_factory=list)
    best: FinishedRun | None = None  # None where no run has a score
    why: str = ""  # why its runs are not comparable with those of the largest group; "" for that

    @property
    def text(self) -> str:
        """What its runs are scored on."""
        run = self.runs[0]
        targets = ", ".join(run.settings["target"])
        return f"{run.config['dataset']}, {targets}, {_held_out_text(run)}"


def group_runs(runs: Sequence[FinishedRun]) -> list[Group]:
    """The groups of comparable runs, in the order of `runs`; each run gets its intervals.

    Raises:
        InputError: a file of a run has changed since it was read.
    """
    groups = dict[tuple, Group]()
    for run, key in zip(runs, _keys(runs), strict=True):
        groups.setdefault(key, Group(len(groups) + 1)).runs.append(run)
    found = list(groups.values())
    first = max(found, key=lambda group: len(group.runs), default=None)
    for group in found:
        _compare(group)
        if first is not None and group is not first:
            group.why = f"not comparable with {first.number}: {_why(group.runs[0], first.runs[0])}"
    return found


def _keys(runs: Sequence[FinishedRun]) -> list[tuple]:
    """A key for each run that is equal for comparable runs.

    The digest of a dataset covers its images, or vectors that were given. Runs on the two have
    different digests of one table, so the name of the dataset and the ids of the rows decide;
    unless the dataset has changed between runs of one kind.
    """
    rows, versions = [], dict[tuple, dict[str, set[str]]]()
    for run in runs:
        targets = tuple(run.settings["target"])
        key = run.config["dataset"], targets, _periods(run), run.held_out.digest
        rows.append(key)
        kinds = versions.setdefault(key, {})
        kinds.setdefault(run.kind, set()).add(run.version)
    changed = {key for key, kinds in versions.items() if any(len(d) > 1 for d in kinds.values())}
    return [
        (*key, run.version if key in changed else "") for run, key in zip(runs, rows, strict=True)
    ]


def _periods(run: FinishedRun) -> tuple[float, ...]:
    """Around which circles its errors are."""
    return tuple(kind.period for kind in run.held_out.types)


def _why(run: FinishedRun, other: FinishedRun) -> str:
    """Why the scores of two runs cannot be compared."""
    if (own := run.config["dataset"]) != (its := other.config["dataset"]):
        return f"the dataset is {own}, not {its}"
    if (own := run.settings["target"]) != (its := other.settings["target"]):
        return f"the target is {', '.join(own)}, not {', '.join(its)}"
    same_rows = run.held_out.digest == other.held_out.digest
    if same_rows and _periods(run) != _periods(other):
        own, its = (" ".join(words_of(one.held_out.types)) for one in (run, other))
        return f"the target type is {own}, not {its}"
    if same_rows:
        return "the dataset has changed between the two: it has other images or numbers"
    own, its = _held_out_text(run), _held_out_text(other)
    apart = f": {own}, not {its}" if own != its else ""
    return f"other rows are held out{apart or ', by another seed or of another table'}"


def _held_out_text(run: FinishedRun) -> str:
    folds, split = run.settings.get("folds"), run.settings["split"]
    by = f"{folds} folds of {split}" if folds else f"split {split}"
    return f"{run.summary['rows']['validation']} rows by {by}"


def _compare(group: Group) -> None:
    """Choose the best run of a group, and give each run its intervals."""
    scored = [run for run in group.runs if run.score is not None and run.held_out.ways]
    if not scored:
        return
    sign = -1 if scored[0].several else 1
    best = group.best = min(scored, key=lambda run: sign * (run.score or 0.0))
    counts = Counter(way.key for run in scored for way in run.held_out.ways)
    for key in counts:
        own = [(run, way) for run in scored for way in run.held_out.ways if way.key == key]
        _draw([run for run, _ in own], [way for _, way in own], best)


def _draw(runs: list[FinishedRun], ways: list[Way], best: FinishedRun) -> None:
    """The intervals of runs that are drawn in one way, or those they have made wider by it."""
    _, units, truth, _ = ways[0]
    if best in runs:
        of_best = ways[runs.index(best)].errors
    else:
        of_best = errors_by_unit(best.directory, best.settings, best.summary, units)
    errors = np.stack([*(way.errors for way in ways), of_best], axis=1)
    several = runs[0].several
    drawn = r2s(errors, truth) if several else maes(errors[:, :, 0], truth)
    scores = interval(drawn[:, :-1], units.size)
    apart = interval(drawn[:, :-1] - drawn[:, -1:], units.size)
    for run, low, high, under, over in zip(runs, *scores, *apart, strict=True):
        if not several:
            run.interval = _wider(run.interval, (low, high))
        was = run.difference and (run.difference.low, run.difference.high)
        ends = _wider(was, (under, over)) or (None, None)
        run.difference = Difference((run.score or 0.0) - (best.score or 0.0), *ends)


def _wider(one: tuple | None, other: tuple[float, float]) -> tuple[float, float] | None:
    """The interval that holds both; None where neither is an interval."""
    both = [pair for pair in (one, other) if pair and None not in pair and np.isfinite(pair).all()]
    if not both:
        return None
    return min(float(low) for low, _ in both), max(float(high) for _, high in both)
