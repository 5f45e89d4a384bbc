"""diagnosis.html: the verdict on top, each finding with its picture and its command, each test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jaxreg.diagnosis.trials import Trial
from jaxreg.files import write_whole
from jaxreg.runs.report import data_uri


@dataclass(frozen=True)
class Page:
    """All that the page says."""

    name: str  # of the run or dataset
    what: str  # a sentence about it
    verdict: Mapping[str, Any]  # as in summary.json
    pictures: Mapping[str, bytes]  # finding's code → PNG
    trials: Sequence[tuple[Trial, bytes | None]]
    seconds: float


def write_page(path: Path, page: Page) -> None:
    """Write the page to `path`, over what is there: one file that needs nothing beside it."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = data_uri
    environment.filters["is_command"] = is_command
    template = files("jaxreg.diagnosis").joinpath("page.html.jinja").read_text(encoding="utf-8")
    text = environment.from_string(template).render(page=page)
    write_whole(path, text.encode(errors="replace"))


def is_command(remedy: str) -> bool:
    """Whether a remedy is a command as it stands."""
    return remedy.startswith("python -m ")
