"""Plots as pixels, and the page as a browser's parser sees it."""

import base64
import dataclasses
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxreg.common.files import safe_name
from jaxreg.report import plots
from jaxreg.report.page import Report, write_report

VOID = {"meta", "img", "br", "link", "hr", "input"}
TARGETS = ("user/angle", "user/throttle")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def jpeg(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (160, 120), colour).save(file, "JPEG")
    return file.getvalue()


def history(epochs: int) -> dict[str, np.ndarray]:
    epoch = np.arange(1, epochs + 1)
    return {
        "epoch": epoch,
        "loss": 0.1 * np.exp(-epoch / 10) + 0.004,
        "val_loss": 0.08 * np.exp(-epoch / 12) + 0.009,
        "learning_rate": 1e-4 * 0.95 ** (epoch * 19 / 1000),
    }


@pytest.fixture
def pictures(tmp_path, rng) -> dict[str, bytes]:
    """The three kinds of picture, as the report takes them."""
    true = rng.uniform(-1, 1, 400)
    predicted = 0.8 * true + rng.normal(0, 0.1, 400)
    split = rng.choice(["train", "validation", "left-out"], 400, p=[0.7, 0.25, 0.05])
    plots.write_curves(tmp_path / "curves.png", [history(60)], 48)
    plots.write_predicted_against_true(
        tmp_path / "predicted.png", "user/angle", true, predicted, split
    )
    plots.write_residuals(tmp_path / "residuals.png", "user/angle", true, predicted, split)
    return {path.stem: path.read_bytes() for path in tmp_path.glob("*.png")}


@pytest.fixture
def report(pictures) -> Report:
    model = {"mae": 0.11284, "rmse": 0.17, "r2": 0.7654, "spearman": 0.8812, "huber": 0.0143}
    median = {"mae": 0.30217, "rmse": 0.41, "r2": -0.04, "spearman": None, "huber": 0.0711}
    mean = {"mae": 0.32, "rmse": 0.402, "r2": 0.0, "spearman": None, "huber": 0.0699}
    ridge = {"mae": 0.1209, "rmse": 0.164, "r2": 0.78, "spearman": 0.87, "huber": 0.0131}
    return Report(
        run="tub-3",
        headline="learning: MAE 0.113, 63% below the median predictor (0.302)",
        healthy=True,
        random_weights=False,
        scores={
            "validation": {"model": model, "mean": mean, "median": median, "ridge": ridge},
            "test": {"model": model, "mean": mean, "median": median, "ridge": None},
        },
        by_target={"validation": {TARGETS[0]: model, TARGETS[1]: median}},
        members={},
        dataset="tub",
        source={"kind": "tub", "where": "data/tub", "rows": 1000},
        rows={"train": 12_760, "validation": 200, "test": 100, "left-out": 40},
        split="blocks:10",
        notes=["40 of 1000 rows lie beside a held-out block and were left out of training."],
        feature_set="inception_v3-1f2e3d4c-299x299-0a1b2c3d",
        columns=["identity.mixed2.grid1x4", "mirror.mixed10.avg"],
        weights="1f2e3d4c (inception_v3_finetuned.weights.h5)",
        head="MLP 512-256-128-64",
        targets={TARGETS[0]: (-1.0, 0.98765), TARGETS[1]: (0.0, 1.0)},
        epochs=60,
        best_epoch=48,
        stopped_early=True,
        curves=pictures["curves"],
        predicted=dict.fromkeys(TARGETS, pictures["predicted"]),
        residuals=dict.fromkeys(TARGETS, pictures["residuals"]),
        worst=[
            (
                f"{i}_cam_image_array_.jpg",
                None if i == 3 else jpeg((20 * i, 120, 250 - 20 * i)),
                {TARGETS[0]: (-1.0, 0.61 - i / 30), TARGETS[1]: (0.5, 0.123456 + i)},
            )
            for i in range(12)
        ],
        findings=[
            {
                "code": "inputs-unscaled",
                "severity": "warning",
                "evidence": "the features deviate by 0.0009",
                "remedy": "--scale-features",
            }
        ],
        settings={"hidden": (512, 256), "learning_rate": 1e-4, "scale_target": True, "run": None},
        seconds={"load": 0.08123456, "compile": 3.4, "train": 21.25, "report": 0.9, "total": 25.7},
        provenance={"versions": {"jax": "0.10.2", "flax": "0.12.8"}, "device": "cpu", "seed": 0},
        command="jaxreg train tub --target user/angle user/throttle",
    )


