"""One choice: which columns and settings a head should have, by the rows that it may see."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from jaxreg.errors import InputError
from jaxreg.search.column_sets import Columns, ColumnSets
from jaxreg.search.head_stage import FINALISTS, HeadStage
from jaxreg.search.ridge_stage import rank_columns, ridge_places
from jaxreg.search.space import Space
from jaxreg.search.trial import Trial, best_first
from jaxreg.search.trial_draws import draws
from jaxreg.search.trial_scores import loss_within
from jaxreg.search.trials_file import TrialRow, TrialsFile
from jaxreg.search.watch import Watch
from jaxreg.splits import Split
from jaxreg.target_types import mean_over

SETS = 2  # of columns, the best of stage one, on which heads are tried
BRACKET = 8  # trials that are halved together where time decides how many there are
MOST_TRIALS = 1000  # of a choice


@dataclass(frozen=True)
class Chosen:
    """What a choice has found: one head, or several whose mean is better."""

    columns: Columns  # none: those that stay fixed
    finalists: tuple[Mapping[str, Any], ...]  # the settings of each, without columns
    error: float | None  # on the inner folds; None where nothing was tried to the end


@dataclass(frozen=True)
class Plan:
    """What is the same for all choices of a sweep."""

    sets: ColumnSets
    space: Space
    candidates: tuple[Columns, ...]  # of stage one
    trials: int | None  # of stage two; None: as many as there is time for
    seed: int
    capacities: tuple[int, int]

    @property
    def pairs(self) -> bool:
        """Whether stage one tries pairs of columns."""
        return self.space.all_columns

    @property
    def places(self) -> int:
        """Numbers that each choice has for its trials, whether it uses them or not."""
        return self.ridges + (self.trials or MOST_TRIALS) + 1

    @property
    def ridges(self) -> int:
        """Those of stage one."""
        return ridge_places(len(self.candidates), pairs=self.pairs)


@dataclass(frozen=True)
class Choice:
    """One choice of a sweep."""

    plan: Plan
    number: int  # 0: the final one on all rows; then one for each outer fold
    rows: np.ndarray  # the numbers of the rows that it may see
    folds: tuple[Split, ...]  # within these rows

    def make(self, file: TrialsFile, watch: Watch) -> Chosen:
        """Choose; stopped by the watch, the best so far.

        Raises:
            InputError: no trial could be scored; the file is of another search.
        """
        plan = self.plan
        ranked = rank_columns(
            plan.sets,
            list(plan.candidates),
            self.rows,
            file,
            lambda place: self._row(place, "ridge"),
            pairs=plan.pairs,
            watch=watch,
        )
        watch.begin_stage()
        loss = loss_within(plan.sets.base, self.rows)
        stage = HeadStage(plan.sets, self.folds, loss, plan.capacities, file, watch)
        trials = self._trials([columns for columns, _ in ranked[:SETS]])
        if plan.trials is not None:
            stage.run(list(islice(trials, plan.trials)))
        else:
            self._brackets(stage, trials, file, watch)
        return self._chosen(stage, ranked, file, watch)

    def _row(self, place: int, stage: str) -> TrialRow:
        """The beginning of the line of a trial."""
        number = self.number * self.plan.places + place + 1
        return TrialRow(number, stage, self.number - 1 if self.number else None, "done")

    def _trials(self, best: Sequence[Columns]) -> Iterator[Trial]:
        """The trials of stage two, in the order of the draws; columns are the best of stage one."""
        plan, space = self.plan, self.plan.space
        fixed_head = plan.sets.asked.get("head", "mlp")
        of_stage_one = space.all_columns and best
        if space.all_columns:
            space = (
                space.with_choices("columns", range(len(best)))
                if best
                else space.without("columns")
            )
        for place, drawn in enumerate(draws(space, plan.seed, fixed_head)):
            settings = dict(drawn)
            named = settings.pop("columns", ())
            columns = best[named] if of_stage_one else named
            start = self._row(plan.ridges + place, "heads")
            yield Trial(start, columns, settings, settings.get("head", fixed_head))

    def _brackets(
        self, stage: HeadStage, trials: Iterator[Trial], file: TrialsFile, watch: Watch
    ) -> None:
        """As many brackets as there is time for, by the time of the longest so far.

        One of which the file has a trial needs no time.
        """
        longest = 0.0
        for _ in range(MOST_TRIALS // BRACKET):
            begin = watch.now()
            bracket = list(islice(trials, BRACKET))
            known = any(one.number in file.rows for one in bracket)
            late = not watch.goes_on() or watch.left() < longest
            if not bracket or (stage.trials and late and not known):
                return
            stage.run(bracket)
            longest = max(longest, watch.now() - begin)

    def _chosen(
        self,
        stage: HeadStage,
        ranked: Sequence[tuple[Columns, float]],
        file: TrialsFile,
        watch: Watch,
    ) -> Chosen:
        trained = [one for one in stage.trials if one.row is not None and one.row.status == "done"]
        best = best_first(trained) or best_first(stage.trials)
        if not best and ranked:
            columns, error = ranked[0]
            return Chosen(columns, ({"head": "ridge"},), error)
        if not best:
            untried = [one for one in stage.trials if not one.failed]
            if watch.should_stop() or not untried:
                raise self._nothing(stage, stopped=watch.should_stop())
            first = untried[0]
            return Chosen(first.columns, (first.settings,), None)
        first = best[0]
        alike = [one for one in best if one.architecture == first.architecture][:FINALISTS]
        chosen = Chosen(first.columns, (first.settings,), first.error)
        if len(alike) < 2 or first.row is None or first.head == "ridge" or watch.should_stop():
            return chosen
        mean = self._mean(stage, alike, file)
        if mean is None or first.error is None or mean >= first.error:
            return chosen
        return Chosen(first.columns, tuple(one.settings for one in alike), mean)

    def _mean(self, stage: HeadStage, alike: Sequence[Trial], file: TrialsFile) -> float | None:
        """The error of the mean of finalists; None where it is not finite, or a stop came first."""
        plan = self.plan
        row = self._row(plan.places - 1, "mean")
        if (there := file.rows.get(row.trial)) is None:
            each = [stage.predictions_of(one) for one in alike]
            known = [one for one in each if one is not None]
            if len(known) < len(each):
                return None
            score = stage.score(mean_over(plan.sets.base.types, known))
            there = row.scored(score, epochs=max(one.row.epochs for one in alike if one.row))
            file.append([there])
        return there.error

    def _nothing(self, stage: HeadStage, *, stopped: bool) -> InputError:
        where = "all rows" if not self.number else f"the rows outside fold {self.number - 1}"
        failed = sum(one.failed for one in stage.trials)
        if stopped or not failed:
            return InputError(f"no trial on {where} had ended, so there is no head yet")
        return InputError(
            f"all {failed} trials on {where} failed: no loss stayed finite, or no head could have "
            "its settings",
            expected="a space with a head that trains",
            remedy="use smaller learning rates, or find what is wrong with the data, then: "
            f"jaxreg diagnose {self.plan.sets.base.dataset.name}",
        )
