"""Plots as pixels, and the page as a browser's parser sees it."""

import base64
import dataclasses
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxreg.report import plots
from jaxreg.report.page import _steps, others, write_page
from jaxreg.report.run_content import GroupTable, WorstRow
from jaxreg.report.summary import MemberSummary, Summary

VOID = {"meta", "img", "br", "link", "hr", "input"}


TARGETS = ("user/angle", "user/throttle")

LABELS = ("training", "validation")


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
def pictures(rng) -> dict[str, bytes]:
    """The three plots of a run."""
    true = rng.uniform(-1, 1, 400)
    predicted = 0.8 * true + rng.normal(0, 0.1, 400)
    split = rng.choice(["train", "validation", "left-out"], 400, p=[0.7, 0.25, 0.05])
    data = ("user/angle", true, predicted, split)
    return {
        "curves": plots.curves([history(60)], 48, LABELS),
        "predicted": plots.predicted_against_true(*data),
        "residuals": plots.residuals(*data),
    }


MODEL = {"mae": 0.11284, "rmse": 0.17, "r2": 0.7654, "spearman": 0.8812, "huber": 0.0143}


MEDIAN = {"mae": 0.30217, "rmse": 0.41, "r2": -0.04, "spearman": None, "huber": 0.0711}


MEAN = {"mae": 0.32, "rmse": 0.402, "r2": 0.0, "spearman": None, "huber": 0.0699}


RIDGE = {"mae": 0.1209, "rmse": 0.164, "r2": 0.78, "spearman": 0.87, "huber": 0.0131}


LINES = {"this model": MODEL, "ridge": RIDGE, "training median": MEDIAN, "training mean": MEAN}


SUMMARY = Summary(
    metrics=MODEL,
    test=MODEL,
    baselines={"mean": MEAN, "median": MEDIAN, "ridge": RIDGE},
    epochs=60,
    best_epoch=48,
    stopping_epoch_best=48,
    stopped_early=True,
    blend_share=None,
    by_target={TARGETS[0]: MODEL, TARGETS[1]: MEDIAN},
    members=None,
    members_mean=None,
    members_std=None,
    combined=None,
    dead=None,
    rows={"train": 12_760, "validation": 200, "test": 100, "left-out": 40},
    notes=["40 of 1000 rows lie beside a held-out block and were left out of training."],
    seconds={"load": 0.081, "compile": 3.4, "train": 21.25},
    verdict={
        "healthy": True,
        "headline": "learning: MAE 0.113, 63% below the median predictor (0.302)",
        "title": "learning: MAE 0.113, 63% below the median predictor (0.302)",
        "text": "",
        "remedy": "",
        "findings": [
            {
                "code": "inputs-unscaled",
                "severity": "warning",
                "evidence": "the features deviate by 0.0009",
                "remedy": "--scale-features",
            }
        ],
    },
    provenance={"versions": {"jax": "0.10.2", "flax": "0.12.8"}, "device": "cpu", "seed": 0},
)


@pytest.fixture
def report(pictures) -> dict[str, Any]:
    """What `write_report` gives to the template."""
    return {
        "title": "tub-3",
        "subtitle": "tub",
        "verdict": SUMMARY.verdict,
        "summary": SUMMARY,
        "findings": others(SUMMARY.verdict),
        "untrained": None,
        "scores": [
            ("user/angle, validation rows (200)", LINES),
            ("user/throttle, validation rows (200)", {"this model": MEDIAN}),
            ("all targets, test rows (100)", {"this model": MODEL, "training mean": MEAN}),
        ],
        "members": [],
        "trainings": "",
        "groups": [
            GroupTable(
                "validation rows: the MAE of 2 groups",
                "place",
                ["this model", "ridge"],
                [("brick", 26, [0.59, 0.6]), ("chelsea", 1_020, [0.19, None])],
            )
        ],
        "diagnose": "jaxreg diagnose ckpts/tub-3",
        "provenance": SUMMARY.provenance,
        "curves_caption": "Grey: training",
        "run_facts": {
            "dataset": "tub",
            "source": {"kind": "tub", "where": "data/tub", "rows": 1000},
            "split": "blocks:10",
            "head": "MLP 512-256-128-64",
        },
        "settings": {
            "hidden": (512, 256),
            "learning_rate": 1e-4,
            "scale_target": True,
            "run": None,
        },
        "command": "jaxreg train tub --target user/angle user/throttle",
        "stds": dict.fromkeys(("user/angle", "user/throttle"), 0.2),
        "worst": [
            (
                f"{name}, {side} rows",
                name,
                [
                    WorstRow(
                        f"{i}_cam_image_array_.jpg",
                        None if i == 3 else jpeg((20 * i, 120, 250 - 20 * i)),
                        0.5,
                        0.123456 + i,
                    )
                    for i in range(6)
                ],
            )
            for name, side in zip(TARGETS, ("validation", "test"), strict=True)
        ],
        "curves": pictures["curves"],
        "plots": [(name, pictures["predicted"], pictures["residuals"]) for name in TARGETS],
    }


