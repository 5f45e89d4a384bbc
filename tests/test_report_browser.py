"""The pages in a browser: sorted tables, large pictures, what may run, and whether all fits."""

import base64
import hashlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser import Browser, started
from jaxreg.report.html_file import write_page
from jaxreg.report.run_content import GroupTable
from jaxreg.report.worst_rows import WorstRow
from made_pages import MODEL, diagnosis_content, jpeg, report_content

ATTACK = "</script><script>document.title = 'hacked'</script>"
IMAGE = "\"'><img src=x onerror=\"document.title = 'hacked'\">"
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"

GROUPS: list[tuple[str, int, list[float | None]]] = [
    ("img10", 1_234, [0.25]),
    ("img2", 7, [None]),
    ("1,234", 1_234, [-0.5]),
    ("-3", 20, [1e-05]),
    ("Img3", 7, [1000.0]),
    ("-0.5", 8, [float("inf")]),
    (DASH, 9, [0.25]),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    with started(tmp_path_factory.mktemp("profile")) as found:
        yield found


def report(folder: Path, **changes: Any) -> Path:
    write_page(folder / "report.html", "report/run.html.jinja", **report_content() | changes)
    return folder / "report.html"


def diagnosis(folder: Path, **changes: Any) -> Path:
    content = diagnosis_content() | changes
    write_page(folder / "diagnosis.html", "diagnosis/diagnosis.html.jinja", **content)
    return folder / "diagnosis.html"


PAGES = [report, diagnosis]


def column(browser: Browser, table: str, number: int) -> list[str]:
    cells = f"[...{table}.tBodies[0].rows].map((row) => row.cells[{number}].textContent)"
    return browser.run(cells)


def click(browser: Browser, table: str, number: int) -> str | None:
    """Click on a header; returns its aria-sort."""
    header = f"{table}.tHead.rows[0].cells[{number}]"
    browser.run(f"{header}.querySelector('button').click()")
    return browser.run(f"{header}.getAttribute('aria-sort')")


def errors(browser: Browser) -> list[Any]:
    """What the browser refused or could not run since the page was opened."""
    names = ("Log.entryAdded", "Runtime.exceptionThrown")
    return [event["params"] for event in browser.events if event["method"] in names]


# --- tables


def test_a_click_sorts_numbers_and_text_and_a_third_click_gives_the_first_order(
    browser: Browser, tmp_path: Path
) -> None:
    table = "[...document.querySelectorAll('table')].at(-1)"
    browser.open(report(tmp_path, groups=[GroupTable("c", "place", ["MAE"], GROUPS)]))
    assert errors(browser) == []
    written = [name for name, _, _ in GROUPS]
    assert column(browser, table, 0) == written
    # numbers before text, text in natural order, a dash last; all by hand
    assert click(browser, table, 0) == "ascending"
    assert column(browser, table, 0) == ["-3", "-0.5", "1,234", "img2", "Img3", "img10", DASH]
    assert click(browser, table, 0) == "descending"
    assert column(browser, table, 0) == ["img10", "Img3", "img2", "1,234", "-0.5", "-3", DASH]
    assert click(browser, table, 0) is None
    assert column(browser, table, 0) == written
    # rows of equal numbers keep the order in which they were written
    assert click(browser, table, 1) == "ascending"
    assert column(browser, table, 1) == ["7", "7", "8", "9", "20", "1,234", "1,234"]
    assert column(browser, table, 0) == ["img2", "Img3", "-0.5", DASH, "-3", "img10", "1,234"]
    assert click(browser, table, 2) == "ascending"
    ascending = [f"{MINUS}0.5", f"1e{MINUS}05", "0.25", "0.25", "1000", "inf", DASH]
    assert column(browser, table, 2) == ascending
    assert click(browser, table, 2) == "descending"
    assert column(browser, table, 2) == [*ascending[-2::-1], DASH]
    assert browser.run(f"{table}.querySelectorAll('[aria-sort]').length") == 1


def test_the_mean_of_the_trainings_stays_below_them(browser: Browser, tmp_path: Path) -> None:
    each = {f"fold {i}": {**MODEL, "mae": mae} for i, mae in enumerate((0.5, 0.1, 0.3))}
    together = {"mean of these": {**MODEL, "mae": 0.3}, "std of these": {**MODEL, "mae": 0.2}}
    browser.open(report(tmp_path, members=[("each training", each, together)], groups=[]))
    table = "[...document.querySelectorAll('table')].at(-1)"
    click(browser, table, 1)
    assert column(browser, table, 0) == ["fold 1", "fold 2", "fold 0"]
    below = f"[...{table}.tFoot.rows].map((row) => row.cells[0].textContent)"
    assert browser.run(below) == list(together)
    assert browser.run(f"{table}.rows[{table}.rows.length - 1].cells[1].textContent") == "0.2"


@pytest.mark.parametrize("page", PAGES)
def test_every_table_is_sorted_with_the_keyboard(browser: Browser, tmp_path: Path, page) -> None:
    browser.open(page(tmp_path))
    count = browser.run("document.querySelectorAll('table').length")
    assert count > 0
    for number in range(count):
        header = f"document.querySelectorAll('table')[{number}].querySelectorAll('th')[1]"
        browser.run(f"{header}.querySelector('button').focus()")
        for key, sort in (("Enter", "ascending"), (" ", "descending"), ("Enter", None)):
            browser.press(key)
            assert browser.run(f"{header}.getAttribute('aria-sort')") == sort


def test_the_row_of_this_model_keeps_its_colour(browser: Browser, tmp_path: Path) -> None:
    browser.open(report(tmp_path))
    table = "document.querySelector('table')"
    click(browser, table, 0)
    assert column(browser, table, 0)[0] == "ridge"
    assert browser.run(f"{table}.querySelector('.own th').textContent") == "this model"


# --- pictures


def test_a_picture_opens_large_with_its_numbers_and_arrows_turn_pages(
    browser: Browser, tmp_path: Path
) -> None:
    browser.open(report(tmp_path), width=1000, height=700)
    viewer = "document.querySelector('dialog')"
    told = f"{viewer}.querySelector('.told').textContent.replace(/\\s+/g, ' ').trim()"
    source = f"{viewer}.querySelector('img').src"
    browser.run("document.querySelector('.worst button').focus()")
    browser.press("Enter")
    assert browser.run(f"{viewer}.open")
    assert browser.run(told) == "true 0.5, predicted 0.1235 0_cam_image_array_.jpg"
    assert browser.run(f"{source} === document.querySelector('.worst img').src")
    # 160 x 120 pixels fill the window but for the buttons and the text
    assert browser.run(f"{viewer}.querySelector('img').clientHeight") > 500
    for key, name in (("ArrowRight", "1_cam"), ("ArrowLeft", "0_cam"), ("ArrowLeft", "5_cam")):
        browser.press(key)
        assert name in browser.run(told)
    assert "cannot be shown" not in browser.run(told)
    browser.press("ArrowLeft")
    assert "The original cannot be shown: No such file." in browser.run(told)
    browser.press("Escape")
    assert not browser.run(f"{viewer}.open")
    # the keyboard goes on at the picture that was seen last; the one without a picture is skipped
    assert browser.run("document.activeElement.firstChild.alt") == "4_cam_image_array_.jpg"
    for close in (f"{viewer}.querySelector('img')", f"{viewer}.querySelector('[title=Close]')"):
        browser.run("document.querySelector('.worst button').click()")
        assert browser.run(f"{viewer}.open")
        browser.run(f"{close}.click()")
        assert not browser.run(f"{viewer}.open")


def test_plots_of_both_pages_open_too(browser: Browser, tmp_path: Path) -> None:
    for page in PAGES:
        browser.open(page(tmp_path))
        assert errors(browser) == []
        browser.run("document.querySelector('button.open > .plot').parentElement.click()")
        assert browser.run("document.querySelector('dialog').open")
        assert browser.run("document.querySelector('dialog img').naturalWidth") > 600


# --- what runs


def test_the_policy_names_the_hash_of_the_only_script(tmp_path: Path) -> None:
    for page in PAGES:
        text = page(tmp_path).read_text()
        [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
        hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        assert f"script-src 'sha256-{hashed}';" in policy
        assert policy.startswith("default-src 'none';")
        assert "<" not in hashed
        assert "</" not in script  # nothing in it can end it


def test_text_of_data_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    content = report_content()
    for attack in (ATTACK, IMAGE):
        facts = {attack: attack}
        page = report(
            tmp_path,
            title="safe",
            subtitle=attack,
            groups=[GroupTable(attack, attack, [attack], [(attack, 1, [1.0]), ("b", 2, [2.0])])],
            scores=[(attack, {attack: MODEL})],
            run_facts=facts,
            settings=facts,
            command=attack,
            stds={attack: 1.0},
            plots=[(attack, *content["plots"][0][1:])],
            worst=[(attack, attack, [WorstRow(attack, 0.0, 1.0, jpeg((1, 2, 3)), attack)] * 2)],
        )
        browser.open(page)
        browser.run("document.querySelector('.worst button').click()")
        browser.press("ArrowRight")
        browser.press("Escape")
        click(browser, "[...document.querySelectorAll('table')].at(-1)", 0)
        assert browser.run("document.title") == "safe · jaxreg"
        assert attack in browser.run("document.querySelector('.told').textContent")
        assert browser.run("document.scripts.length") == 1
        assert errors(browser) == []
        page = diagnosis(
            tmp_path, title="safe", columns={"heads": [attack], "lines": [(attack, [1.0])]},
            run_facts=facts, command=attack,
        )  # fmt: skip
        browser.open(page)
        assert browser.run("document.title") == "safe · jaxreg"


def test_another_script_in_the_page_is_refused(browser: Browser, tmp_path: Path) -> None:
    """The policy holds even if escaping would not."""
    page = report(tmp_path)
    page.write_text(page.read_text().replace("<main>", f"<main>{ATTACK}<p>{IMAGE}</p>", 1))
    browser.open(page)
    assert "hacked" not in browser.run("document.title")
    assert "Content Security Policy" in str(errors(browser))
    assert browser.run("document.querySelectorAll('button.sort').length") > 0


@pytest.mark.parametrize("page", PAGES)
def test_without_scripts_the_page_has_all_and_no_buttons(
    browser: Browser, tmp_path: Path, page
) -> None:
    browser.open(page(tmp_path), script=False)
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    found = {
        name: len(browser.call("DOM.querySelectorAll", nodeId=root, selector=name)["nodeIds"])
        for name in ("button", "dialog", "table", "main img")
    }
    assert (found["button"], found["dialog"]) == (0, 0)
    assert found["table"]
    assert found["main img"]


# --- how it looks


LONG = "a long name of a column with many words in it " * 3 + "x" * 120


@pytest.mark.parametrize("width", [400, 1280, 1900])
def test_nothing_is_wider_than_the_window(browser: Browser, tmp_path: Path, width: int) -> None:
    content = report_content()
    groups: list[tuple[str, int, list[float | None]]] = [(LONG, 1, [1.0]), ("b", 2, [2.0])]
    pages = [
        report(
            tmp_path,
            groups=[GroupTable(LONG, "place", ["this model", "ridge"], groups)],
            scores=[(LONG, {"this model": MODEL})],
            run_facts={LONG: LONG},
            plots=[(LONG, *content["plots"][0][1:])],
            worst=[(LONG, LONG, [WorstRow(LONG, 0.0, 1.0, jpeg((1, 2, 3)))])],
            stds={LONG: 1.0},
        ),
        diagnosis(tmp_path),
    ]
    for page in pages:
        browser.open(page, width=width)
        assert browser.run("document.documentElement.scrollWidth") == width
        inside = """[...document.querySelectorAll('figcaption, h1, h2, h3, p, dd, dt, th')]
            .filter((one) => !one.closest('dialog') && one.scrollWidth > one.clientWidth + 1)
            .map((one) => one.outerHTML.slice(0, 200))"""
        assert browser.run(inside) == []
    if width > 400:
        wider = (
            "[...document.querySelectorAll('.scroll')].some((o) => o.scrollWidth > o.clientWidth)"
        )
        assert not browser.run(wider)


def shot(browser: Browser, folder: Path) -> np.ndarray:
    browser.picture(folder / "shot.png")
    return np.asarray(Image.open(folder / "shot.png").convert("RGB")).astype(int)


@pytest.mark.parametrize("width", [1265, 1280])
def test_a_table_that_fits_has_no_shadow_at_its_edge(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    """At 1265 px the table ends inside a pixel, as it does beside a scroll bar at 1280 px."""
    browser.open(report(tmp_path), width=width)
    right, top = browser.run("""(({right, top}) => [Math.floor(right), Math.floor(top)])(
        document.querySelector('.scroll').getBoundingClientRect())""")
    edge = shot(browser, tmp_path)[top + 3 : top + 10, right - 4 : right + 3]
    assert (edge == 255).all()


LINES_OF_WORDS = """(() => {
      const walker = document.createTreeWalker(
        [...document.querySelectorAll('pre')].at(-1), NodeFilter.SHOW_TEXT)
      const found = {}
      while (walker.nextNode()) for (const word of walker.currentNode.data.matchAll(/\\S+/g)) {
        const range = document.createRange()
        range.setStart(walker.currentNode, word.index)
        range.setEnd(walker.currentNode, word.index + word[0].length)
        found[word[0]] = range.getClientRects().length
      }
      return found
    })()"""
"""Each word of the last command of a page, and on how many lines it stands."""


@pytest.mark.parametrize("page", PAGES)
def test_a_command_breaks_between_words_and_is_copied_as_it_is(
    browser: Browser, tmp_path: Path, page
) -> None:
    words = ["jaxreg", "train", *(f"--{'a' * n}-{'b' * n}" for n in range(2, 15)), "x" * 100]
    command = " ".join(words)
    browser.open(page(tmp_path, command=command), width=400)
    lines = browser.run(LINES_OF_WORDS)
    assert lines.pop("x" * 100) > 1  # it has no room on one line
    assert lines == dict.fromkeys(words[:-1], 1)
    copied = """(() => {
        getSelection().selectAllChildren([...document.querySelectorAll('pre')].at(-1))
        return getSelection().toString()
    })()"""
    assert browser.run(copied) == command


def test_plots_are_dark_in_dark_mode_and_light_on_paper(browser: Browser, tmp_path: Path) -> None:
    browser.scheme("dark")
    try:
        browser.open(report(tmp_path))
        box = browser.run("""(({left, top}) => [left + 3, top + 3])(
            document.querySelector('.plot').getBoundingClientRect())""")
        pixels = shot(browser, tmp_path)
        left, top = map(int, box)
        card = np.array([0x1E, 0x23, 0x29])
        assert np.abs(pixels[top, left] - card).max() <= 2  # the plot's paper is the card
        browser.call("Emulation.setEmulatedMedia", media="print",
                     features=[{"name": "prefers-color-scheme", "value": "dark"}])  # fmt: skip
        paper = shot(browser, tmp_path)
        assert (np.median(paper, axis=(0, 1)) == 255).all()
        assert browser.run("getComputedStyle(document.querySelector('.plot')).filter") == "none"
        arrow = "getComputedStyle(document.querySelectorAll('.sort')[1], '::before').content"
        assert browser.run(arrow) == "none"
        unfolded = "getComputedStyle(document.querySelector('.scroll')).overflowX"
        assert browser.run(unfolded) == "visible"
    finally:
        browser.call("Emulation.setEmulatedMedia", media="", features=[])


def test_a_page_is_printed_on_few_sheets(browser: Browser, tmp_path: Path) -> None:
    browser.open(report(tmp_path))
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF")
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", pdf)) < 8


def test_a_made_picture_is_what_it_says() -> None:
    """The size that the test of large pictures relies on."""
    assert Image.open(io.BytesIO(jpeg((1, 2, 3)))).size == (160, 120)
