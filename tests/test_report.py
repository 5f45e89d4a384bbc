"""Plots as pixels, and the page as a browser's parser sees it."""

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jaxreg.report import plots
from jaxreg.report.html_file import _steps, others, write_page
from jaxreg.report.run_content import GroupTable
from jaxreg.report.summary import MemberSummary, Summary, head_text
from jaxreg.report.worst_rows import WorstRow
from jaxreg.train_config import HeadConfig
from made_pages import (
    LABELS,
    MODEL,
    RIDGE,
    SUMMARY,
    history,
    jpeg,
    made_plots,
    report_content,
)

VOID = {"meta", "img", "br", "link", "hr", "input"}


@pytest.fixture
def report() -> dict[str, Any]:
    return report_content()


@pytest.fixture
def pictures() -> dict[str, bytes]:
    return made_plots()


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


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ([0.66], "blend: 66% ridge, the rest MLP 8 on 21 components"),
        ([1.0], "blend: 100% ridge; the MLP 8 on 21 components adds nothing"),
        ([0.9971], "blend: 99.71% ridge, the rest MLP 8 on 21 components"),
        (
            [1.0, 0.5],
            "blend: 100% for a, 50% for b ridge, the rest MLP 8 on 21 components; it adds nothing "
            "for a",
        ),
        (
            [1.0, 1.0],
            "blend: 100% for a, 100% for b ridge; the MLP 8 on 21 components adds nothing",
        ),
    ],
)
def test_a_blend_of_ridge_alone_says_that_the_mlp_adds_nothing(shares: list[float], text: str):
    config = HeadConfig(head="blend", hidden=(8,), components=21)
    summary = dataclasses.replace(SUMMARY, blend_share=shares)
    assert head_text(config, summary, ["a", "b"][: len(shares)]) == text


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
        if self.open[-1:] not in (["style"], ["script"]):
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
        "diagnosis.html . This command writes it: jaxreg diagnose ckpts/tub-3",
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
    assert "no picture" in page.text
    assert "Images with the largest errors" in page.text
    for source in sources:
        head, _, data = source.partition(";base64,")
        found = Image.open(io.BytesIO(base64.b64decode(data)))
        assert f"data:image/{(found.format or '').lower()}" == head
    assert all(image["alt"] for image in page.all("img"))
    assert {tag for tag, _ in page.elements}.isdisjoint({"link", "iframe"})
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
                    WorstRow(attack, 0.0, 1.0, jpeg((1, 2, 3)), attack),
                    WorstRow("\udcff.jpg", 0.0, 1.0, None),
                ],
            )
        ],
    }
    page = read(hostile, tmp_path)
    assert page.all("script") == [{}]  # the page's own
    # By hand: 2 title, subtitle, 3 of the headline, 2 of the scores, note, 4 of the finding, 2 of
    # the fact, 2 of the setting, 3 of the provenance, command, 4 of the groups, caption, 3 of the
    # worst rows, diagnose.
    assert page.text.count(attack) == 30
    attributes = {name for _, some in page.elements for name in some}
    assert attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "role",
                          "scope", "src", "alt", "href", "tabindex", "aria-label", "data-row",
                              "data-points", "data-pictures"}  # fmt: skip


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


# --- plots


def test_plots_are_the_same_bytes_for_the_same_numbers(pictures):
    assert plots.curves([history(60)], 48, LABELS) == pictures["curves"]
    assert plots.curves([history(60)], 47, LABELS) != pictures["curves"]
