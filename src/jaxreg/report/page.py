"""HTML pages: each is one file that needs no other file and no network. Here: a run's report."""

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxreg import metrics
from jaxreg.common.files import write_whole
from jaxreg.config_io import command_line, from_json, to_json
from jaxreg.experiment.arrays import Experiment
from jaxreg.metrics import METRICS, Scores
from jaxreg.report import plots
from jaxreg.report.run_predictions import RunPredictions, score_baselines
from jaxreg.report.summary import Summary, head_text
from jaxreg.train_config import TrainConfig
from jaxreg.training.loop import Trained
from jaxreg.training.run_directory import Row

if TYPE_CHECKING:
    from jinja2 import Environment

UNDEFINED = "\N{EN DASH}"
HIGHER_IS_BETTER = ("r2", "spearman")
WORST = 12  # images shown


def write_page(path: Path, template: str, **content: Any) -> None:
    """Fill a template, named by its path in the package, and write the page over `path`.

    Every template extends report/base.html.jinja, which needs `title`, `subtitle` and `verdict`.
    """
    page = _environment().get_template(template).render(content)
    # a file name may hold bytes that are not text in any encoding
    write_whole(path, page.encode(errors="replace"))


@cache
def _environment() -> "Environment":
    """The Jinja environment of all pages."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("jaxreg", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "value": _value,
        "sentence": _sentence,
        "png": lambda picture: _data_uri(picture, "png"),
        "jpeg": lambda picture: _data_uri(picture, "jpeg"),
        "best": _best,
    }
    environment.globals["METRICS"] = METRICS
    return environment


def write_report(
    folder: Path,
    experiment: Experiment,
    trained: Trained,
    predictions: RunPredictions,
    summary: Summary,
) -> None:
    """Write plots/*.png and report.html into the folder of a run."""
    config, dataset, recipe = experiment.config, experiment.dataset, experiment.recipe
    words = dataset.name, "--cache", experiment.cache.root
    scores = {"validation": _table(summary.metrics, summary.baselines)}
    by_target = {"validation": summary.by_target}
    if summary.test is not None:
        rows = experiment.rows("test")
        baselines = score_baselines(predictions.baselines, experiment.y, rows, config.huber_delta)
        scores["test"] = _table(summary.test, baselines)
        columns = experiment.y[rows], predictions.predictions[rows], config.huber_delta
        by_target["test"] = metrics.by_target(experiment.targets, *columns)
    write_page(
        folder / "report.html",
        "report/run.html.jinja",
        title=folder.name,
        subtitle=dataset.name,
        verdict=summary.verdict,
        summary=summary,
        random_weights=recipe.random_seed is not None,
        scores=scores,
        by_target=by_target,
        members=_members(summary),
        run_facts={
            "dataset": dataset.name,
            "source": dataset.source,
            "rows": ", ".join(f"{n:,} {split}" for split, n in summary.rows.items() if n),
            "split": experiment.split.kind,
            **{
                f"target {name}": f"from {_number(np.nanmin(y))} to {_number(np.nanmax(y))}"
                for name, y in zip(experiment.targets, experiment.y.T, strict=True)
            },
            "columns": ", ".join(column.name for column in experiment.columns),
            "feature set": recipe.feature_set,
            "weights": f"{recipe.weights_tag} ({recipe.weights[:16]})",
            "head": head_text(config, summary, experiment.targets),
        },
        settings=to_json(config),
        command=command_line("jaxreg train", words, from_json(TrainConfig, experiment.asked)),
        worst=_worst_images(experiment, predictions.predictions),
        **_write_plots(folder / "plots", experiment, trained, predictions, summary),
    )


def _write_plots(
    folder: Path,
    experiment: Experiment,
    trained: Trained,
    predictions: RunPredictions,
    summary: Summary,
) -> dict[str, Any]:
    """Write the plots. Returns `curves`, None without epochs, and `plots`: (target, two PNGs)."""
    curves = None
    if trained.history:
        curves = plots.curves(_curves(trained.history), summary.best_epoch)
        write_whole(folder / "curves.png", curves)
    pairs = []
    kinds = {"predicted": plots.predicted_against_true, "residuals": plots.residuals}
    for number, (target, name) in enumerate(plots.safe_names(experiment.targets).items()):
        columns = experiment.y[:, number], predictions.predictions[:, number]
        drawn = [draw(target, *columns, experiment.split.labels) for draw in kinds.values()]
        for kind, picture in zip(kinds, drawn, strict=True):
            write_whole(folder / f"{kind}-{name}.png", picture)
        pairs.append((target, *drawn))
    return {"curves": curves, "plots": pairs}


def _table(run: Scores, baselines: Mapping[str, Scores | None]) -> dict[str, Scores]:
    """The lines of a score table: the run first, then each baseline that has scores."""
    lines = {
        "this model": run,
        "ridge": baselines["ridge"],
        "training median": baselines["median"],
        "training mean": baselines["mean"],
    }
    return {name: line for name, line in lines.items() if line is not None}


def _members(summary: Summary) -> dict[str, Scores]:
    """The lines of the members' score table; empty for a single training."""
    if not (summary.members and summary.members_mean and summary.members_std):
        return {}
    each = {member.label: member.metrics for member in summary.members}
    return {**each, "mean": summary.members_mean, "std": summary.members_std}


def _worst_images(
    experiment: Experiment, predictions: np.ndarray
) -> list[tuple[str, bytes | None, dict[str, list[float]]]]:
    """The id, thumbnail, true and predicted values of the validation rows with the largest errors.

    The error of each target is divided by the target's std.
    """
    rows, y = experiment.rows("validation"), experiment.y
    std = np.std(y[rows].astype(np.float64), axis=0)
    error = np.abs(predictions[rows].astype(np.float64) - y[rows])
    largest = (error / np.where(std == 0, 1.0, std)).max(axis=1)
    chosen = rows[np.argsort(-np.nan_to_num(largest, nan=np.inf), kind="stable")[:WORST]]
    ids, digests = experiment.dataset.ids, experiment.dataset.digests
    jpegs = experiment.cache.read_thumbnails(digests[row] for row in chosen)
    both = np.stack([y[chosen], predictions[chosen]], axis=-1).tolist()
    return [
        (ids[row], jpegs.get(digests[row]), dict(zip(experiment.targets, pairs, strict=True)))
        for row, pairs in zip(chosen, both, strict=True)
    ]


def _curves(history: list[Row]) -> list[dict[str, list[float]]]:
    """The columns of history.csv to plot, for each training."""
    names = ("epoch", "loss", "val_loss", "learning_rate")
    by_member: dict[tuple, dict[str, list[float]]] = {}
    for row in history:
        curves = by_member.setdefault((row.get("fold"), row.get("seed")), {n: [] for n in names})
        for name in names:
            curves[name].append(float(row[name]))
    return list(by_member.values())


def _best(lines: Mapping[str, Scores]) -> Scores:
    """The best number of each metric over the lines of a score table."""
    best: Scores = {}
    for metric in METRICS:
        numbers = [value for line in lines.values() if (value := line[metric]) is not None]
        best[metric] = (max if metric in HIGHER_IS_BETTER else min)(numbers, default=None)
    return best


def _number(value: float | None) -> str:
    """Four significant digits, or a dash for None."""
    return UNDEFINED if value is None else f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _sentence(text: str) -> str:
    """The text with a capital and a full stop. A name such as mixed10.avg gets no capital."""
    first = text.split(" ", 1)[0].rstrip(",;:")
    start = text[:1].upper() if first.isalpha() else text[:1]
    return f"{start}{text[1:].removesuffix('.')}."


def _value(value: object) -> str:
    """A setting or a fact as text."""
    if value is None:
        return UNDEFINED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_value(part)}" for name, part in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(_value(part) for part in value) or "none"
    return str(value)


def _data_uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
