"""The dots of predicted against true, in a browser: mouse, keyboard, finger, hostile words."""

import base64
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser import Browser, started
from jaxreg.report import point_pictures, prediction_plots
from jaxreg.report.html_file import write_page
from jaxreg.report.label_errors import ShownRow, ShownSuspect, SuspectTable
from jaxreg.report.plots import BLUE
from jaxreg.report.worst_rows import WorstRow
from jaxreg.target_types import TargetType
from made_pages import jpeg, report_content

ATTACK = "</script><script>document.title = 'hacked'</script>"
IMAGE = "\"'><img src=x onerror=\"document.title = 'hacked'\">"
TARGET = "y"
DOTS = [(-1.0, 0.8), (0.5, 0.0), (0.9, 1.0), (-0.5, -0.45)]  # by error, the largest first


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    with started(tmp_path_factory.mktemp("profile")) as found:
        yield found


def chart_of(true: np.ndarray, predicted: np.ndarray, **options: Any) -> prediction_plots.Chart:
    split = np.full(len(true), "validation")
    return prediction_plots.predicted_against_true(TARGET, true, predicted, split, **options)


def page(folder: Path, names: tuple[str, ...] = ("a", "b", "c", "d"), **changes: Any) -> Path:
    """A page with four dots. The thumbnail of a is red; that of b stands elsewhere, and is blue."""
    true, predicted = np.array(DOTS).T
    chart = chart_of(true, predicted)
    lines = [
        [*place, row, 1, f"{true[row]}", f"{predicted[row]}", names[row]]
        for row, place in enumerate(chart.places(true, predicted).tolist())
    ]
    thumbnail = base64.b64encode(jpeg((250, 0, 0))).decode()
    content = report_content() | {
        "plots": [(TARGET, chart.png, report_content()["plots"][0][2])],
        "points": {TARGET: json.dumps({"sides": ["train", "validation", "test"], "points": lines})},
        "pictures": json.dumps({"0": thumbnail}),
        "stds": {TARGET: 1.0},
        "worst": [("validation rows", TARGET, [WorstRow("b", 0, 1, jpeg((0, 0, 250)), row=1)])],
    }
    write_page(folder / "report.html", "report/run.html.jinja", **content | changes)
    return folder / "report.html"


def place_of(browser: Browser, dot: int) -> dict[str, float]:
    """Where a dot is in the window, after its chart has been scrolled into view."""
    x, y = browser.run(f"""(() => {{
        const chart = document.querySelector('.chart')
        chart.scrollIntoView({{ block: 'center' }})
        const [x, y] = JSON.parse(chart.dataset.points).points[{dot}]
        const box = chart.querySelector('img').getBoundingClientRect()
        return [box.left + x * box.width, box.top + y * box.height]
    }})()""")
    return {"x": x, "y": y}


def move(browser: Browser, x: float, y: float) -> None:
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


def tap(browser: Browser, x: float, y: float) -> None:
    # the click of a tap follows it, on a busy machine late
    browser.run("""void (window.clicked = new Promise((done) => {
        addEventListener('click', () => setTimeout(done), { capture: true, once: true })
    }))""")
    for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
        browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    browser.run("Promise.race([clicked, new Promise((done) => setTimeout(done, 5000))])")


def told(browser: Browser) -> list[str] | None:
    """The lines beside the dot; None where none is shown."""
    return browser.run("""(() => {
        const box = document.querySelector('.chart .dot')
        return box.hidden ? null : [...box.querySelectorAll('div')].map((one) => one.textContent)
    })()""")


def colour(browser: Browser) -> list[int] | None:
    """The colour of the picture beside the dot."""
    return browser.run("""(async () => {
        const image = document.querySelector('.chart .dot img')
        if (!image) return null
        await image.decode()
        const canvas = document.createElement('canvas').getContext('2d')
        canvas.drawImage(image, 0, 0)
        return [...canvas.getImageData(5, 5, 1, 1).data].slice(0, 3)
    })()""")


LINES = [
    ["true -1.0", "predicted 0.8", "validation", "a"],
    ["true 0.5", "predicted 0.0", "validation", "b"],
    ["true 0.9", "predicted 1.0", "validation", "c"],
    ["true -0.5", "predicted -0.45", "validation", "d"],
]


def errors(browser: Browser) -> list[Any]:
    names = ("Log.entryAdded", "Runtime.exceptionThrown")
    return [event["params"] for event in browser.events if event["method"] in names]


