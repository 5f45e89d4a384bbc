"""`jaxreg diagnose`: the active tests, the page, and images against the weights."""

import json
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import jaxreg
from faults.made import TUNING, photos, train
from jaxreg import diagnose
from jaxreg.backbone.norm_statistics import Mismatch
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.diagnosis import pictures, run_diagnosis, trials
from jaxreg.diagnosis.preprocess_match import compare
from jaxreg.diagnosis.subject import of_run
from jaxreg.errors import InputError
from jaxreg.report.html_file import write_page
from jaxreg.verdict.catalogue import CAUSES, PREPROCESSING
from jaxreg.verdict.short_training import STEPS, Bench
from made_pages import diagnosis_content
from typed import given

NAMES = {"overfit", "range", "gradients", "curve", "seeds", "columns", "noise"}


@pytest.fixture(scope="module")
def obs():
    return train(photos(TUNING, 100))


@pytest.fixture(scope="module")
def bench(obs) -> Bench:
    return trials.bench_of(obs)


def test_a_head_that_can_learns_64_rows_by_heart(bench: Bench) -> None:
    trial = trials.overfit(bench)
    assert trial.numbers["left"] < trials.LEARNED
    assert trial.answer.startswith("it can: in 400 steps")


@pytest.mark.slow
def test_a_head_that_cannot_says_so(obs) -> None:
    from dataclasses import replace

    relu = replace(obs, config=replace(obs.config, output_activation="relu"), y=obs.y - 10)
    assert trials.overfit(trials.bench_of(relu)).answer.startswith("it cannot: in 400 steps")


def test_the_range_test_finds_where_the_loss_falls_and_where_it_jumps(bench: Bench) -> None:
    trial = trials.range_test(bench)
    good, low = trial.numbers["good"], trial.numbers["lowest_at"]
    # rates of 1e-3 learn this data and rates of 1 do not: tests/faults
    assert 1e-5 < good < 3e-2
    assert good < low < 1
    assert len(trial.series["loss"]) == trials.STAGES * STEPS


def test_every_layer_has_a_gradient_and_a_ratio(bench: Bench) -> None:
    trial = trials.gradients(bench)
    assert len(trial.numbers["ratios"]) == len(bench.config.hidden) + 1
    assert min(trial.numbers["gradients"]) > 0
    assert "as it should be" in trial.answer


def test_a_gradient_is_that_of_the_first_step(bench: Bench) -> None:
    """Adam's first update is the rate times the gradient's sign (Kingma and Ba 2015, 2.1)."""
    import jax

    from jaxreg.head import mlp
    from jaxreg.head.rates import static_config
    from jaxreg.head.state import INIT, key_for

    key = key_for(jax.random.key_data(jax.random.key(bench.config.seed)), INIT)
    params = mlp.init(key, bench.x.shape[1], static_config(bench.config), 1)
    kernel = np.asarray(params["output"]["kernel"])
    moved = bench.config.learning_rate * np.sqrt(kernel.size)
    ratio = bench.run(gradients=True).ratios[0, -1]
    # units of the last hidden layer that are 0 for the whole batch get no gradient and no update
    assert 0.5 * moved < ratio * np.linalg.norm(kernel) <= 1.001 * moved


def test_the_noise_is_the_noise(obs) -> None:
    """A target of two columns with noise of std 0.5 has an MAE of 0.4 at best (√(2/π) σ)."""
    from dataclasses import replace

    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(obs.y), 4)).astype(np.float32)
    y = (x[:, :1] + 0.5 * rng.normal(size=(len(x), 1))).astype(np.float32)
    made = replace(obs, x=x[obs.sampled], y=y)
    made.__dict__["mae"] = 1.0
    assert given(trials.noise(made)).numbers["mae"] == pytest.approx(0.4, rel=0.25)


def test_the_best_column_is_named(obs) -> None:
    noise = np.random.default_rng(0).normal(size=obs.x.shape)
    trial = trials.columns(obs, ["a", "b"], {"a": noise, "b": obs.x}.__getitem__)
    assert trial is not None
    assert trial.answer.startswith("the best is b: ")


