"""One run, from its resolved settings to its report."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.common.device import device_warning, prepare_jax
from jaxreg.common.files import write_whole
from jaxreg.common.steps import counted, step
from jaxreg.errors import InputError, Stopped
from jaxreg.experiment.arrays import Experiment, load_experiment
from jaxreg.experiment.resolve import ResolvedRun
from jaxreg.train_config import TrainConfig
from jaxreg.training.resume import record_of, refuse_differences
from jaxreg.training.run_directory import Row, RunDirectory

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
) -> None:
    """Train, and write all files of the run (docs/runs.md); `begin` is when the user's wait began.

    Raises:
        InputError: the run cannot be done; a new run's directory is then not left.
        Stopped: `should_stop` said so.
    """
    config = resolved.config
    try:
        # A thread reads the features, mostly outside Python's lock, and imports nothing. The
        # imports beside it bring JAX, Flax, Orbax and matplotlib, which take about as long.
        with ThreadPoolExecutor(1) as thread, step("importing JAX and reading the features"):
            reading = thread.submit(load_experiment, resolved)
            from jaxreg.experiment.members import make_members, number_of_members, ridge_text
            from jaxreg.report.page import write_plots, write_report
            from jaxreg.report.run_predictions import predict_all, predictions_table
            from jaxreg.report.run_verdict import verdict_of
            from jaxreg.report.summary import summarize
            from jaxreg.training.loop import solve_ridge, train

            device = prepare_jax()
            experiment = reading.result()
        if warning := device_warning(device):
            say(f"warning: {warning}")
        record = record_of(resolved, directory.path)
        if resume:
            refuse_differences(directory.read_config(), record, str(directory.path))
        else:
            directory.check_free(overwrite=overwrite)
        _say_what(experiment, device, say)
        if resume and _is_finished(directory, config):
            say(f"{directory.path} is finished")
            return
        loaded = time.perf_counter()
        solving, count = make_members(experiment), number_of_members(config)
        members = tuple(counted("solving the ridge", solving, "trainings", count))
        say(f"ridge: {ridge_text(members)}")
        solved = time.perf_counter()
        if not resume:  # nothing can be wrong any more: what was there may go
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
        raise Stopped(
            f"stopped after epoch {max(int(state.epoch) for state in trained.states)}",
            remedy=f"jaxreg train --run {directory.path} --resume",
        )
    reporting = time.perf_counter()
    with step("predicting every row"):
        predictions = predict_all(experiment, members, trained)
    sink = pa.BufferOutputStream()
    table = predictions_table(experiment, predictions)
    pq.write_table(table, sink, write_page_checksum=True)
    write_whole(directory.path / "predictions.parquet", sink.getvalue().to_pybytes())
    judging = time.perf_counter()
    with ThreadPoolExecutor(1) as thread:  # beside the short trainings of a verdict
        plots = directory.path / "plots"
        drawing = thread.submit(write_plots, plots, experiment, trained, predictions)
        with step("looking for causes"):
            verdict = verdict_of(experiment, members, trained, predictions)
        judged = time.perf_counter()
        summary = summarize(experiment, members, trained, predictions, verdict, device=device)
        with step("drawing the report"):
            drawn = drawing.result()
    now = time.perf_counter()
    seconds = {
        "load": loaded - begin,
        "ridge": solved - loaded,
        "compile": trained.compile_seconds,
        "train": trained.train_seconds,
        "verdict": judged - judging,
        "report": now - judged + judging - reporting,
        "total": now - begin,
    }
    seconds = {part: round(value, 3) for part, value in seconds.items()}
    summary = replace(summary, seconds=seconds)
    write_report(directory.path, experiment, predictions, summary, drawn)
    summary = replace(summary, files=directory.digests())
    directory.write_summary(summary.to_json())  # last: a run with a summary is finished
    if should_stop():
        raise Stopped(f"stopped, but the run was already finished: {directory.path}")


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
