"""One sweep: the final choice and its run first, then a choice without each outer fold."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jaxreg.common.files import make_folder
from jaxreg.common.steps import step
from jaxreg.errors import InputError, Stopped
from jaxreg.experiment.finalists import checked_finalists
from jaxreg.experiment.resolve import ResolvedRun
from jaxreg.runner import execute, rewrite
from jaxreg.search.choice import Choice, Chosen, Plan
from jaxreg.search.column_sets import ColumnSets
from jaxreg.search.outer_folds import predict_fold, shared_of
from jaxreg.search.space import Space, text_of
from jaxreg.search.sweep_plan import planned
from jaxreg.search.sweep_record import (
    Request,
    chosen_from_json,
    chosen_to_json,
    first_content,
    refuse_other_sweep,
)
from jaxreg.search.trial_draws import numeric_of
from jaxreg.search.trials_file import TrialsFile, alone
from jaxreg.search.watch import Say, Watch
from jaxreg.training.replace_run import replace_run
from jaxreg.training.resume import record_of, refuse_differences
from jaxreg.training.run_directory import RunDirectory
from jaxreg.training.sweep_files import TRIALS, SweepRecord, read_sweep

RESERVE = 0.15  # of the time of a sweep, for the training and the report of its run


class Sweep:
    """A sweep of a dataset."""

    def __init__(self, request: Request, space: Space, sets: ColumnSets) -> None:
        """The sweep of a `prepared` request."""
        self.request, self.space, self.sets = request, space, sets

    def run(
        self,
        directory: RunDirectory,
        *,
        resume: bool,
        overwrite: bool,
        say: Say,
        should_stop: Callable[[], bool],
        begin: float,
    ) -> None:
        """Search, train, score, and write all files of the run.

        Args:
            directory: of the run.
            resume: go on with the sweep that is there.
            overwrite: replace a run that is there.
            say: gets each line meant for people.
            should_stop: asked about twice a second.
            begin: when the user's wait began, by `time.perf_counter`.

        Raises:
            InputError: the sweep cannot be done, or not be resumed so.
            Stopped: `should_stop` said so; a head that was chosen is saved.
        """
        self.directory, self.say, self.should_stop, self.begin = directory, say, should_stop, begin
        base = self.sets.base
        wanted = first_content(self.request, self.space, base)
        there = read_sweep(directory.path) if resume else None
        if there is not None:
            refuse_other_sweep(there, wanted, directory.path)
            if there["finished"]:
                say(f"{directory.path} is finished")
                return
        plan, choices, outer = planned(self.request, self.space, self.sets)
        self._content: dict[str, Any] = dict(there or wanted)
        self._spent = float((there or {}).get("seconds", {}).get("total", 0.0))
        if there is None:
            self._claim(overwrite=overwrite)
        with alone(directory.path):
            self._search(plan, choices, outer)

    def _search(self, plan: Plan, choices: Sequence[Choice], outer: tuple[int, int]) -> None:
        """Choose, train and score; `outer` are the capacities of the outer folds."""
        directory, say, base = self.directory, self.say, self.sets.base
        file = TrialsFile(directory.path / TRIALS, self.space.names)
        minutes = self.request.minutes
        total = len(choices) * (plan.places - 1) if minutes is None else int(60 * minutes)
        with step("sweep", total, "trials" if minutes is None else "seconds") as counting:
            watch = Watch(say, self.should_stop, counting, minutes)
            watch.began -= self._spent
            chosen = self._choose(choices[0], file, watch)
            resolved = self._resolved(chosen)
            self._train(resolved, file)
            held_out = np.full(base.y.shape, np.nan)
            for choice in choices[1:]:
                its = self._choose(choice, file, watch)
                self._predict(choice.number - 1, plan, its, outer, held_out, watch)
                self._record(file)
        record = self._sweep_record(file)
        rewrite(directory, resolved, held_out, record, say=say, begin=self.begin)

    def _predict(
        self,
        fold: int,
        plan: Plan,
        chosen: Chosen,
        capacities: tuple[int, int],
        held_out: np.ndarray,
        watch: Watch,
    ) -> None:
        """Put the predictions for an outer fold in their place."""
        begin, folds = time.perf_counter(), self.sets.base.folds
        watch.begin_choice(None, None)
        try:
            found = predict_fold(plan, chosen, fold, capacities, watch)
        except Stopped:
            raise self._stopped(f"in fold {fold} of {len(folds)}") from None
        held_out[folds[fold].labels == "test"] = found
        self._add_seconds("outer", time.perf_counter() - begin)

    def _claim(self, *, overwrite: bool) -> None:
        """Make the folder of the sweep, with only its sweep.json."""
        self.directory.check_free(overwrite=overwrite)
        path = self.directory.path
        record = SweepRecord(self._content, self._command())
        if path.exists() and any(path.iterdir()):
            with alone(path):
                replace_run(path, record.write)
        else:
            make_folder(path)
            record.write(path)

    def _choose(self, choice: Choice, file: TrialsFile, watch: Watch) -> Chosen:
        """Make a choice, or take it from sweep.json where time decided it; write it down."""
        known = self._known(choice.number)
        if known is not None:
            return known
        where = _where(choice.number)
        total = None if self.request.minutes else choice.plan.places - 1
        with step(f"choosing {where}", total, "trials") as counting:
            watch.begin_choice(self._until(choice.number, watch), counting)
            try:
                chosen = choice.make(file, watch)
            except InputError as error:
                if self.should_stop():
                    raise self._stopped("before a trial had ended") from error
                raise
        if self.should_stop() and choice.number:
            raise self._stopped(f"in fold {choice.number - 1} of {len(self.sets.base.folds)}")
        said = chosen_to_json(chosen)
        if choice.number:
            before = self._content["chosen_by_fold"][: choice.number - 1]
            self._content["chosen_by_fold"] = [*before, said]
        else:
            self._content |= {"chosen": said, "best_inner_mae": chosen.error}
        if not self.should_stop():
            self._content["choices"] = choice.number + 1
        self._record(file)
        self.say(f"chosen {where}: {_text(chosen, len(self.sets.base.targets))}")
        return chosen

    def _known(self, number: int) -> Chosen | None:
        """A choice that is complete, of a sweep with --minutes: another one may find another."""
        if self.request.minutes is None or number >= self._content["choices"]:
            return None
        if not number:
            return chosen_from_json(self._content["chosen"], self._content["best_inner_mae"])
        return chosen_from_json(self._content["chosen_by_fold"][number - 1], None)

    def _until(self, number: int, watch: Watch) -> float | None:
        """When the time of a choice is over: an equal share of what is left for all choices."""
        if self.request.minutes is None:
            return None
        seconds, folds = 60 * self.request.minutes, len(self.sets.base.folds)
        final = self._content["seconds"].get("final")
        reserve = RESERVE * seconds
        if final is not None:  # a fold trains less than all folds do, and the page comes once more
            reserve = final * (0.5 + (folds + 1 - number) / folds)
        left = watch.began + seconds - reserve - watch.now()
        return watch.now() + max(0.0, left) / (folds + 1 - number)

    def _resolved(self, chosen: Chosen) -> ResolvedRun:
        """The run of the head that was chosen."""
        settings = shared_of(chosen)
        if settings.get("head", self.sets.asked.get("head")) == "ridge":
            settings["seeds"] = 1
        resolved = self.sets.resolved(chosen.columns, settings)
        if len(chosen.finalists) == 1:
            return resolved
        numeric = [numeric_of(one) for one in chosen.finalists]
        return replace(resolved, finalists=checked_finalists(resolved.config, numeric))

    def _train(self, resolved: ResolvedRun, file: TrialsFile) -> None:
        """Train and save the head, unless it is there; a request to stop waits for its end.

        Raises:
            Stopped: somebody has asked to stop.
        """
        begin, resume = time.perf_counter(), False
        if self.directory.exists:
            record = record_of(resolved, self.directory.path)
            try:
                refuse_differences(self.directory.read_config(), record, "")
                resume = True
            except InputError:
                pass  # another head, which an interrupted sweep had chosen
        if not (resume and self.directory.read_summary() is not None):
            execute(
                self.directory,
                resolved,
                resume=resume,
                overwrite=False,
                say=self.say,
                on_epoch=lambda _: None,
                should_stop=lambda: False,
                begin=self.begin,
                sweep=self._sweep_record(file),
            )
            self._add_seconds("final", time.perf_counter() - begin)
            self._record(file)
        if self.should_stop():
            raise self._stopped("after the head was saved")

    def _stopped(self, where: str) -> Stopped:
        path = self.directory.path
        trials = f"; the trials are in {path / TRIALS}" if (path / TRIALS).exists() else ""
        return Stopped(
            f"stopped {where}{trials}"
            + (f", and the run is {path}" if self.directory.exists else ""),
            remedy=SweepRecord(self._content, "").resume_command(path),
        )

    def _add_seconds(self, part: str, seconds: float) -> None:
        spent = self._content["seconds"]
        self._content["seconds"] = {**spent, part: round(spent.get(part, 0.0) + seconds, 3)}

    def _sweep_record(self, file: TrialsFile) -> SweepRecord:
        """The content of sweep.json with the seconds until now."""
        parts = {"ridge": 0.0, "heads": 0.0}
        for row in file.rows.values():
            parts["ridge" if row.stage == "ridge" else "heads"] += row.seconds
        seconds = {name: round(value, 3) for name, value in parts.items()}
        for name in ("final", "outer"):
            seconds[name] = self._content["seconds"].get(name, 0.0)
        total = round(self._spent + time.perf_counter() - self.begin, 3)
        self._content["seconds"] = {**seconds, "total": total}
        return SweepRecord(dict(self._content), self._command())

    def _record(self, file: TrialsFile) -> None:
        self._sweep_record(file).write(self.directory.path)

    def _command(self) -> str:
        base = self.sets.base
        return self.request.command(base.dataset.name, base.cache.root, self.directory.path)


def _where(number: int) -> str:
    return f"without fold {number - 1}" if number else "on all rows"


def _text(chosen: Chosen, targets: int) -> str:
    """What was chosen, for people."""
    parts = [f"{name} {text_of(value)}" for name, value in shared_of(chosen).items()]
    parts += [f"columns {text_of(chosen.columns)}"] if chosen.columns else []
    if len(chosen.finalists) > 1:
        parts.append(f"the mean of {len(chosen.finalists)} heads")
    name = "MAE" if targets == 1 else "loss"
    error = "" if chosen.error is None else f" ({name} {chosen.error:.3g} on inner folds)"
    return (", ".join(parts) or "the settings given") + error