def test_a_single_column_gets_the_whole_command_that_adds_others(
    planted: Path, monkeypatch, capsys
) -> None:
    run = _train(planted, head="ridge")
    subject = of_run(run, None, lambda text: None)
    trial = trials.columns(subject.obs, [*subject.columns], subject.read, subject.more)
    assert trial is not None
    command = trial.remedy
    assert trial.answer.endswith("the feature set has no other")
    assert command.startswith("jaxreg extract planted.csv --name planted --cache ")
    assert command.endswith("--columns mixed10.avg mixed2.avg mixed5.avg")
    without = trials.columns(subject.obs, [*subject.columns], subject.read)
    assert without is not None
    assert without.remedy == ""
    monkeypatch.setattr(run_diagnosis, "_tests", lambda subject: [("columns", lambda: trial)])
    assert diagnose.main([str(run)]) == 0
    assert f"try: {command}" in capsys.readouterr().err.splitlines()
    assert command in Boxes((run / "diagnosis.html").read_text()).found


def test_every_command_of_a_page_stands_alone_in_its_box() -> None:
    """In the templates, no other element holds a command."""
    folder = Path(run_diagnosis.__file__).parent.parent
    for template in folder.rglob("*.jinja"):
        text = template.read_text()
        assert "<code>" not in text
        assert text.count("<pre>") == (template.name == "base.html.jinja")


def test_a_column_of_other_datasets_alone_is_passed_over(planted: Path) -> None:
    """The feature set is shared; here another dataset has put mixed2 into it."""
    run, cache = _train(planted, head="ridge"), Cache(planted)
    [feature_set] = cache.feature_sets()
    others = np.ones((3, 12), np.float32)
    cache.add(feature_set, Column(layer="mixed2"), ["a" * 64, "b" * 64, "c" * 64], others)
    subject = of_run(run, None, lambda text: None)
    trial = trials.columns(subject.obs, [*subject.columns], subject.read)
    assert trial is not None
    assert list(trial.numbers["mae"]) == ["identity.mixed10.avg"]


def test_a_ridge_is_not_tested_as_if_it_took_steps(planted: Path) -> None:
    run = _train(planted, head="ridge")
    done = run_diagnosis.diagnose(
        str(run), cache=None, ckpts=planted.parent, images=None, say=lambda text: None
    )
    assert set(done["tests"]) == {"columns", "noise"}


def test_every_cause_has_a_picture_and_every_test_too(obs) -> None:
    codes = {cause.picture: cause.code for cause in CAUSES if cause.picture}
    assert set(pictures.FINDINGS) == set(codes)
    assert PREPROCESSING.picture is None  # its test shows the numbers
    assert set(pictures.TRIALS) == NAMES
    for code in codes.values():
        picture = pictures.of_finding({"code": code}, obs)
        assert picture is None or picture.startswith(b"\x89PNG")


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