def test_a_summary_survives_json():
    several = dataclasses.replace(
        SUMMARY,
        members=[
            MemberSummary(
                fold=fold, seed=3, metrics=MODEL, test=None, baselines=SUMMARY.baselines, epochs=60,
                best_epoch=48, stopping_epoch_best=48, stopped_early=True, blend_share=[0.25],
            )
            for fold in (None, 0)
        ],
        members_mean=MODEL,
        members_std=RIDGE,
    )  # fmt: skip
    assert several.members is not None
    assert [member.label for member in several.members] == ["seed 3", "fold 0, seed 3"]
    for summary in (SUMMARY, several):
        content = json.loads(json.dumps({"format": 2, **summary.to_json()}))
        assert Summary.from_json(content) == summary


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


def write(report: dict[str, Any], folder: Path) -> None:
    write_page(folder / "report.html", "report/run.html.jinja", **report)


def read(report: dict[str, Any], folder: Path) -> Page:
    write(report, folder)
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_page_says_everything(report, tmp_path):
    text = read(report, tmp_path).text
    for part in [
        "Learning: MAE 0.113, 63% below the median predictor (0.302).",
        "60 epochs, stopped early; scored with the weights of epoch 48.",
        "this model 0.1128 0.17 0.7654 0.8812 0.0143",
        "training median 0.3022 0.41 \N{MINUS SIGN}0.04 \N{EN DASH} 0.0711",
        "user/angle, validation rows (200)",
        "user/throttle, validation rows (200)",
        "all targets, test rows (100)",
        "Several targets have no common unit.",
        "kind: tub, where: data/tub, rows: 1000",
        "head MLP 512-256-128-64",
        "40 of 1000 rows lie beside",
        "warning: inputs-unscaled The features deviate by 0.0009. What to do: --scale-features",
        "user/throttle, test rows true 0.5, predicted 0.1235",
        "place rows this model ridge brick 26 0.59 0.6 chelsea 1,020 0.19 \N{EN DASH}",
        "diagnosis.html , which this command writes: jaxreg diagnose ckpts/tub-3",
        "5_cam_image_array_.jpg",
        "hidden 512 256",
        "learning_rate 0.0001",
        "scale_target yes",
        "load 0.081",
        "versions jax: 0.10.2, flax: 0.12.8",
        "jaxreg train tub --target user/angle user/throttle",
    ]:
        assert part in text
    assert "tub-3 · tub" in text
    assert "Random weights." not in text
    assert text.count("ridge") == 2  # only where it is scored


