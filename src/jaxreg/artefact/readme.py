"""The README of an artefact: how to load it, what it was trained on, its score and intervals."""

import re
from html import escape
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from jaxreg.artefact.formats import FORMATS
from jaxreg.errors import InputError
from jaxreg.target_numbers import number_text
from jaxreg.target_types import TargetType

if TYPE_CHECKING:
    from jaxreg.artefact.export_run import Exported
    from jaxreg.trained_run import TrainedRun

_MARK = "Written by `jaxreg export`"
_LOAD = "## Load "


def is_readme(text: str) -> bool:
    """Whether `readme` wrote it."""
    return _MARK in text


def check_readme(text: str, run: "TrainedRun", path: Path) -> None:
    """Raise InputError if a README is of another run, whose artefacts lie beside it."""
    others = [name for name in _loads(text) if path.with_name(name).exists()]
    if others and _identity(run) not in text:
        raise InputError(
            f"{path} is that of {', '.join(others)}, of another run",
            remedy="name another --out, or add --overwrite",
        )


def readme(run: "TrainedRun", made: "Exported", before: str = "") -> str:
    """The text for an artefact, in Markdown.

    Args:
        run: the run.
        made: its artefact.
        before: the README that is there; its parts about artefacts of other formats of the same
            run are kept.
    """
    head = [f"# {made.path.stem}", "", *_about(run, made)]
    for title, lines in (
        ("Score", _score(run)),
        ("Intervals", _intervals(run)),
        ("Trained on", _data(run)),
    ):
        head += ["", f"## {title}", "", *lines]
    common = "\n".join(head)
    loads = _loads(before) if _identity(run) in before else {}
    loads[made.path.name] = _load(made)
    parts = [f"{_LOAD}{name}\n\n{text}" for name, text in sorted(loads.items())]
    return "\n\n".join([common, *parts]) + "\n"


def _identity(run: "TrainedRun") -> str:
    """What no other run has: its config.json, also as a bundle."""
    return f"config.json {run.summary['files']['config.json'][:12]}"


def _loads(text: str) -> dict[str, str]:
    """The parts on loading of a README, by the name of the file."""
    found = re.split(f"^{_LOAD}", text, flags=re.MULTILINE)[1:]
    pairs = (part.split("\n", 1) for part in found if "\n" in part)
    return {name.strip(): rest.strip() for name, rest in pairs}


def _about(run: "TrainedRun", made: "Exported") -> list[str]:
    lines = [
        f"{_MARK} from the run `{_cell(run.path.name)}` ({_identity(run)}). Loading it needs no "
        "jaxreg.",
        "",
        (
            "Input: a batch of RGB images of one size, uint8, shape (images, height, width, 3). "
            if made.input["shape"][0] is None
            else "Input: one RGB image, uint8, shape (1, height, width, 3). "
        ) + ("The network sees each image in its own size."
           if None in (recipe.size for recipe in run.features.networks)
           else "Any height and width: resizing is a part of the model."),
        "",
        f"Output: shape (images, {len(run.targets)}), {made.output['dtype']}, "
        "one column for each target:",
        "",
        "| column | target | type |",
        "|---|---|---|",
    ]  # fmt: skip
    for place, (name, kind) in enumerate(zip(run.targets, run.types, strict=True)):
        lines.append(f"| {place} | {_cell(name)} | {_kind_text(kind)} |")
    lines += [
        "",
        "The numbers are in the units of the targets. Turn photos upright as their EXIF data say. "
        "Another JPEG decoder than Pillow's gives slightly other pixels, and so slightly other "
        "numbers.",
    ]
    if run.features.range is not None:
        low, high = run.features.range
        lines.append(
            f"The images had more than 8 bits: value {low:g} became 0 and {high:g} became 255. "
            "Do the same before: `clip((value - LO) / (HI - LO), 0, 1) * 255`, rounded."
        )
    return lines


