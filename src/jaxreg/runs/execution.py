"""One run from its dataset to its report."""

import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg import config as settings_of
from jaxreg.config import TrainConfig
from jaxreg.errors import InputError, Stopped
from jaxreg.features.cache import Cache
from jaxreg.features.datasets import Dataset
from jaxreg.files import write_whole
from jaxreg.runs.bar import check_components, measure
from jaxreg.runs.device import device_warning, prepare_jax
from jaxreg.runs.directory import Row, RunDirectory
from jaxreg.runs.experiment import Experiment, load_experiment
from jaxreg.runs.presentation import present
from jaxreg.runs.summary import predict_all, predictions_table, summarize
from jaxreg.runs.training import solve_ridge, train


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
    try:
        device = prepare_jax()
        if warning := device_warning(device):
            say(f"warning: {warning}")
        experiment = load_experiment(cache, dataset, config)
        check_components(experiment, config)
        record = _record(cache, dataset, experiment, config)
        if resume:
            _refuse_differences(directory.read_config(), record)
        else:
            directory.create(overwrite=overwrite)
        _say_what(experiment, device, say)
        if resume and _is_finished(directory, config):
            say(f"{directory.path} is finished")
            return
        loaded = time.perf_counter()
        bar = measure(experiment, config)
        say(_too_wide(experiment) if bar is None else str(bar))
    except InputError:
        if not any(directory.path.glob("*")) and directory.path.is_dir():
            directory.path.rmdir()  # the name that was claimed for it
        raise
    directory.write_config(record)
    if config.head == "ridge" and bar is not None:
        trained = solve_ridge(directory, experiment, config, bar)
    else:
        trained = train(
            directory,
            experiment,
            config,
            None if bar is None else bar.spectrum,
            resume=resume,
            say=say,
            on_epoch=on_epoch,
            should_stop=should_stop,
        )
    if trained.interrupted:
        raise Stopped(
            f"stopped after epoch {len(trained.history)}",
            remedy=f"python -m jaxreg.train --run {directory.path} --resume",
        )
    reporting = time.perf_counter()
    predictions = predict_all(experiment, config, trained)
    _write_parquet(directory, predictions_table(experiment, predictions))
    summary = summarize(experiment, config, trained, predictions, bar, device)
    summary["seconds"] = {
        "load": loaded - begin,
        "ridge": 0.0 if bar is None else bar.seconds,
        "compile": trained.compile_seconds,
        "train": trained.train_seconds,
        "report": None,
        "total": None,
    }
    present(directory, cache, experiment, config, trained, predictions, bar, summary)
    now = time.perf_counter()
    summary["seconds"] |= {"report": now - reporting, "total": now - begin}
    summary["seconds"] = {part: round(value, 3) for part, value in summary["seconds"].items()}
    directory.write_summary(summary)  # last: a run with a summary is finished


def _record(
    cache: Cache, dataset: Dataset, experiment: Experiment, config: TrainConfig
) -> dict[str, Any]:
    """config.json: the settings as asked for, and what they came to."""
    recipe = experiment.recipe
    return {
        "settings": settings_of.to_json(config),
        "dataset": dataset.name,
        "data": dataset.fingerprint,
        "cache": str(cache.root),
        "space": recipe.space,
        "columns": [column.name for column in experiment.columns],
        "targets": list(experiment.targets),
        "split": experiment.split.kind,
        "features": experiment.x.shape[1],
        "store": str(experiment.x.dtype),
        "recipe": recipe.to_json(),
        "weights_tag": recipe.weights_tag,
        "weights_path": cache.space_record(recipe.space)["weights_path"],
    }


def _refuse_differences(there: dict[str, Any], wanted: dict[str, Any]) -> None:
    """A resumed run may have more epochs; every other difference is named and refused."""
    old, new = dict(there["settings"]), dict(wanted["settings"])
    if new["epochs"] >= old["epochs"]:
        old["epochs"] = new["epochs"]
    names = [f"--{name.replace('_', '-')}" for name in new]
    differences = [
        f"{name} {old.get(key)} there, {new[key]} now"
        for name, key in zip(names, new, strict=True)
        if old.get(key) != new[key]
    ]
    for key in ("dataset", "data", "space", "columns", "targets", "split", "store"):
        if there.get(key) != wanted[key]:
            differences.append(f"{key} {there.get(key)} there, {wanted[key]} now")
    if differences:
        raise InputError(
            "the run cannot be resumed with other settings: " + "; ".join(differences),
            expected="the run's own; only --epochs may grow",
            remedy="another --run, or --overwrite",
        )


def _is_finished(directory: RunDirectory, config: TrainConfig) -> bool:
    summary = directory.read_summary()
    return summary is not None and (
        config.head == "ridge"
        or summary["stopped_early"]
        or summary["epochs"] >= config.epochs
        or any(finding["code"] == "non-finite" for finding in summary["verdict"]["findings"])
    )


def _say_what(experiment: Experiment, device: str, say: Callable[[str], None]) -> None:
    names = ", ".join(column.name for column in experiment.columns)
    say(f"device: {device}")
    say(f"features: {names} of {experiment.recipe.space}")
    if experiment.recipe.random_seed is not None:
        say(f"weights: random, seed {experiment.recipe.random_seed}: trained on nothing")
    sides = {side: len(experiment.rows(side)) for side in ("train", "validation", "test")}
    counts = ", ".join(f"{count} {side}" for side, count in sides.items() if count)
    say(f"target: {', '.join(experiment.targets)}; split {experiment.split.kind}: {counts}")
    for note in experiment.split.notes:
        say(f"note: {note}")


def _too_wide(experiment: Experiment) -> str:
    columns = experiment.x.shape[1]
    return f"ridge: left out, {columns} columns would take long (--head ridge solves it)"


def _write_parquet(directory: RunDirectory, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    write_whole(directory.path / "predictions.parquet", sink.getvalue().to_pybytes())