class Page(HTMLParser):
    """Checks that every element is closed in turn; keeps text, elements and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(report: Report, folder: Path) -> Page:
    write_report(folder / "report.html", report)
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_page_says_everything(report, tmp_path):
    text = read(report, tmp_path).text
    for part in [
        "learning: MAE 0.113, 63% below the median predictor (0.302)",
        "60 epochs, stopped early; scored with the weights of epoch 48.",
        "this model 0.1128 0.17 0.7654 0.8812 0.0143",
        "training median 0.3022 0.41 \N{MINUS SIGN}0.04 \N{EN DASH} 0.0711",
        "validation rows (200)",
        "test rows (100)",
        "12,760 train, 200 validation, 100 test, 40 left-out",
        "kind: tub, where: data/tub, rows: 1000",
        "target user/angle from \N{MINUS SIGN}1 to 0.9877",
        "identity.mixed2.grid1x4, mirror.mixed10.avg",
        "head MLP 512-256-128-64",
        "40 of 1000 rows lie beside",
        "warning: inputs-unscaled the features deviate by 0.0009 Try: --scale-features",
        "user/throttle: true 0.5, predicted 0.1235",
        "11_cam_image_array_.jpg",
        "hidden 512 256",
        "learning_rate 0.0001",
        "scale_target yes",
        "load 0.08123",
        "versions jax: 0.10.2, flax: 0.12.8",
        "jaxreg train tub --target user/angle user/throttle",
    ]:
        assert part in text
    for value in (report.feature_set, report.weights, report.split, report.run):
        assert value in text
    assert "Random weights." not in text
    # Two tables of predictors (ridge only where it was scored), one by target.
    assert text.count("ridge") == 1


def test_best_of_each_metric_is_marked(report, tmp_path):
    write_report(tmp_path / "report.html", dataclasses.replace(report, by_target={}))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    # Validation: MAE and Spearman are the model's, the rest the ridge's; test: all the model's.
    marked = re.findall(r'class="best">([^<]*)<', page)
    assert marked[:5] == ["0.1128", "0.8812", "0.164", "0.78", "0.0131"]
    assert marked[5:] == ["0.1128", "0.17", "0.7654", "0.8812", "0.0143"]


def test_pictures_are_embedded_and_nothing_is_fetched(report, tmp_path):
    page = read(report, tmp_path)
    sources = [image["src"] or "" for image in page.all("img")]
    assert len(sources) == 1 + 2 * 2 + 11
    assert "no thumbnail" in page.text
    for source in sources:
        head, _, data = source.partition(";base64,")
        found = Image.open(io.BytesIO(base64.b64decode(data)))
        assert f"data:image/{(found.format or '').lower()}" == head
    assert all(image["alt"] for image in page.all("img"))
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe"})
    others = [value for tag, some in page.elements if tag != "img" for value in some.values()]
    style = "".join(re.findall(r"<style>.*?</style>", (tmp_path / "report.html").read_text(), re.S))
    assert not re.search(r"https?:|//", " ".join(v or "" for v in others))
    assert "url(" not in style
    assert "@import" not in style


def test_names_are_text_and_never_markup(report, tmp_path):
    attack = '<script>alert("1")</script>\'"&'
    hostile = dataclasses.replace(
        report,
        run=attack, headline=attack, dataset=attack, source=attack, feature_set=attack,
        command=attack,
        weights=attack, head=attack, split=attack, columns=[attack], notes=[attack],
        targets={attack: (0, 1)}, predicted={attack: report.curves},
        residuals={attack: report.curves},
        worst=[(attack, jpeg((1, 2, 3)), {attack: (0.0, 1.0)}), ("\udcff.jpg", None, {})],
        findings=[dict.fromkeys(("code", "severity", "evidence", "remedy"), attack)],
        settings={attack: attack}, provenance={attack: {attack: [attack]}},
    )  # fmt: skip
    page = read(hostile, tmp_path)
    assert page.all("script") == []
    # By hand: title, run, headline, 2 dataset, source, split, target, column, feature set,
    # weights, head, note, id, 4 of the finding, 2 of the setting, 3 of the provenance, command.
    assert page.text.count(attack) == 24
    attributes = {name for _, some in page.elements for name in some}
    assert attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "role",
                          "scope", "src", "alt"}  # fmt: skip


def test_random_weights_and_bad_health_show(report, tmp_path):
    page = read(dataclasses.replace(report, random_weights=True, healthy=False), tmp_path)
    assert "Random weights." in page.text
    assert page.all("header") == [{"class": "bad"}]


def test_page_of_a_head_without_epochs_and_pictures(report, tmp_path):
    bare = dataclasses.replace(
        report,
        epochs=None, best_epoch=None, stopped_early=False, curves=None, predicted={}, residuals={},
        worst=[], findings=[], seconds={}, healthy=None, targets={"square": (0.0, 81.0)},
    )  # fmt: skip
    page = read(bare, tmp_path)
    assert page.all("img") == []
    assert page.all("header") == [{"class": ""}]
    for absent in ("epoch", "Findings", "By target", "Seconds", "most wrong"):
        assert absent not in page.text


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"needs one of {', '.join(names)}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 500])
def test_page_opens_in_a_browser_and_fits_its_width(report, tmp_path, width):
    write_report(tmp_path / "report.html", report)
    picture = tmp_path / "page.png"
    subprocess.run(
        [
            chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},6000", f"--screenshot={picture}",
            (tmp_path / "report.html").as_uri(),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert pixels.shape[1] == width
    # The headline's left border is the colour of good health (light or dark scheme).
    near = [
        (np.abs(pixels - colour).sum(axis=-1) < 12).sum()
        for colour in ((0, 0x70, 0x4F), (0x4C, 0xCB, 0x9F))
    ]
    assert max(near) > 300
    # Nothing sticks out on the right: the last columns are the page's plain background.
    assert (pixels[:, -3:] == pixels[0, -1]).all()


# --- plots


def test_plots_are_the_same_bytes_for_the_same_numbers(pictures, tmp_path):
    plots.write_curves(tmp_path / "again.png", [history(60)], 48)
    assert (tmp_path / "again.png").read_bytes() == pictures["curves"]
    plots.write_curves(tmp_path / "again.png", [history(60)], 47)
    assert (tmp_path / "again.png").read_bytes() != pictures["curves"]


def ink(path: Path, colour: str) -> int:
    """How many pixels have just this colour."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(pixels - wanted).sum(axis=-1) < 6).sum())


