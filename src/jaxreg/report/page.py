"""HTML pages: each is one file that needs no other file and no network. Here: a run's report."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxreg.common.files import write_whole
from jaxreg.config_io import command_line, from_json
from jaxreg.experiment.arrays import Experiment
from jaxreg.metrics import METRICS, Scores
from jaxreg.report import plots, run_content
from jaxreg.report.run_predictions import RunPredictions
from jaxreg.report.summary import Summary, trainings_text
from jaxreg.report.sweep_content import sweep_content
from jaxreg.report.worst_rows import WorstRows
from jaxreg.target_numbers import number_text
from jaxreg.train_config import TrainConfig
from jaxreg.training.loop import Trained
from jaxreg.training.run_directory import Row
from jaxreg.training.sweep_files import SweepRecord

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

UNDEFINED = "\N{EN DASH}"
HIGHER_IS_BETTER = ("r2", "spearman")
UNTRAINED = "random-weights"  # the finding that stands above the scores


def write_page(path: Path, template: str, **content: Any) -> None:
    """Fill a template, named by its path in the package, and write the page over `path`.

    Every template extends report/base.html.jinja, which needs `title`, `subtitle` and `verdict`.
    The first error is `lead`: the head of the page tells it.
    """
    verdict = content["verdict"]
    lead = verdict["findings"][0] if len(others(verdict)) < len(verdict["findings"]) else None
    page = _environment().get_template(template).render({"lead": lead, **content})
    # a file name may hold bytes that are not text in any encoding
    write_whole(path, page.encode(errors="replace"))


def others(verdict: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], bool]]:
    """The findings that the head of a page does not tell; whether their remedy stands before."""
    found, told = verdict["findings"], {verdict["remedy"]}
    rest = found[1:] if found and found[0]["severity"] == "error" else found
    pairs = []
    for finding in rest:
        remedy = finding["remedy"]
        pairs.append((finding, bool(remedy) and remedy in told))
        told.add(remedy)
    return pairs


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
        "steps": _steps,
        "png": lambda picture: _data_uri(picture, "png"),
        "jpeg": lambda picture: _data_uri(picture, "jpeg"),
        "best": _best,
    }
    environment.globals |= {"METRICS": METRICS, "SCRIPT": _script()}
    return environment


def _script() -> dict[str, "Markup"]:
    """The one script that pages may run, and its hash, by which their policy allows it."""
    from markupsafe import Markup

    text = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
    hashed = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"text": Markup(text), "hash": Markup(f"sha256-{hashed}")}


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


def _steps(remedy: str) -> tuple[str, str]:
    """A remedy as what to do in words, and as the command after it; either may be empty."""
    before, then, command = remedy.rpartition(", then: jaxreg ")
    if then:
        return before, f"jaxreg {command}"
    return ("", remedy) if remedy.startswith("jaxreg ") else (remedy, "")


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
