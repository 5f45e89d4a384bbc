"""Stage two of a choice: heads on the best columns, by successive halving."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from jaxreg.cache.lazy_features import read_rows
from jaxreg.errors import InputError
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.members import Member, RidgeBaseline, fit_ridge
from jaxreg.head.apply import predict_rows
from jaxreg.metrics import Loss
from jaxreg.search.column_sets import Columns, ColumnSets
from jaxreg.search.trial import Trial, best_first
from jaxreg.search.trial_scores import Score, score_of
from jaxreg.search.trials_file import TrialsFile
from jaxreg.search.watch import Watch
from jaxreg.splits import Split
from jaxreg.training.lanes import Lanes
from jaxreg.training.loop import solved_state

FINALISTS = 4  # trials that train to the end

Architecture = tuple[tuple[str, object], ...]


def rungs_of(epochs: int, trials: int) -> list[int]:
    """After how many epochs trials are compared, the last being `epochs`.

    At each but the last the better half goes on, until FINALISTS are left. The first is after
    epochs / 2^(halvings + 1), each other one after twice as many epochs as the one before.
    """
    halvings = 0
    while trials > FINALISTS:
        trials, halvings = -(-trials // 2), halvings + 1
    found = [max(1, round(epochs / 2 ** (halvings + 1 - number))) for number in range(halvings)]
    return [rung for rung in dict.fromkeys(found) if rung < epochs] + [epochs]


class HeadStage:
    """The trials of one choice."""

    def __init__(
        self,
        sets: ColumnSets,
        folds: tuple[Split, ...],
        loss: Loss,
        capacities: tuple[int, int],
        file: TrialsFile,
        watch: Watch,
    ) -> None:
        """The stage before its first trial.

        Args:
            sets: the features, and the settings that stay fixed.
            folds: the inner folds; a trial is scored on their test rows together.
            loss: of these scores.
            capacities: of training and validation rows: equal ones find the same program.
            file: gets a line for each trial that ends; one that is there is not trained again.
            watch: progress, and whether to go on.
        """
        self.trials: list[Trial] = []
        self._sets, self._folds, self._capacities = sets, folds, capacities
        self._loss = loss
        self._file, self._watch = file, watch
        self._baselines: dict[tuple[Columns, int], RidgeBaseline | None] = {}

    @cached_property
    def _tested(self) -> list[np.ndarray]:
        return [np.flatnonzero(fold.labels == "test") for fold in self._folds]

    @cached_property
    def rows(self) -> np.ndarray:
        """The rows that are scored, fold by fold."""
        return np.concatenate(self._tested)

    def run(self, trials: Sequence[Trial]) -> None:
        """Train these trials, halving them at each rung; those of the file are as they were.

        Raises:
            InputError: the file has another trial in the place of one.
        """
        self.trials += trials
        for one in trials:
            if (row := self._file.rows.get(one.number)) is not None:
                try:
                    one.take(row)
                except ValueError as error:
                    raise InputError(
                        f"{self._file.path} is of another search: {error}",
                        remedy="use another --run",
                    ) from error
        self._solve([one for one in trials if one.head == "ridge"])
        self._halve([one for one in trials if one.head != "ridge"])
        if self._watch.late():  # what has a score is kept, whatever its epochs
            some = [one for one in trials if one.row is None and (one.score or one.failed)]
            self._file.append(one.ended("failed" if one.failed else "stopped") for one in some)
            self._count(some)

    def predictions_of(self, trial: Trial) -> np.ndarray | None:
        """The predictions for `rows` of a trial that was trained to the end.

        A trial of the file is trained again for them; None if the watch stops that.
        """
        if trial.predictions is None:
            again = replace(trial, row=None)
            if trial.head == "ridge":
                self._solve_one(again)
            else:
                self._train_group([again], None, self._sets.base.config.epochs)
            if self._watch.goes_on():
                trial.predictions = again.predictions
        return trial.predictions

    def _solve(self, trials: Sequence[Trial]) -> None:
        """Trials without epochs."""
        for one in trials:
            if one.row is None and self._watch.goes_on():
                self._solve_one(one)
                self._file.append([one.ended("failed" if one.failed else "done")])
            self._count([one])

    def _solve_one(self, one: Trial) -> None:
        begin = time.perf_counter()
        try:
            members = self._members(one)
            each = [
                predicted(member, rows) for member, rows in zip(members, self._tested, strict=True)
            ]
            self._score(one, np.concatenate(each))
        except InputError as error:
            self._refuse([one], error)
        one.seconds += time.perf_counter() - begin

    def _halve(self, trials: Sequence[Trial]) -> None:
        """Rung by rung; a trial of the file ends where it ended."""
        alive, epochs = list(trials), self._sets.base.config.epochs
        rungs = rungs_of(epochs, len(alive)) if alive else []
        lanes: dict[Architecture, tuple[Lanes, list[Trial]] | None] = {}
        for number, rung in enumerate(rungs):
            last = number == len(rungs) - 1
            keep = min(len(alive), max(FINALISTS, -(-len(alive) // 2)))
            for group in _groups(alive):
                key = group[0].architecture
                lanes[key] = self._train_group(
                    [one for one in group if one.row is None], lanes.get(key), rung
                )
                if last and self._watch.goes_on():
                    self._end(group)
            if not self._watch.goes_on():
                return
            if not last:
                alive = self._best(alive, keep, number, rungs)

    def _best(
        self, alive: Sequence[Trial], keep: int, number: int, rungs: Sequence[int]
    ) -> list[Trial]:
        """Those that go on after a rung; the file gets the others."""
        beyond = [one for one in alive if one.row is not None and _rung_of(one, rungs) > number]
        open_ones = best_first(one for one in alive if one.row is None and not one.failed)
        on = open_ones[: max(0, keep - len(beyond))]
        out = [one for one in alive if one not in beyond and one not in on]
        for one in out:
            if one.row is None and not one.failed:
                one.epochs = rungs[number]  # so its line says at which rung it was
        self._file.append(
            one.ended("failed" if one.failed else "stopped") for one in out if one.row is None
        )
        self._count(out)
        return [one for one in alive if one not in out]

    def _end(self, group: Sequence[Trial]) -> None:
        """These trials have trained to the end."""
        self._file.append(
            one.ended("failed" if one.failed else "done") for one in group if one.row is None
        )
        self._count(group)

    def _count(self, trials: Sequence[Trial]) -> None:
        errors = [error for one in trials if (error := one.error) is not None]
        self._watch.count(len(trials), min(errors, default=None))

    def _train_group(
        self, trials: list[Trial], there: tuple[Lanes, list[Trial]] | None, rung: int
    ) -> tuple[Lanes, list[Trial]] | None:
        """Train trials of one architecture up to a rung, and score them.

        `there` are their lanes, and those of trials that have been stopped since.
        """
        trials = [one for one in trials if not one.failed]
        begin = time.perf_counter()
        if not trials or not self._watch.goes_on():
            return there
        count = len(self._folds)
        if there is None:
            try:
                members = [member for one in trials for member in self._members(one)]
                lanes = Lanes(members, self._capacities)
            except InputError as error:
                self._refuse(trials, error)
                return None
        else:
            lanes, before = there
            places = [before.index(one) for one in trials]
            if len(places) < len(before):
                lanes.keep([place * count + fold for place in places for fold in range(count)])
        lanes.run(rung, should_stop=self._watch.ended)
        predictions = lanes.predict([rows for _ in trials for rows in self._tested])
        for place, one in enumerate(trials):
            own = slice(place * count, (place + 1) * count)
            finite = all(bool(state.finite) for state in lanes.states[own])
            both = np.concatenate(predictions[own])
            self._score(one, both if finite else np.full_like(both, np.nan))
            one.epochs = max(int(state.epoch) for state in lanes.states[own])
            one.seconds += (time.perf_counter() - begin) / len(trials)
        return lanes, trials

    def score(self, predictions: np.ndarray) -> Score | None:
        """The score of predictions (rows, targets) for `rows`."""
        return score_of(self._sets.base.y, self.rows, predictions, self._loss)

    def _score(self, one: Trial, predictions: np.ndarray) -> None:
        one.predictions = predictions
        one.score = self.score(predictions)
        one.failed = one.score is None

    def _refuse(self, trials: Sequence[Trial], error: InputError) -> None:
        """These trials cannot be trained."""
        for one in trials:
            one.failed = True
        if trials[0].start.fold is None:
            numbers = ", ".join(str(one.number) for one in trials)
            noun = "trial" if len(trials) == 1 else "trials"
            self._watch.say(f"note: {noun} {numbers} failed: {error.found}")

    def _members(self, one: Trial) -> list[Member]:
        """The training of each inner fold."""
        each = self._sets.of_trial(one.columns, one.settings, self._folds)
        seed = each[0].config.seed
        found = []
        for fold, own in enumerate(each):
            baseline = self._baseline(one, fold, own)
            if baseline is not None and own.config.components is not None:
                baseline.solved.eigen.check(own.config.components)
            its = replace(own, config=replace(own.config, seed=seed, seeds=1))
            found.append(Member(fold, seed, its, baseline))
        return found

    def _baseline(self, one: Trial, fold: int, own: Experiment) -> RidgeBaseline | None:
        """The ridge of a fold, which all trials on the same columns share."""
        config = own.config
        if config.head == "mlp" and config.components is None:
            return None  # it needs none
        key = one.columns, fold
        if key not in self._baselines:  # with all that any head takes from it
            head = "blend" if config.scale_target else "ridge"
            some = replace(own, config=replace(config, head=head, components=1))
            self._baselines[key] = fit_ridge(some, in_fold=True)
        return self._baselines[key]


def predicted(member: Member, rows: np.ndarray) -> np.ndarray:
    """The predictions (rows, targets) of a ridge for these rows."""
    state = solved_state(member)
    x = read_rows(member.experiment.x, rows)
    return predict_rows(state.best_params, state.scalers, member.config, x)


def _groups(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Trials of one architecture together, in the order of the first of each."""
    found: dict[Architecture, list[Trial]] = {}
    for one in trials:
        found.setdefault(one.architecture, []).append(one)
    return list(found.values())


def _rung_of(one: Trial, rungs: Sequence[int]) -> int:
    """The rung at which a trial of the file ended."""
    row = one.row
    assert row is not None
    if row.status == "done":
        return len(rungs) - 1
    return next((n for n, rung in enumerate(rungs) if rung >= row.epochs), len(rungs) - 1)