@pytest.mark.parametrize("width", [400, 1100])
def test_the_mouse_shows_the_row_of_a_dot_and_its_picture(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    browser.open(page(tmp_path), width=width)
    assert errors(browser) == []
    assert told(browser) is None
    for dot, lines in enumerate(LINES):
        move(browser, **place_of(browser, dot))
        assert told(browser) == lines
        box = browser.run("""(({left, right}) => [left, right])(
            document.querySelector('.chart .dot').getBoundingClientRect())""")
        assert 0 <= box[0] < box[1] <= width
        shown = colour(browser)
        assert (shown is not None) == (dot < 2)
        if shown is not None:
            strong, weak = shown[2 * dot], shown[2 - 2 * dot]  # red, then blue
            assert strong > 200 > 50 > weak
    assert browser.run("document.documentElement.scrollWidth") == width
    middle = place_of(browser, 0)
    move(browser, 0, middle["y"])
    assert told(browser) is None


def test_a_click_still_opens_the_large_picture(browser: Browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path))
    at = place_of(browser, 1)
    move(browser, **at)
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)
    assert browser.run("document.querySelector('dialog').open")
    browser.press("Escape")
    assert not browser.run("document.querySelector('dialog').open")


def test_arrow_keys_go_through_the_dots(browser: Browser, tmp_path: Path) -> None:
    browser.open(page(tmp_path))
    move(browser, 0, 0)
    browser.run("document.querySelector('h2').scrollIntoView()")
    browser.press("Tab")
    browser.run("document.querySelector('.chart button').focus()")
    assert told(browser) == LINES[0]
    for key, number in (
        ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowLeft", 0), ("ArrowLeft", 3),
        ("ArrowRight", 0),
    ):  # fmt: skip
        browser.press(key)
        assert told(browser) == LINES[number]
    assert browser.run("document.querySelector('.chart .dot').getAttribute('role')") == "status"
    browser.press("Escape")
    assert told(browser) is None
    browser.press("ArrowRight")
    browser.run("document.activeElement.blur()")
    assert told(browser) is None


def test_a_finger_shows_a_row_and_beside_the_dots_opens_the_picture(
    browser: Browser, tmp_path: Path
) -> None:
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        browser.open(page(tmp_path), width=400, height=800)
        for dot in (2, 0):
            tap(browser, **place_of(browser, dot))
            assert told(browser) == LINES[dot]
            assert not browser.run("document.querySelector('dialog').open")
        at = place_of(browser, 1)
        tap(browser, at["x"], at["y"] + 60)
        assert told(browser) is None
        assert browser.run("document.querySelector('dialog').open")
    finally:
        browser.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_hostile_words_stay_words(browser: Browser, tmp_path: Path) -> None:
    for attack in (ATTACK, IMAGE):
        row = ShownRow(3, attack, 1.0, jpeg((1, 2, 3)))
        suspects = [SuspectTable(attack, TARGET, attack, [ShownSuspect(row, 0.5, 0.1, [row] * 3)])]
        browser.open(page(tmp_path, (attack,) * 4, suspects=suspects, title="safe"))
        for dot in range(4):
            move(browser, **place_of(browser, dot))
            shown = told(browser)
            assert shown is not None
            assert shown[-1] == attack
        assert attack in browser.run("document.querySelector('.suspect').textContent")
        assert browser.run("document.title") == "safe · jaxreg"
        assert browser.run("document.scripts.length") == 1
        assert errors(browser) == []


def test_a_page_without_dots_and_without_scripts_has_its_plots(
    browser: Browser, tmp_path: Path
) -> None:
    none = json.dumps({"sides": [], "points": []})
    for points in ({}, {TARGET: none}):
        browser.open(page(tmp_path, points=points))
        assert errors(browser) == []
        assert browser.run("document.querySelectorAll('.chart .dot').length") == 0
        assert browser.run("document.querySelector('.chart img').naturalWidth") > 600
    browser.open(page(tmp_path), script=False)
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    found = browser.call("DOM.querySelectorAll", nodeId=root, selector=".chart img, .chart .dot")
    assert len(found["nodeIds"]) == 1


