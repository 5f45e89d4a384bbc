"""The page of a run: report.html, and its plots."""

from pathlib import Path
from typing import NamedTuple

from jaxreg.common.files import write_whole
from jaxreg.config_io import command_line, from_json
from jaxreg.experiment.arrays import Experiment
from jaxreg.report import plots, run_content
from jaxreg.report.html_file import others, write_page
from jaxreg.report.run_intervals import Measured, interval_command, unit_tables
from jaxreg.report.run_predictions import RunPredictions
from jaxreg.report.summary import Summary, trainings_text
from jaxreg.report.sweep_content import sweep_content
from jaxreg.report.worst_rows import WorstRows
from jaxreg.train_config import TrainConfig
from jaxreg.training.loop import Trained
from jaxreg.training.run_directory import Row
from jaxreg.training.sweep_files import SweepRecord

UNTRAINED = "random-weights"  # the finding that stands above the scores


class Drawn(NamedTuple):
    """The plots of a run as PNGs, and its worst rows."""

    curves: bytes | None  # None without epochs
    by_target: list[tuple[str, bytes, bytes]]  # the target, predictions, errors
    worst: WorstRows


def write_plots(
    folder: Path,
    experiment: Experiment,
    trained: Trained,
    predictions: RunPredictions,
) -> Drawn:
    """Draw the plots of a run and write them into the folder plots/ of the run."""
    worst = WorstRows(experiment, predictions.predictions)  # reads pictures while plots are drawn
    config, curves = experiment.config, None
    if trained.history:
        only = trained.states[0] if len(trained.states) == 1 else None
        best = None if only is None else int(only.best_epoch) or None
        curves = plots.curves(_curves(trained.history), best, plots.curve_labels(config))
        write_whole(folder / "curves.png", curves)
    by_target = []
    kinds = {"predicted": plots.predicted_against_true, "residuals": plots.residuals}
    for number, (target, name) in enumerate(plots.safe_names(experiment.targets).items()):
        columns = experiment.y[:, number], predictions.predictions[:, number]
        labels, kind = experiment.split.labels, experiment.types[number]
        drawn = [draw(target, *columns, labels, kind) for draw in kinds.values()]
        for kind, picture in zip(kinds, drawn, strict=True):
            write_whole(folder / f"{kind}-{name}.png", picture)
        by_target.append((target, *drawn))
    return Drawn(curves, by_target, worst)


def write_report(
    folder: Path,
    experiment: Experiment,
    predictions: RunPredictions,
    summary: Summary,
    drawn: Drawn,
    intervals: Measured | None = None,
    sweep: SweepRecord | None = None,
) -> None:
    """Write report.html into the folder of a run, which `sweep` may have chosen."""
    config, dataset = experiment.config, experiment.dataset
    findings = others(summary.verdict)
    words = dataset.name, "--cache", experiment.cache.root
    trainings = len(summary.members or [1])
    command = command_line("jaxreg train", words, from_json(TrainConfig, experiment.asked))
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
        worst=drawn.worst.lists(),
        curves=drawn.curves,
        curves_caption=run_content.curves_caption(config, trainings, summary.best_epoch),
        plots=drawn.by_target,
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
