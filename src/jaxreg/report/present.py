"""A finished training as pictures and a page."""

from typing import Any

import numpy as np

from jaxreg import config_io as settings_of
from jaxreg import metrics
from jaxreg.cache.store import Cache
from jaxreg.experiment.arrays import Experiment
from jaxreg.report import plots
from jaxreg.report.page import Report, WorstImage, write_report
from jaxreg.report.summary import Told, head_text
from jaxreg.train_config import TrainConfig
from jaxreg.training.loop import Trained
from jaxreg.training.run_directory import Row, RunDirectory

WORST = 12  # images shown


def present(
    directory: RunDirectory,
    cache: Cache,
    experiment: Experiment,
    config: TrainConfig,
    trained: Trained,
    told: Told,
    summary: dict[str, Any],
) -> None:
    """Write plots/*.png and report.html."""
    folder = directory.path / "plots"
    labels = experiment.split.labels
    curves = folder / "curves.png"
    if trained.history:
        plots.write_curves(curves, _curves(trained.history), summary["best_epoch"])
    names = plots.safe_names(experiment.targets)
    for number, target in enumerate(experiment.targets):
        true, guess = experiment.y[:, number], told.predictions[:, number]
        name = names[target]
        plots.write_predicted_against_true(
            folder / f"predicted-{name}.png", target, true, guess, labels
        )
        plots.write_residuals(folder / f"residuals-{name}.png", target, true, guess, labels)

    def pictures(kind: str) -> dict[str, bytes]:
        return {t: (folder / f"{kind}-{names[t]}.png").read_bytes() for t in experiment.targets}

    dataset, recipe, delta = experiment.dataset, experiment.recipe, config.huber_delta
    scores: dict[str, Any] = {"validation": {"model": summary["metrics"], **summary["baselines"]}}
    by_target = {"validation": summary["by_target"]}
    tested = experiment.rows("test")
    if len(tested):
        y, guess = experiment.y[tested], told.predictions[tested]
        train_y = experiment.y[experiment.rows("train")]
        ridge = None if told.ridge is None else told.ridge[tested]
        baselines = metrics.baselines(train_y, y, delta, ridge)
        scores["test"] = {"model": summary["test"], **baselines}
        by_target["test"] = metrics.by_target(experiment.targets, y, guess, delta)
    write_report(
        directory.path / "report.html",
        Report(
            run=directory.path.name,
            headline=summary["verdict"]["headline"],
            healthy=summary["verdict"]["healthy"],
            random_weights=recipe.random_seed is not None,
            scores=scores,
            by_target=by_target,
            members=_member_scores(summary),
            dataset=dataset.name,
            source=dataset.source,
            rows=summary["rows"],
            split=experiment.split.kind,
            notes=summary["notes"],
            feature_set=recipe.feature_set,
            columns=[column.name for column in experiment.columns],
            weights=f"{recipe.weights_tag} ({recipe.weights[:16]})",
            head=head_text(config, summary, experiment.targets),
            targets={
                name: (float(np.nanmin(column)), float(np.nanmax(column)))
                for name, column in zip(experiment.targets, experiment.y.T, strict=True)
            },
            epochs=summary["epochs"] or None,
            best_epoch=summary["best_epoch"],
            stopped_early=summary["stopped_early"],
            curves=curves.read_bytes() if trained.history else None,
            predicted=pictures("predicted"),
            residuals=pictures("residuals"),
            worst=worst_images(cache, experiment, told.predictions),
            findings=summary["verdict"]["findings"],
            settings=settings_of.to_json(config),
            seconds={k: v for k, v in summary["seconds"].items() if v is not None},
            provenance=summary["provenance"],
            command=settings_of.command_line(
                "jaxreg train", [dataset.name, "--cache", cache.root], config
            ),
        ),
    )


def worst_images(cache: Cache, experiment: Experiment, predictions: np.ndarray) -> list[WorstImage]:
    """The validation rows furthest off, each target in its std so that none drowns."""
    rows = experiment.rows("validation")
    y, told = experiment.y[rows].astype(np.float64), predictions[rows].astype(np.float64)
    scale = np.std(y, axis=0)
    error = (np.abs(told - y) / np.where(scale == 0, 1.0, scale)).max(axis=1)
    chosen = rows[np.argsort(-np.nan_to_num(error, nan=np.inf), kind="stable")[:WORST]]
    ids, digests = experiment.dataset.ids, experiment.dataset.digests
    jpegs = cache.read_thumbnails(digests[row] for row in chosen)
    return [
        (
            ids[row],
            jpegs.get(digests[row]),
            {
                name: (float(experiment.y[row, i]), float(predictions[row, i]))
                for i, name in enumerate(experiment.targets)
            },
        )
        for row in chosen
    ]


def _member_scores(summary: dict[str, Any]) -> dict[str, metrics.Scores]:
    """A line for each training of several, then what they come to."""
    if summary["members"] is None:
        return {}
    lines = {
        ", ".join(f"{name} {one[name]}" for name in ("fold", "seed") if name in one): one["metrics"]
        for one in summary["members"]
    }
    return {
        **lines,
        "mean": summary["metrics"],
        "std": summary["std"],
        "all predictions together": summary["combined"],
    }


def _curves(history: list[Row]) -> list[dict[str, list[float]]]:
    """The columns to draw, of each training."""
    names = ("epoch", "loss", "val_loss", "learning_rate")
    by_member: dict[tuple, dict[str, list[float]]] = {}
    for row in history:
        curves = by_member.setdefault((row.get("fold"), row.get("seed")), {n: [] for n in names})
        for name in names:
            curves[name].append(float(row[name]))
    return list(by_member.values())
