"""HTML pages: each is one file that needs no other file and no network."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxreg.common.files import write_whole
from jaxreg.metrics import METRICS, Scores
from jaxreg.target_numbers import number_text

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

UNDEFINED = "\N{EN DASH}"
HIGHER_IS_BETTER = ("r2", "spearman")


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

    files = (Path(__file__).with_name(name) for name in ("page.js", "chart.js"))
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    hashed = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"text": Markup(text), "hash": Markup(f"sha256-{hashed}")}


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