def _kind_text(kind: TargetType) -> str:
    if kind.circular:
        return f"circular: from 0 to below {_whole(kind.period)}, then 0 again"
    return f"from {_whole(kind.low)} to {_whole(kind.high)}" if kind.bounded else "a number"


def _whole(number: float) -> str:
    """Every digit: a user compares with it, or adds it."""
    return repr(float(number)).removesuffix(".0")


def _score(run: "TrainedRun") -> list[str]:
    lines = ["| target | MAE | R² | MAE of the median |", "|---|---|---|---|"]
    for name, scores in run.summary["by_target"].items():
        baselines = scores.get("baselines", run.summary["baselines"])
        cells = [scores["mae"], scores["r2"], baselines["median"]["mae"]]
        lines.append(f"| {_cell(name)} | {' | '.join(map(_short, cells))} |")
    rows = run.summary["rows"]
    held_out = "each predicted by a head that had not seen it" if run.settings.folds else ""
    held_out = held_out or "which chose the epoch of the head"
    if run.settings.head == "ridge" and not run.settings.folds:
        held_out = "which did not train the head"
    verdict = _cell(run.verdict["headline"])
    lines += ["", f"On {rows['validation']} rows, {held_out}. The verdict is: {verdict}."]
    if run.summary.get("test"):
        lines += ["", f"On {rows['test']} test rows, which decided nothing:", ""]
        for name, scores in run.summary["by_target"].items():
            test = scores.get("test") or run.summary["test"]
            lines.append(f"- {_cell(name)}: MAE {_short(test['mae'])}, R² {_short(test['r2'])}")
    return lines


def _intervals(run: "TrainedRun") -> list[str]:
    own = run.summary.get("intervals")
    if own is None:
        return ["None: only a run with `--folds` has intervals."]
    lines = [
        f"For {own['level']:.0%} of new images like those of training, the true value should lie "
        "within this distance of the number:",
        "",
    ]
    for name, half in own["half_width"].items():
        lines.append(f"- {_cell(name)}: ± {half:.4g}")
    return [*lines, "", f"Among held-out rows, it was so for {own['coverage']:.0%}."]


def _data(run: "TrainedRun") -> list[str]:
    settings, members = run.settings, len(run.params)
    lines = [
        f"- dataset: {_cell(run.config['dataset'])}, {sum(run.summary['rows'].values())} rows",
        f"- head: {settings.head}" + (f", the mean of {members} heads" if members > 1 else ""),
    ]
    for recipe in run.features.networks:
        size = "in its own size" if recipe.size is None else "at {} x {}".format(*recipe.size)
        columns = ", ".join(c.short_name for c in run.features.columns_of(recipe.feature_set))
        lines.append(
            f"- network: {recipe.backbone} with weights {_cell(recipe.weights_tag)} "
            f"(`{_cell(recipe.weights)}`), {size}, {recipe.precision}; read: {_cell(columns)}"
        )
    versions = {"jaxreg": metadata.version("jaxreg")} | run.summary["provenance"]["versions"]
    lines.append("- trained with " + ", ".join(f"{n} {v}" for n, v in versions.items()))
    return lines


def _load(made: "Exported") -> str:
    form = FORMATS[made.format]
    needed = ", ".join(f"{name} {metadata.version(name)}" for name in form.packages)
    code = f"""{form.imports}
import numpy as np
from PIL import Image, ImageOps

image = np.asarray(ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB"))
{form.lines(made.path.name)}
print(np.asarray(numbers))"""
    return "\n".join(
        [
            f"```python\n{code}\n```",
            "",
            f"Written with {needed}. On {made.images} images ({made.compared_on}) the largest "
            f"difference from the run was {number_text(made.max_difference, 1)} std of the target.",
        ]
    )


def _cell(text: str) -> str:
    """A name as a cell of a table: on one line, without what ends the cell or begins a tag."""
    return escape(" ".join(text.split()), quote=False).replace("|", "\\|").replace("`", "'")


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