def test_best_of_each_metric_is_marked(report, tmp_path):
    write(report, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    # Angle: MAE and Spearman are the model's, the rest the ridge's. Throttle has one line, whose
    # Spearman is undefined. All targets: the model's.
    marked = re.findall(r'class="best">([^<]*)<', page)
    assert marked[:5] == ["0.1128", "0.8812", "0.164", "0.78", "0.0131"]
    assert marked[5:9] == ["0.3022", "0.41", "\N{MINUS SIGN}0.04", "0.0711"]
    assert marked[9:] == ["0.1128", "0.17", "0.7654", "0.8812", "0.0143"]


def test_pictures_are_embedded_and_nothing_is_fetched(report, tmp_path):
    page = read(report, tmp_path)
    sources = [image["src"] or "" for image in page.all("img")]
    assert len(sources) == 1 + 2 * 2 + 2 * 5
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
    summary = dataclasses.replace(
        SUMMARY,
        notes=[attack],
        provenance={attack: {attack: [attack]}},
        verdict={
            "healthy": True,
            **dict.fromkeys(("headline", "title", "text", "remedy"), attack),
            "findings": [
                {**dict.fromkeys(("code", "severity", "evidence"), attack), "remedy": f"1 {attack}"}
            ],
        },
    )
    hostile = report | {
        "title": attack,
        "subtitle": attack,
        "summary": summary,
        "verdict": summary.verdict,
        "findings": others(summary.verdict),
        "provenance": summary.provenance,
        "groups": [GroupTable(attack, attack, [attack], [(attack, 1, [1.0])])],
        "curves_caption": attack,
        "diagnose": attack,
        "run_facts": {attack: attack},
        "settings": {attack: attack},
        "command": attack,
        "plots": [(attack, *report["plots"][0][1:])],
        "scores": [(attack, {attack: MODEL})],
        "stds": {attack: 1.0},
        "worst": [
            (
                attack,
                attack,
                [
                    WorstRow(attack, jpeg((1, 2, 3)), 0.0, 1.0),
                    WorstRow("\udcff.jpg", None, 0.0, 1.0),
                ],
            )
        ],
    }
    page = read(hostile, tmp_path)
    assert page.all("script") == []
    # By hand: 2 title, subtitle, 3 of the headline, 2 of the scores, note, 4 of the finding, 2 of
    # the fact, 2 of the setting, 3 of the provenance, command, 4 of the groups, caption, 2 of the
    # worst rows, diagnose.
    assert page.text.count(attack) == 29
    attributes = {name for _, some in page.elements for name in some}
    assert attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "role",
                          "scope", "src", "alt", "href", "tabindex", "aria-label"}  # fmt: skip


def test_random_weights_and_bad_health_show(report, tmp_path):
    verdict = {**SUMMARY.verdict, "healthy": False}
    untrained = {"evidence": "they are random", "remedy": "jaxreg extract x"}
    page = read(report | {"untrained": untrained, "verdict": verdict}, tmp_path)
    assert "Random weights. They are random." in page.text
    assert page.all("header") == [{"class": "bad"}]


def test_page_of_a_head_without_epochs_and_pictures(report, tmp_path):
    bare = report | {
        "summary": dataclasses.replace(
            SUMMARY, epochs=0, best_epoch=None, stopped_early=False, by_target={"square": MODEL}
        ),
        "verdict": {**SUMMARY.verdict, "findings": []},
        "findings": [],
        "groups": [],
        "scores": [("validation rows (200)", {"this model": MODEL})],
        "curves": None,
        "plots": [],
        "worst": [],
    }
    page = read(bare, tmp_path)
    assert page.all("img") == []
    for absent in ("epoch", "Findings", "Several targets", "largest errors", "by group"):
        assert absent not in page.text


def test_the_first_error_stands_in_the_head_alone_and_its_command_once(report, tmp_path):
    """A title, a paragraph, a command: and no word of these again below."""
    command = "jaxreg train tub --output-activation linear"
    error = {"severity": "error", "remedy": command}
    verdict = {
        "healthy": False,
        "headline": "not learning: MAE 0.5",
        "title": "not learning: MAE 0.5",
        "text": "the output relu cannot go below 0",
        "remedy": command,
        "findings": [
            {**error, "code": "output-bounded", "evidence": "the output relu cannot go below 0"},
            {**error, "code": "dead-output", "evidence": "the output is 0"},
            {
                "severity": "note",
                "code": "random-weights",
                "evidence": "random",
                "remedy": "mixed4.x",
            },
        ],
    }
    page = read(report | {"verdict": verdict, "findings": others(verdict)}, tmp_path)
    for once in ("cannot go below 0", command, "error: output-bounded", "error: dead-output"):
        assert page.text.count(once) == 1, once
    assert "Not learning: MAE 0.5. error: output-bounded The output relu" in page.text
    assert "The output is 0. Use the command above for this too." in page.text
    assert "Other findings" in page.text


def test_words_of_a_remedy_are_no_command():
    then = "check that each image has its own target, then: jaxreg diagnose tub"
    assert _steps(then) == ("check that each image has its own target", "jaxreg diagnose tub")
    assert _steps("jaxreg train tub") == ("", "jaxreg train tub")
    assert _steps("look at the image of row 3") == ("look at the image of row 3", "")


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"needs one of {', '.join(names)}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 500])
def test_page_opens_in_a_browser_and_fits_its_width(report, tmp_path, width):
    write(report, tmp_path)
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


def test_plots_are_the_same_bytes_for_the_same_numbers(pictures):
    assert plots.curves([history(60)], 48, LABELS) == pictures["curves"]
    assert plots.curves([history(60)], 47, LABELS) != pictures["curves"]
