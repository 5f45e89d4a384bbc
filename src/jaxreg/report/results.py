"""The files of a finished training: predictions, plots, summary and page."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.common.files import write_whole
from jaxreg.common.steps import step
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.members import Member
from jaxreg.report.label_errors import label_errors_json, score_labels
from jaxreg.report.page import write_plots, write_report
from jaxreg.report.run_intervals import measure, stored
from jaxreg.report.run_predictions import RunPredictions, predictions_table
from jaxreg.report.run_slices import slice_run
from jaxreg.report.run_verdict import verdict_of
from jaxreg.report.suggestions import suggestions_of
from jaxreg.report.summary import summarize
from jaxreg.training.interval_file import INTERVALS, packed
from jaxreg.training.loop import Trained
from jaxreg.training.run_directory import RunDirectory
from jaxreg.training.sweep_files import SweepRecord


def write_results(
    directory: RunDirectory,
    experiment: Experiment,
    members: Sequence[Member],
    trained: Trained,
    predictions: RunPredictions,
    *,
    device: str,
    spent: Mapping[str, float],
    begin: float,
    sweep: SweepRecord | None = None,
) -> None:
    """Judge the predictions and write all files that are made of them, summary.json last.

    Args:
        directory: has config.json, history.csv and the checkpoint.
        experiment, members, trained: the run.
        predictions: for every row of the dataset.
        device: that it was trained on, in words.
        spent: seconds so far, by part; `report` are those of the predictions.
        begin: when the user's wait began, by `time.perf_counter`.
        sweep: what chose the head. All seconds that no part has are then those of the search.
    """
    reporting = time.perf_counter()
    sink = pa.BufferOutputStream()
    scores = score_labels(experiment, predictions)
    table = predictions_table(experiment, predictions, scores)
    pq.write_table(table, sink, write_page_checksum=True)
    write_whole(directory.path / "predictions.parquet", sink.getvalue().to_pybytes())
    intervals = measure(experiment, predictions)
    judging = time.perf_counter()
    with ThreadPoolExecutor(2) as thread:  # beside the short trainings of a verdict
        plots = directory.path / "plots"
        drawing = thread.submit(write_plots, plots, experiment, trained, predictions, scores)
        slicing = thread.submit(slice_run, experiment, predictions, intervals)
        keeping = thread.submit(lambda: intervals and packed(stored(experiment, intervals)))
        with step("looking for causes"):
            verdict = verdict_of(experiment, members, trained, predictions, intervals)
        judged = time.perf_counter()
        summary = summarize(experiment, members, trained, predictions, verdict, device=device)
        suggesting = time.perf_counter()
        if sweep is None:  # a sweep has looked at the columns itself
            with step("comparing other columns"):
                found = suggestions_of(experiment, members, predictions)
            summary = replace(summary, suggestions=found)
        suggested = time.perf_counter()
        with step("drawing the report"):
            drawn, slices = drawing.result(), slicing.result()
            if kept := keeping.result():
                write_whole(directory.path / INTERVALS, kept)
    now = time.perf_counter()
    seconds = {
        **spent,
        "verdict": judged - judging,
        "suggestions": suggested - suggesting,
        "report": spent["report"] + judging - reporting + suggesting - judged + now - suggested,
    }
    total = now - begin
    if sweep is not None:
        seconds["search"] = max(0.0, total - sum(seconds.values()))
    seconds = {part: round(value, 3) for part, value in {**seconds, "total": total}.items()}
    summary = replace(
        summary,
        seconds=seconds,
        intervals=intervals and intervals.to_json(),
        label_errors=label_errors_json(experiment, predictions, drawn.suspects),
        **slices.to_json(),
    )
    write_report(directory.path, experiment, predictions, summary, drawn, slices, intervals, sweep)
    if sweep is not None:
        sweep.write(directory.path)
    summary = replace(summary, files=directory.digests())
    directory.write_summary(summary.to_json())  # last: a run with a summary is finished
