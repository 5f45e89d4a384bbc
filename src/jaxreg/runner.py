"""One run, from its resolved settings to its report."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from jaxreg.common.device import device_warning, prepare_jax
from jaxreg.common.steps import counted, step
from jaxreg.errors import InputError, Stopped
from jaxreg.experiment.arrays import Experiment, load_experiment
from jaxreg.experiment.finalists import number_of_members
from jaxreg.experiment.resolve import ResolvedRun
from jaxreg.train_config import TrainConfig
from jaxreg.training.replace_run import delete_head
from jaxreg.training.resume import record_of, refuse_differences
from jaxreg.training.run_directory import Row, RunDirectory
from jaxreg.training.sweep_files import SweepRecord

if TYPE_CHECKING:
    from jaxreg.experiment.members import Member

Say = Callable[[str], None]


def execute(
    directory: RunDirectory,
    resolved: ResolvedRun,
    *,
    resume: bool,
    overwrite: bool,
    say: Say,
    on_epoch: Callable[[Row], None],
    should_stop: Callable[[], bool],
    begin: float,
    sweep: SweepRecord | None = None,
) -> None:
    """Train, and write all files of the run (docs/runs.md).

    Args:
        directory: of the run. That of a sweep holds its trials; what is there of another head of
            the sweep is replaced.
        resolved: the run.
        resume: go on from the last checkpoint.
        overwrite: replace a run that is there.
        say: gets each line meant for people.
        on_epoch: gets each line of history.csv.
        should_stop: asked about twice a second.
        begin: when the user's wait began, by `time.perf_counter`.
        sweep: what chose the head, for the report.

    Raises:
        InputError: the run cannot be done; a new run's directory is then not left.
        Stopped: `should_stop` said so.
    """
    config, started = resolved.config, time.perf_counter()
    try:
        device, experiment = _load(resolved, say)
        from jaxreg.experiment.members import ridge_text
        from jaxreg.report.results import write_results
        from jaxreg.report.run_predictions import predict_all
        from jaxreg.training.loop import solve_ridge, train

        record = record_of(resolved, directory.path)
        if resume:
            refuse_differences(directory.read_config(), record, str(directory.path))
        elif sweep is None:
            directory.check_free(overwrite=overwrite)
        _say_what(experiment, device, say)
        if resume and _is_finished(directory, config):
            say(f"{directory.path} is finished")
            return
        loaded = time.perf_counter()
        members = _members(experiment)
        say(f"ridge: {ridge_text(members)}")
        solved = time.perf_counter()
        if sweep is not None and not resume:
            delete_head(directory.path)
        elif not resume:  # nothing can be wrong any more: what was there may go
            directory.create(record, overwrite=overwrite)
    except InputError:
        directory.release()
        raise
    directory.forget_summary()  # of fewer epochs: until the new one is written it is not finished
    directory.write_config(record)
    if config.head == "ridge":
        trained = solve_ridge(directory, members, record)
    else:
        trained = train(
            directory,
            members,
            record,
            resume=resume,
            say=say,
            on_epoch=on_epoch,
            should_stop=should_stop,
        )
    if trained.interrupted:
        go_on = f"jaxreg train --run {directory.path} --resume"
        raise Stopped(
            f"stopped after epoch {max(int(state.epoch) for state in trained.states)}",
            remedy=go_on if sweep is None else sweep.resume_command(directory.path),
        )
    reporting = time.perf_counter()
    with step("predicting every row"):
        predictions = predict_all(experiment, members, trained)
    spent = {
        "load": loaded - begin,
        "ridge": solved - loaded,
        "compile": trained.compile_seconds,
        "train": trained.train_seconds,
        "report": time.perf_counter() - reporting,
    }
    if sweep is not None:  # it began with the search
        spent["load"] = loaded - started
    write_results(
        directory,
        experiment,
        members,
        trained,
        predictions,
        device=device,
        spent=spent,
        begin=begin,
        sweep=sweep,
    )
    if should_stop():
        raise Stopped(f"stopped, but the run was already finished: {directory.path}")


def rewrite(
    directory: RunDirectory,
    resolved: ResolvedRun,
    held_out: np.ndarray,
    sweep: SweepRecord,
    *,
    say: Say,
    begin: float,
) -> SweepRecord:
    """Give a finished run of a sweep other predictions for the rows that a fold holds out.

    Scores, verdict, plots and page are then of these predictions; the heads and their own scores
    stay. It ends the sweep: sweep.json gets the scores.

    Args:
        directory: of the run, which `execute` has written.
        resolved: the run as `execute` got it.
        held_out: (rows, targets) in target units, for all rows of the dataset; of a row that no
            fold holds out nothing is taken.
        sweep: what is in sweep.json but for the scores.
        say: gets each line meant for people.
        begin: when the user's wait began, by `time.perf_counter`. A sweep that was resumed has
            spent more: the seconds of its record.

    Returns:
        The record as sweep.json holds it now.

    Raises:
        InputError: the run has no whole checkpoint, or is not the one that is given.
    """
    before = directory.read_finished()
    spent_before = float(sweep.content.get("seconds", {}).get("total", 0.0))
    begin = min(begin, time.perf_counter() - spent_before)
    device, experiment = _load(resolved, say)
    from jaxreg.report.results import write_results
    from jaxreg.report.run_predictions import predict_all, score_side, with_held_out
    from jaxreg.run_loading import load_states
    from jaxreg.training.loop import Trained

    refuse_differences(
        directory.read_config(), record_of(resolved, directory.path), str(directory.path)
    )
    states, history = load_states(directory, say)
    reporting = time.perf_counter()
    members = _members(experiment)
    trained = Trained(states, history, 0.0, 0.0, interrupted=False, dead=before["dead"] or "")
    with step("predicting every row"):
        own = predict_all(experiment, members, trained)
    predictions = with_held_out(experiment, own, held_out)
    sweep = sweep.finished_with(score_side(experiment, predictions, "validation"))
    parts = ("load", "ridge", "compile", "train")
    spent = {name: before["seconds"][name] for name in parts}
    spent["report"] = time.perf_counter() - reporting
    directory.forget_summary()  # until the new one is written the run is not finished
    write_results(
        directory,
        experiment,
        members,
        trained,
        predictions,
        device=device,
        spent=spent,
        begin=begin,
        sweep=sweep,
    )
    return sweep


def _load(resolved: ResolvedRun, say: Say) -> tuple[str, Experiment]:
    """The device in words, and the run with its features read."""
    # A thread reads the features, mostly outside Python's lock, and imports nothing. The
    # imports beside it bring JAX, Flax, Orbax and matplotlib, which take about as long.
    with ThreadPoolExecutor(1) as thread, step("importing JAX and reading the features"):
        reading = thread.submit(load_experiment, resolved)
        import jaxreg.report.results  # noqa: F401

        device = prepare_jax()
        experiment = reading.result()
    if warning := device_warning(device):
        say(f"warning: {warning}")
    return device, experiment


def _members(experiment: Experiment) -> "tuple[Member, ...]":
    """The trainings of a run, each with its ridge."""
    from jaxreg.experiment.members import make_members

    count = number_of_members(experiment.config, experiment.finalists)
    return tuple(counted("solving the ridge", make_members(experiment), "trainings", count))


def _is_finished(directory: RunDirectory, config: TrainConfig) -> bool:
    summary = directory.read_summary()
    if summary is None:
        return False
    trainings = summary["members"] or [summary]
    return bool(
        config.head == "ridge"
        or all(one["stopped_early"] or one["epochs"] >= config.epochs for one in trainings)
        or summary.get("dead")
        or any(finding["code"] == "non-finite" for finding in summary["verdict"]["findings"])
    )


def _say_what(experiment: Experiment, device: str, say: Say) -> None:
    features = experiment.features
    say(f"device: {device}")
    say(f"features: {', '.join(features.names)} of {features.feature_set}")
    if features.random_seed is not None:
        say(f"weights: random, seed {features.random_seed}: trained on nothing")
    sides = {side: len(experiment.rows(side)) for side in ("train", "validation", "test")}
    counts = ", ".join(f"{count} {side}" for side, count in sides.items() if count)
    say(f"data: {experiment.placement}")
    say(f"target: {', '.join(experiment.targets)}; split {experiment.split.kind}: {counts}")
    for note in experiment.notes:
        say(f"note: {note}")
