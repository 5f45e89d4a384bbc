"""The pages: links lead somewhere, and the commands that they show have these options."""

import re
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest

from jaxreg.__main__ import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
COMMAND = re.compile(r"\bjaxreg ([a-z]+)\b([^\n`|#]*)")
OPTION = re.compile(r"(?<!\S)(--[a-z][a-z-]*)")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: small letters, no punctuation, dashes for spaces."""
    titles = re.findall(r"^#+ (.+)$", without_code(page.read_text()), flags=re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


def missing_links(page: Path) -> list[str]:
    """The links of a page to a file that is not there, or to no heading of it."""
    missing = []
    for link in ("".join(found) for found in LINK.findall(without_code(page.read_text()))):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(link)
    return missing


@cache
def help_of(verb: str) -> str:
    """What `jaxreg VERB --help` prints."""
    shown = StringIO()
    with redirect_stdout(shown), pytest.raises(SystemExit):
        import_module(f"jaxreg.{verb}").main(["--help"])
    return shown.getvalue()


def options(verb: str) -> set[str]:
    """The options of a command."""
    return {*re.findall(r"--[a-z][a-z-]*", help_of(verb))}


def unknown_options(text: str) -> list[str]:
    """`VERB --option` of each command in a text whose verb or option does not exist."""
    unknown = []
    for verb, words in COMMAND.findall(text.replace("\\\n", " ")):
        if verb in COMMANDS:
            known = options(verb)
            unknown += [f"{verb} {word}" for word in OPTION.findall(words) if word not in known]
    return unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert missing_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_that_pages_show(page: Path) -> None:
    assert unknown_options(page.read_text()) == []


def test_faults_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b`, c\n[one](#a-b-c) [two](#a-b) [three](page.md) [four](none.md)\n")
    assert missing_links(page) == ["#a-b", "none.md"]
    assert unknown_options("`jaxreg train x --target y --taps z`") == ["train --taps"]


@pytest.mark.parametrize("verb", ["train", "diagnose"])
def test_a_word_that_may_be_left_out_is_in_brackets(verb: str) -> None:
    assert "[NAME]" in help_of(verb).splitlines()[0]


def test_a_pair_is_shown_as_two_numbers() -> None:
    assert "--size INT INT" in help_of("extract")
    assert "--huber-delta FLOAT [FLOAT ...]" in help_of("train")


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {Path(link).name for link, _ in LINK.findall(index.read_text())}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= linked