@pytest.mark.parametrize("kind", ["plain", "circular:360"])
def test_the_places_of_dots_are_where_they_are_drawn(kind: str) -> None:
    """A single blue dot on the plot; the one of the legend is above the axes."""
    for true, predicted in ((40.0, 300.0), (350.0, 10.0), (180.0, 170.0)):
        ends = np.array([0.0, 359.0])  # training rows, in grey, that keep the axes as they are
        y, told_y = np.append(ends, true), np.append(ends, predicted)
        split = np.array(["train", "train", "validation"])
        typed = TargetType.parse(kind)
        chart = prediction_plots.predicted_against_true(TARGET, y, told_y, split, typed)
        pixels = np.asarray(Image.open(io.BytesIO(chart.png)).convert("RGB")).astype(int)
        blue = [int(BLUE[i : i + 2], 16) for i in (1, 3, 5)]
        down, across = np.nonzero(np.abs(pixels - blue).sum(axis=-1) < 120)
        inside = down > chart.top * len(pixels)
        found = np.array([across[inside].mean(), down[inside].mean()])
        [place] = chart.places(np.array([true]), np.array([predicted]))
        expected = place * [pixels.shape[1], pixels.shape[0]]
        assert np.abs(found - expected).max() < 2


def chosen(targets: int = 1, rows: int = 240) -> tuple[Any, Any, list[point_pictures.Points]]:
    """The points of made predictions: rows 0 to 99 trained, the others are held out."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(rows, targets))
    predictions = y + rng.normal(size=(rows, targets))
    predictions[150, 0] = np.nan
    labels = np.array(["train"] * 100 + ["validation"] * (rows - 140) + ["test"] * 40)
    labels[5] = "left-out"
    experiment: Any = SimpleNamespace(
        targets=[f"t{i}" for i in range(targets)],
        types=[TargetType()] * targets,
        split=SimpleNamespace(labels=labels),
    )
    made: Any = SimpleNamespace(y=y, predictions=predictions)
    return experiment, made, point_pictures.choose_points(experiment, made)


def test_the_dots_that_answer_are_held_out_rows_first_by_their_errors() -> None:
    _, made, [points] = chosen()
    error = np.abs(made.predictions - made.y)[:, 0]
    held_out = [row for row in range(100, 240) if row != 150]
    trained = [row for row in range(100) if row != 5]
    by_error = [sorted(side, key=lambda row: -error[row]) for side in (held_out, trained)]
    assert points.rows.tolist() == [*by_error[0], *by_error[1]]
    assert sorted(points.pictured.tolist()) == held_out


def test_of_many_dots_half_have_the_largest_errors_and_half_are_spread(monkeypatch) -> None:
    monkeypatch.setattr(point_pictures, "POINTS", 60)
    monkeypatch.setattr(point_pictures, "PICTURES", 20)
    _, made, both = chosen(2)
    for number, points in enumerate(both):
        error, y = np.abs(made.predictions - made.y)[:, number], made.y[:, number]
        assert len(points.rows) == len(set(points.rows.tolist())) == 30
        largest = sorted(range(100, 240), key=lambda row: -np.nan_to_num(error[row]))
        assert set(largest[:15]) <= set(points.rows.tolist())
        assert len(points.pictured) == 10
        assert points.pictured[::2].tolist() == largest[:5]
        others = y[points.pictured[1::2]]
        assert (np.diff(others) > 0).all()
        assert others[0] == y[points.rows[np.isin(points.rows, largest[5:])]].min()


def test_each_picture_is_small_and_all_have_a_limit(monkeypatch) -> None:
    jpegs = {row: jpeg((row, 0, 255 - row)) for row in range(240) if row != 120}
    jpegs[121] = b"damaged"
    pictures: Any = SimpleNamespace(thumbnail=jpegs.get)
    _, _, both = chosen()
    every = set(both[0].pictured.tolist())
    found = json.loads(point_pictures.pictures_json(both, pictures, {101, 130}))
    assert set(map(int, found)) == every - {101, 120, 121, 130}
    shown = Image.open(io.BytesIO(base64.b64decode(found["200"])))
    assert shown.size == (96, 72)
    assert np.abs(np.asarray(shown)[36, 48].astype(int) - [200, 0, 55]).max() < 8
    sizes = [len(base64.b64decode(one)) for one in found.values()]
    monkeypatch.setattr(point_pictures, "BYTES", 4 * max(sizes))
    few = json.loads(point_pictures.pictures_json(both, pictures, ()))
    wanted = [row for row in both[0].pictured.tolist() if row not in (120, 121)]
    assert [int(row) for row in few][:4] == wanted[:4]
    assert sum(len(base64.b64decode(one)) for one in few.values()) <= 4 * max(sizes)