def test_curves_mark_the_best_epoch_only_when_there_is_one(tmp_path):
    plots.write_curves(tmp_path / "with.png", [history(60)], 48)
    plots.write_curves(tmp_path / "without.png", [history(60)], None)
    assert ink(tmp_path / "with.png", plots.VERMILLION) > 200
    assert ink(tmp_path / "without.png", plots.VERMILLION) == 0
    assert ink(tmp_path / "without.png", plots.BLUE) > 1000


@pytest.mark.parametrize("epochs", [1, 3])
def test_curves_of_losses_that_are_not_finite(tmp_path, epochs):
    broken = {**history(epochs), "val_loss": np.full(epochs, np.nan), "loss": [np.inf] * epochs}
    plots.write_curves(tmp_path / "broken.png", [broken], None)
    whole = tmp_path / "whole.png"
    plots.write_curves(whole, [history(epochs)], None)
    assert ink(tmp_path / "broken.png", plots.BLUE) < ink(whole, plots.BLUE)


@pytest.mark.parametrize("draw", [plots.write_predicted_against_true, plots.write_residuals])
def test_scatter_survives_what_a_head_may_predict(draw, tmp_path, rng):
    true = rng.normal(size=50)
    split = np.array(["train", "validation"] * 25)
    for name, predicted in {
        "constant": np.zeros(50),
        "perfect": true.copy(),
        "broken": np.full(50, np.nan),
        "huge": np.where(np.arange(50) == 7, 1e30, true),
    }.items():
        draw(tmp_path / f"{name}.png", "a$b 温度", true, predicted, split)
        drawn = ink(tmp_path / f"{name}.png", plots.BLUE)
        assert (drawn > 0) == (name != "broken")
    draw(tmp_path / "one.png", "x", np.ones(1), np.ones(1), np.array(["validation"]))


def test_one_huge_prediction_does_not_hide_the_others(tmp_path, rng):
    true = rng.uniform(-1, 1, 300)
    split = np.full(300, "validation")
    spread = []
    for last in (0.5, 1e6):
        predicted = np.append(true[:-1], last)
        path = tmp_path / f"{last}.png"
        plots.write_predicted_against_true(path, "x", true, predicted, split)
        spread.append(ink(path, plots.BLUE))
    assert spread[1] > 0.1 * spread[0]


def test_many_rows_still_show_where_most_are(tmp_path, rng):
    true = rng.normal(size=100_000)
    predicted = true + rng.normal(size=100_000)
    path = tmp_path / "many.png"
    plots.write_predicted_against_true(path, "x", true, predicted, np.full(100_000, "validation"))
    grey = np.asarray(Image.open(path).convert("L")).astype(float)
    height, width = grey.shape
    middle = grey[height // 2 - 40 : height // 2 + 40, width // 2 - 40 : width // 2 + 40]
    third = grey[height // 3 - 40 : height // 3 + 40, width // 3 - 40 : width // 3 + 40]
    assert middle.mean() < third.mean() - 30  # dense in the middle, thin off the line


def test_file_names():
    assert safe_name("user/angle") == "user-angle"
    assert safe_name("../../etc/passwd") == "etc-passwd"
    assert safe_name("..") == "unnamed"
    assert safe_name("Größe (mm)") == "Größe-mm"
    assert len(safe_name("x" * 500)) == 80
    assert plots.safe_names(["user/angle", "user-angle", "User angle", "b"]) == {
        "user/angle": "user-angle",
        "user-angle": "user-angle-2",
        "User angle": "User-angle-3",
        "b": "b",
    }
