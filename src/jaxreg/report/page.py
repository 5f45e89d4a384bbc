"""HTML pages: each is one file that needs no other file and no network. Here: a run's report."""

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxreg.common.files import write_whole
from jaxreg.config_io import command_line, from_json, to_json
from jaxreg.experiment.arrays import Experiment
from jaxreg.metrics import METRICS, Scores
from jaxreg.report import plots
from jaxreg.report.run_predictions import RunPredictions, score_side
from jaxreg.report.summary import Summary, head_text, trainings_text
from jaxreg.target_numbers import number_text
from jaxreg.train_config import TrainConfig
from jaxreg.training.loop import Trained
from jaxreg.training.run_directory import Row

if TYPE_CHECKING:
    from jinja2 import Environment

UNDEFINED = "\N{EN DASH}"
HIGHER_IS_BETTER = ("r2", "spearman")
WORST = 12  # images shown for each target
PREDICTORS = {
    "run": "this model",
    "ridge": "ridge",
    "median": "training median",
    "mean": "training mean",
}
"""The lines of a score table, in their order."""


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
    stds = dict(zip(experiment.targets, experiment.loss.std.tolist(), strict=True))
    write_page(
        folder / "report.html",
        "report/run.html.jinja",
        title=folder.name,
        subtitle=dataset.name,
        verdict=summary.verdict,
        summary=summary,
        random_weights=recipe.random_seed is not None,
        scores=_score_tables(experiment, predictions),
        members=_member_tables(summary),
        trainings=trainings_text(summary),
        run_facts={
            "dataset": dataset.name,
            "source": dataset.source,
            "rows": ", ".join(f"{n:,} {split}" for split, n in summary.rows.items() if n),
            "split": experiment.split.kind,
            **{
                f"target {name}": f"from {_number(float(np.nanmin(y)), stds[name])} "
                f"to {_number(float(np.nanmax(y)), stds[name])}"
                for name, y in zip(experiment.targets, experiment.y.T, strict=True)
            },
            "columns": ", ".join(column.name for column in experiment.columns),
            "feature set": recipe.feature_set,
            "weights": f"{recipe.weights_tag} ({recipe.weights[:16]})",
            "head": head_text(config, summary, experiment.targets),
        },
        settings=to_json(config),
        command=command_line("jaxreg train", words, from_json(TrainConfig, experiment.asked)),
        stds=stds,
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


def _score_tables(
    experiment: Experiment, predictions: RunPredictions
) -> list[tuple[str, dict[str, Scores]]]:
    """The score tables: a caption, and the lines by predictor that have scores.

    With several targets, each target has its tables before those of all targets together.
    """
    names, tables = experiment.targets, []
    for number, start in (
        [(None, "")]
        if len(names) == 1
        else [
            *((number, f"{name}, ") for number, name in enumerate(names)),
            (None, "all targets, "),
        ]
    ):
        for side in ("validation", "test"):
            scores = score_side(experiment, predictions, side, number)
            lines = {label: scores.get(name) for name, label in PREDICTORS.items()}
            known = {label: line for label, line in lines.items() if line is not None}
            if known:
                caption = f"{start}{side} rows ({len(experiment.rows(side)):,})"
                tables.append((caption, known))
    return tables


def _member_tables(summary: Summary) -> list[tuple[str, dict[str, Scores]]]:
    """The score tables of the trainings: a caption, and the lines; none for a single training.

    With several targets, each target has a table.
    """
    if not (summary.members and summary.members_mean and summary.members_std):
        return []
    labels = [member.label for member in summary.members]
    names = ("members", "members_mean", "members_std")
    found = {f"{target}, ": [its[n] for n in names] for target, its in summary.by_target.items()
             if "members" in its}  # fmt: skip
    if not found:
        own = [member.metrics for member in summary.members]
        found = {"": [own, summary.members_mean, summary.members_std]}
    return [
        (
            f"{start}each training, scored on rows that it did not see",
            {**dict(zip(labels, each, strict=True)), "mean of these": mean, "std of these": std},
        )
        for start, (each, mean, std) in found.items()
    ]


def _worst_images(
    experiment: Experiment, predictions: np.ndarray
) -> dict[str, list[tuple[str, bytes | None, float, float]]]:
    """By target: the validation rows with the largest errors, the largest first.

    Each has its id, its thumbnail, and the true and the predicted value.
    """
    rows, y = experiment.rows("validation"), experiment.y
    error = np.abs(predictions[rows].astype(np.float64) - y[rows])
    places = np.argsort(-np.nan_to_num(error, nan=np.inf), axis=0, kind="stable")[:WORST]
    ids, digests = experiment.dataset.ids, experiment.dataset.digests
    shown = {digests[row] for row in rows[places].ravel()}
    jpegs = experiment.cache.read_thumbnails(shown, experiment.recipe.range)
    return {
        name: [
            (ids[row], jpegs.get(digests[row]), float(y[row, i]), float(predictions[row, i]))
            for row in rows[places[:, i]]
        ]
        for i, name in enumerate(experiment.targets)
    }


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


def _number(value: float | None, std: float = 0.0) -> str:
    """`number_text` of a number, a dash for None; `std` is of the target that it belongs to."""
    return UNDEFINED if value is None else number_text(value, std).replace("-", "\N{MINUS SIGN}")


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
