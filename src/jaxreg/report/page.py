"""The page of a run: report.html, and its plots."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxreg.common.files import write_whole
from jaxreg.config_io import command_line, from_json
from jaxreg.experiment.arrays import Experiment
from jaxreg.report import plots, prediction_plots, run_content
from jaxreg.report.error_over_time import TargetCharts, charts_over_time
from jaxreg.report.html_file import others, write_page
from jaxreg.report.label_errors import (
    Suspect,
    find_suspects,
    suspect_tables,
)
from jaxreg.report.point_pictures import (
    choose_points,
    pictured_rows,
    pictures_json,
    points_json,
)
from jaxreg.report.row_pictures import RowPictures
from jaxreg.report.run_intervals import Measured, interval_command, unit_tables
from jaxreg.report.run_predictions import RunPredictions
from jaxreg.report.run_slices import RunSlices
from jaxreg.report.slice_tables import slice_tables, slope_lines, worst_lines
from jaxreg.report.summary import Summary, trainings_text
from jaxreg.report.sweep_content import sweep_content
from jaxreg.report.worst_rows import WorstRows
from jaxreg.train_config import TrainConfig
from jaxreg.training.loop import Trained
from jaxreg.training.run_directory import Row
from jaxreg.training.sweep_files import SweepRecord

UNTRAINED = "random-weights"  # the finding that stands above the scores


class Drawn(NamedTuple):
    """The plots of a run, and the rows whose pictures the page shows."""

    curves: bytes | None  # a PNG; None without epochs
    by_target: list[tuple[str, bytes, bytes]]  # the target, predictions, errors
    worst: WorstRows
    suspects: list[Suspect]
    over_time: list[TargetCharts]
    pictures: RowPictures
    dots: dict[str, str]  # `points_json` of each target
    dot_pictures: str  # `pictures_json`


def write_plots(
    folder: Path,
    experiment: Experiment,
    trained: Trained,
    predictions: RunPredictions,
    label_scores: np.ndarray,
) -> Drawn:
    """Draw the plots of a run and write them into the folder plots/ of the run."""
    worst = WorstRows(experiment, predictions.predictions)
    scaler = jax.device_get(trained.states[0].scalers.features)
    suspects = find_suspects(experiment, scaler, label_scores)
    points = choose_points(experiment, predictions)
    beside = {row for one in suspects for row in (one.row, *one.nearest)}
    # reads them while plots are drawn
    pictures = RowPictures(experiment, worst.rows, beside | pictured_rows(points))
    config, curves = experiment.config, None
    if trained.history:
        only = trained.states[0] if len(trained.states) == 1 else None
        best = None if only is None else int(only.best_epoch) or None
        curves = plots.curves(_curves(trained.history), best, plots.curve_labels(config))
        write_whole(folder / "curves.png", curves)
    by_target, dots = [], {}
    for number, (target, name) in enumerate(plots.safe_names(experiment.targets).items()):
        columns = experiment.y[:, number], predictions.predictions[:, number]
        drawn = target, *columns, experiment.split.labels, experiment.types[number]
        chart = prediction_plots.predicted_against_true(*drawn)
        residuals = prediction_plots.residuals(*drawn)
        write_whole(folder / f"predicted-{name}.png", chart.png)
        write_whole(folder / f"residuals-{name}.png", residuals)
        by_target.append((target, chart.png, residuals))
        dots[target] = points_json(experiment, predictions, number, points[number].rows, chart)
    over_time = charts_over_time(experiment, predictions)
    for one in over_time:
        name = plots.safe_names(experiment.targets)[one.target]
        for number, chart in enumerate(one.charts, start=1):
            several = f"-{number}" if one.recordings > 1 else ""
            write_whole(folder / f"over-time-{name}{several}.png", chart.picture)
    shown = pictures_json(points, pictures, beside.union(*worst.rows))
    return Drawn(curves, by_target, worst, suspects, over_time, pictures, dots, shown)


def write_report(
    folder: Path,
    experiment: Experiment,
    predictions: RunPredictions,
    summary: Summary,
    drawn: Drawn,
    slices: RunSlices,
    intervals: Measured | None = None,
    sweep: SweepRecord | None = None,
) -> None:
    """Write report.html into the folder of a run, which `sweep` may have chosen."""
    config, dataset = experiment.config, experiment.dataset
    findings = others(summary.verdict)
    words = dataset.name, "--cache", experiment.cache.root
    trainings = len(summary.members or [1])
    command = command_line("jaxreg train", words, from_json(TrainConfig, experiment.asked))
    healthy = {
        n: own.get("healthy", summary.verdict["healthy"]) for n, own in summary.by_target.items()
    }
    suspects = suspect_tables(experiment, predictions, drawn.suspects, drawn.pictures, healthy)
    write_page(
        folder / "report.html",
        "report/run.html.jinja",
        title=folder.name,
        subtitle=dataset.name,
        verdict=summary.verdict,
        findings=[pair for pair in findings if pair[0]["code"] != UNTRAINED],
        untrained=next((one for one, _ in findings if one["code"] == UNTRAINED), None),
        summary=summary,
        sweep=sweep and sweep_content(folder, sweep, experiment, predictions),
        scores=run_content.score_tables(experiment, predictions),
        members=run_content.member_tables(summary),
        trainings=trainings_text(summary),
        groups=run_content.group_tables(experiment, predictions),
        intervals=intervals,
        interval_command=intervals and interval_command(folder, intervals.level),
        units=[] if intervals is None else unit_tables(intervals),
        run_facts=run_content.facts_of(experiment, summary),
        settings=run_content.settings_of(config, experiment.finalists),
        provenance=run_content.provenance_of(summary),
        command=command if sweep is None else sweep.command,
        diagnose=command_line("jaxreg diagnose", (folder,)),
        stds=dict(zip(experiment.targets, experiment.loss.std.tolist(), strict=True)),
        worst=drawn.worst.lists(drawn.pictures),
        suspects=suspects,
        scored_all=bool(experiment.folds),
        points=drawn.dots,
        pictures=drawn.dot_pictures,
        curves=drawn.curves,
        curves_caption=run_content.curves_caption(config, trainings, summary.best_epoch),
        plots=drawn.by_target,
        slices=slice_tables(slices, experiment.targets),
        worst_slices=worst_lines(summary.worst_slices, len(experiment.targets)),
        slopes=slope_lines(summary.slope, summary.by_target),
        over_time=drawn.over_time,
        circular=any(kind.circular for kind in experiment.types),
    )


def _curves(history: list[Row]) -> list[dict[str, list[float]]]:
    """The columns of history.csv to plot, for each training."""
    names = ("epoch", "loss", "val_loss", "learning_rate")
    by_member: dict[tuple, dict[str, list[float]]] = {}
    for row in history:
        label = tuple(row.get(name) for name in ("fold", "finalist", "seed"))
        curves = by_member.setdefault(label, {n: [] for n in names})
        for name in names:
            curves[name].append(float(row[name]))
    return list(by_member.values())
