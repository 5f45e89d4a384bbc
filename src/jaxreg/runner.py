"""One run from its dataset to its report."""

import dataclasses
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.cache.datasets import Dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.common.device import device_warning, prepare_jax
from jaxreg.common.files import write_whole
from jaxreg.errors import InputError, Stopped
from jaxreg.experiment.arrays import Experiment, check_head, load_experiment, settled
from jaxreg.train_config import TrainConfig
from jaxreg.training.resume import identity, refuse_differences
from jaxreg.training.run_directory import Row, RunDirectory

# Slow to import, for they bring JAX, Flax, Orbax and matplotlib; in the order of their use.
_SLOW = ("jaxreg.training.loop", "jaxreg.report.summary", "jaxreg.report.page")


def _import_slow() -> None:
    # A process that ends with an error meanwhile cannot import any more, and need not. Whatever is
    # wrong apart from that shows where the modules are used.
    with suppress(Exception):
        for name in _SLOW:
            import_module(name)


def execute(
    directory: RunDirectory,
    cache: Cache,
    dataset: Dataset,
    config: TrainConfig,
    *,
    resume: bool,
    overwrite: bool,
    say: Callable[[str], None],
    on_epoch: Callable[[Row], None],
    should_stop: Callable[[], bool],
    begin: float,
) -> None:
    """Train, and write all that contract 2 asks for; `begin` is when the user's wait began.

    Raises:
        InputError: what was asked for cannot be done; a new run's directory is then not left.
        Stopped: `should_stop` said so.
    """
    # Reading features leaves Python itself idle. An import below waits for the same one in there.
    threading.Thread(target=_import_slow).start()
    try:
        there = directory.read_config() if resume else None
        experiment = load_experiment(
            cache,
            dataset,
            as_before(config, there),
            resumed=resume,
            window=there.get("window") if there else None,
        )
        device = prepare_jax()
        if warning := device_warning(device):
            say(f"warning: {warning}")
        config = settled(experiment, config)
        check_head(experiment, config)
        record = identity(cache, dataset, experiment, config)
        if there is not None:
            refuse_differences(there, record, str(directory.path))
        else:
            directory.check_free(overwrite=overwrite)
        _say_what(experiment, device, say)
        if resume and _is_finished(directory, config):
            say(f"{directory.path} is finished")
            return
        loaded = time.perf_counter()
        # first what the thread imports first: two threads inside one circle of imports may deadlock
        from jaxreg.training.loop import solve_ridge, train  # isort: skip
        from jaxreg.experiment.members import bar_text, make_members  # isort: skip

        members = make_members(experiment, config)
        say(f"ridge: {bar_text(members)}")
        solved = time.perf_counter()
        if there is None:  # nothing can be wrong any more: what was there may go
            directory.create(overwrite=overwrite)
    except InputError:
        if not any(directory.path.glob("*")) and directory.path.is_dir():
            directory.path.rmdir()  # the name that was claimed for it
        raise
    directory.write_config(record)
    directory.forget_summary()  # of fewer epochs: until the new one is written it is not finished
    if config.head == "ridge":
        trained = solve_ridge(directory, members, config, record)
    else:
        trained = train(
            directory,
            members,
            config,
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
    from jaxreg.report.page import write_report
    from jaxreg.report.run_predictions import predict_all, predictions_table
    from jaxreg.report.summary import summarize

    reporting = time.perf_counter()
    predictions = predict_all(experiment, members, config, trained)
    _write_parquet(directory, predictions_table(experiment, predictions.predictions))
    seconds = {
        "load": loaded - begin,
        "ridge": solved - loaded,
        "compile": trained.compile_seconds,
        "train": trained.train_seconds,
    }
    summary = summarize(
        experiment,
        members,
        config,
        trained,
        predictions,
        device=device,
        cache=cache,
        seconds={part: round(value, 3) for part, value in seconds.items()},
    )
    write_report(directory.path, experiment, config, trained, predictions, summary, cache)
    now = time.perf_counter()
    total = {"report": round(now - reporting, 3), "total": round(now - begin, 3)}
    summary = dataclasses.replace(summary, seconds=summary.seconds | total)
    directory.write_summary(summary.to_json())  # last: a run with a summary is finished
    if should_stop():
        raise Stopped(f"told to stop, but the run was done: {directory.path}")


def as_before(config: TrainConfig, there: dict[str, Any] | None) -> TrainConfig:
    """What a run left to the dataset's last extract stays as it was then when it is read again."""
    if there is None:
        return config
    columns = [Column.parse(name) for name in there["columns"]]
    return dataclasses.replace(
        config,
        feature_set=config.feature_set or there["feature_set"],
        layers=config.layers or tuple(dict.fromkeys(column.layer for column in columns)),
        pool=config.pool or columns[0].pool,
        target=config.target or tuple(there["targets"]),
    )


def _is_finished(directory: RunDirectory, config: TrainConfig) -> bool:
    summary = directory.read_summary()
    return summary is not None and bool(
        config.head == "ridge"
        or summary["stopped_early"]
        or summary["epochs"] >= config.epochs
        or summary.get("dead")
        or any(finding["code"] == "non-finite" for finding in summary["verdict"]["findings"])
    )


def _say_what(experiment: Experiment, device: str, say: Callable[[str], None]) -> None:
    names = ", ".join(column.name for column in experiment.columns)
    say(f"device: {device}")
    say(f"features: {names} of {experiment.recipe.feature_set}")
    if experiment.recipe.random_seed is not None:
        say(f"weights: random, seed {experiment.recipe.random_seed}: trained on nothing")
    sides = {side: len(experiment.rows(side)) for side in ("train", "validation", "test")}
    counts = ", ".join(f"{count} {side}" for side, count in sides.items() if count)
    say(f"data: {experiment.placement}")
    say(f"target: {', '.join(experiment.targets)}; split {experiment.split.kind}: {counts}")
    for note in experiment.notes:
        say(f"note: {note}")


def _write_parquet(directory: RunDirectory, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    write_whole(directory.path / "predictions.parquet", sink.getvalue().to_pybytes())