class Boxes(HTMLParser):
    """The text of each box of a page that holds a command."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        if tag == "pre":
            self._inside = True
            self.found.append("")

    def handle_endtag(self, tag) -> None:
        self._inside = self._inside and tag != "pre"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1] += data


QUICK = {"hidden": (16, 8), "epochs": 12, "learning_rate": 0.01}


def _train(planted: Path, **options) -> Path:
    ckpts = planted.parent / "ckpts"
    return jaxreg.train_head("planted", cache=planted, ckpts=ckpts, **{**QUICK, **options}).path


def test_a_run_gets_a_page_in_its_directory(planted: Path, capsys) -> None:
    run = _train(planted, output_activation="relu")
    assert diagnose.main([str(run), "--json"]) == 0
    out, err = capsys.readouterr()
    printed = json.loads(out.splitlines()[-1])
    assert printed["page"] == str(run / "diagnosis.html")
    assert set(printed["tests"]) == NAMES
    assert printed["verdict"]["findings"][0]["code"] == "output-bounded"
    assert err.splitlines()[-2].startswith(("not learning: MAE ", "learning, but held back: MAE "))
    page = Tags((run / "diagnosis.html").read_text())
    assert printed["verdict"]["findings"][0]["remedy"] in page.words
    sources = [attrs.get("src") or "" for tag, attrs in page.tags if tag == "img"]
    assert len(sources) >= len(NAMES) + 1
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe")]


@pytest.mark.slow
def test_a_dataset_gets_a_page_here(planted: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(planted.parent)
    assert diagnose.main(["planted"]) == 0
    assert (planted.parent / "diagnosis.html").exists()
    assert "diagnosis: diagnosis.html" in capsys.readouterr().err


def test_what_cannot_be_diagnosed_says_why(planted: Path) -> None:
    ckpts = ["--cache", str(planted), "--ckpts", str(planted.parent / "ckpts")]
    said = r"a run \(none is there\) or a dataset \(planted\)\n  try: jaxreg diagnose planted"
    with pytest.raises(InputError, match=rf"no run 'plantd' in .*\n  expected: {said}"):
        diagnose.main(["plantd", *ckpts])
    with pytest.raises(InputError, match="no run and no dataset to diagnose"):
        diagnose.main([])


def test_a_run_on_another_dataset_is_refused(planted: Path) -> None:
    from jaxreg.cache.datasets import read_dataset, write_dataset
    from jaxreg.cache.store import Cache

    run = _train(planted)
    dataset = read_dataset(Cache(planted), "planted")
    write_dataset(Cache(planted), dataset.rows(np.arange(200)))
    with pytest.raises(InputError, match=r"the dataset planted is not what .* was trained on"):
        diagnose.main([str(run)])


def test_names_are_text_and_never_tags(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "diagnosis/diagnosis.html.jinja", **diagnosis_content())
    page = Tags((tmp_path / "page.html").read_text())
    assert "Can it <learn>?" in page.words
    assert not [tag for tag, _ in page.tags if tag in ("learn", "b")]


SUBJECT = SimpleNamespace(
    obs=SimpleNamespace(learns=True),
    experiment=SimpleNamespace(
        dataset=SimpleNamespace(command_into=lambda recipe, preprocess: f"with {preprocess}")
    ),
)


def test_another_preprocessing_that_fits_is_named() -> None:
    gaps = {"keras": Mismatch(0.2, 0.1), "unit": Mismatch(0.5, 0.7)}
    unit, keras = (Recipe("random:0:v1", "random0", preprocess=name) for name in ("unit", "keras"))
    finding, trial = compare(unit, gaps, 64, SUBJECT)  # pyright: ignore[reportArgumentType]
    assert finding is not None
    assert (finding["code"], finding["severity"]) == ("preprocessing-mismatch", "warning")
    assert finding["remedy"] == "with keras"
    assert "keras fits" in trial.answer
    assert compare(keras, gaps, 64, SUBJECT)[0] is None  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
@pytest.mark.parametrize("used", ["keras", "unit"])
def test_preprocessing_is_measured_on_real_images_and_weights(
    tub: Path, trained_weights: Path, tmp_path: Path, capsys, used: Any
) -> None:
    cache, ckpts = tmp_path / "cache", tmp_path / "ckpts"
    jaxreg.extract_features(tub, name="tub", cache=cache, weights=str(trained_weights),
                            size=(96, 128), preprocess=used)  # fmt: skip
    run = jaxreg.train_head("tub", cache=cache, ckpts=ckpts, target=("user/angle",), epochs=20)
    assert diagnose.main([str(run.path), "--images", str(tub), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    codes = [finding["code"] for finding in printed["verdict"]["findings"]]
    # nsfwjs, where these weights are from, divides pixels by 255 (its README and `classify`)
    assert ("preprocessing-mismatch" in codes) is (used == "keras"), printed["tests"]["images"]
