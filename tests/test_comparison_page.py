"""The page of `jaxreg runs --html` in a browser: it sorts, fits, runs no foreign code."""

import json
import os
import re
import runpy
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from browser import Browser, started
from conftest import make_planted
from jaxreg import runs
from planted_runs import run_quick, with_column

changed_run = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "runs.py"))[
    "changed_run"
]
ATTACK = "</title><script>document.title = 'hacked'</script>"
IMAGE = "\"'><img src=x onerror=\"document.title = 'hacked'\">"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    with started(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = make_planted(tmp_path_factory.mktemp("first"))
    return run_quick(cache, run="first", head="ridge", folds=5, split="blocks:10").path


def with_error(run: Path, error: float) -> pa.Table:
    table = pq.read_table(run / "predictions.parquet")
    sign = np.where(np.arange(240) % 2, error, -error)
    told = table["target.angle"].to_numpy() + sign
    return with_column(table, "prediction.angle", pa.array(told.astype(np.float32)))


def page_of(folder: Path, page: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert runs.main([str(folder), "--html", str(page)]) == 0
    capsys.readouterr()
    return page


def problems(browser: Browser) -> list[Any]:
    names = ("Log.entryAdded", "Runtime.exceptionThrown")
    return [event["params"] for event in browser.events if event["method"] in names]


def column(browser: Browser, number: int) -> list[str]:
    rows = "[...document.querySelector('table').tBodies[0].rows]"
    return browser.run(f"{rows}.map((row) => row.cells[{number}].textContent.trim())")


def test_a_click_sorts_by_the_number_of_a_cell_and_a_name_leads_to_its_report(
    browser: Browser, first: Path, tmp_path: Path, capsys
) -> None:
    errors = {"b": 0.5, "c 100%#": 0.1, "a": 12.0, "d": 0.02}
    for name, error in errors.items():
        path = changed_run(first, tmp_path / "runs" / name, predictions=with_error(first, error))
        (path / "report.html").write_text("<title>report</title>")
    page = page_of(tmp_path / "runs", tmp_path / "pages" / "all.html", capsys)
    browser.open(page)
    assert problems(browser) == []
    order = sorted(errors, key=errors.__getitem__)
    assert column(browser, 0) == order
    heads = browser.run("[...document.querySelectorAll('th[scope=col]')].map((h) => h.textContent)")
    for name, expected in (
        ("run", sorted(errors)),
        ("95% interval", order),
        ("MAE less the best", order),
        ("R²", order[::-1]),
    ):
        click = f"document.querySelectorAll('th[scope=col] button')[{heads.index(name)}].click()"
        browser.run(click)
        assert column(browser, 0) == expected, name
        browser.run(click)
        assert column(browser, 0) == expected[::-1], name
    links = re.findall(r'<th scope="row"><a href="([^"]+)">', page.read_text())
    found = [os.path.normpath(page.parent / unquote(link)) for link in links]
    assert found == [str(tmp_path / "runs" / name / "report.html") for name in order]
    # the picture by hand: 80 of 240 rows, each third one
    shown = browser.run("document.querySelector('.thumb path').getAttribute('d')")
    assert shown.count("M") == 80


def test_names_of_others_run_nothing(browser: Browser, first: Path, tmp_path: Path, capsys) -> None:
    table = with_error(first, 0.1)
    names = [name.replace("angle", IMAGE) for name in table.column_names]
    hostile = {"target": [IMAGE], "columns": [ATTACK], "head": ATTACK, "split": f"blocks:{IMAGE}"}
    folder = tmp_path / "runs"
    changed_run(
        first,
        folder / IMAGE.replace("/", ""),
        predictions=table.rename_columns(names),
        settings=hostile,
        config={"dataset": ATTACK},
    )
    changed_run(first, folder / "other")
    broken = folder / "<b>broken"
    broken.mkdir()
    (broken / "config.json").write_text('{"format": "<script>"}')
    page = page_of(folder, tmp_path / "runs.html", capsys)
    browser.open(page)
    assert problems(browser) == []
    assert browser.run("document.title") == "Runs · jaxreg"
    assert browser.run("document.querySelectorAll('main img, main b, main script').length") == 0
    assert ATTACK in browser.run("document.body.textContent")
    text = page.read_text()
    assert not re.search(r"(src|href)=\"?(https?:|//)", text)
    assert "<b>broken is left out" in browser.run("document.body.textContent")


@pytest.mark.parametrize("width", [1100, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits(
    browser: Browser, first: Path, tmp_path: Path, capsys, width: int, scheme: str
) -> None:
    long = "a-very-long-name-of-a-run-" * 6
    changed_run(first, tmp_path / "runs" / long, predictions=with_error(first, 0.1))
    changed_run(first, tmp_path / "runs" / "b", config={"dataset": "d" * 70})
    columns = {"columns": [f"identity.mixed{n}.grid2x4" for n in range(11)]}
    changed_run(first, tmp_path / "runs" / "c", settings=columns)
    page = page_of(tmp_path / "runs", tmp_path / "runs.html", capsys)
    browser.scheme(scheme)
    browser.open(page, width=width)
    browser.scheme("")
    assert browser.run("document.documentElement.scrollWidth") <= width
    sizes = browser.run(
        "[...document.querySelectorAll('.thumb, .whisker')].map((one) => one.clientWidth)"
    )
    assert len(sizes) == 6
    assert min(sizes) > 40


def test_a_page_without_runs_says_so(browser: Browser, tmp_path: Path, capsys) -> None:
    (tmp_path / "runs").mkdir()
    browser.open(page_of(tmp_path / "runs", tmp_path / "runs.html", capsys))
    assert "No finished run" in browser.run("document.querySelector('h1').textContent")


def test_the_title_says_that_the_best_run_is_not_healthy_and_many_columns_are_short(
    first: Path, tmp_path: Path, capsys
) -> None:
    verdict = json.loads((first / "summary.json").read_text())["verdict"]
    columns = [f"identity.mixed{n}.grid2x4" for n in range(6)]
    changed_run(
        first,
        tmp_path / "runs" / "bad",
        summary={"verdict": {**verdict, "healthy": False}},
        settings={"columns": columns},
    )
    text = page_of(tmp_path / "runs", tmp_path / "runs.html", capsys).read_text()
    title = re.search("<h1>(.*)</h1>", text)
    assert title is not None
    assert title[1].endswith("median predictor, but it is not healthy.")
    assert ">mixed0.grid2x4 mixed1.grid2x4 mixed2.grid2x4 and 3 more<" in text
