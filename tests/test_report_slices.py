"""The slices of a run, from its files to its page, and the error over time."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import linregress

from browser import started
from evaluated import rows_of, train
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.experiment.arrays import load_experiment
from jaxreg.experiment.resolve import resolve
from jaxreg.report.error_over_time import TargetCharts, TimeChart, moving_mean
from jaxreg.report.html_file import write_page
from jaxreg.report.run_intervals import Measured
from jaxreg.report.run_predictions import RunPredictions
from jaxreg.report.run_slices import RunSlice, slice_run
from jaxreg.report.slice_tables import SliceLine, SliceTable, worst_lines
from jaxreg.report.summary import Summary
from jaxreg.target_types import PLAIN, difference
from jaxreg.train import _slices_lines
from jaxreg.trained_run import TrainedRun
from made_pages import made_plots, report_content
from planted_runs import edit_dataset, run_quick

ATTACK = "</strong><script>document.title = 'hacked'</script>\"'&"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """A ridge with folds of drives, three targets of which one is an angle, and weights."""
    return train(
        tmp_path_factory.mktemp("slices"), "sliced", folds=4, weight_column="weight",
        target=("y", "speed", "heading"), target_type=("plain", "plain", "circular:360"),
    )  # fmt: skip


def picture_size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        return image.size


def page_of(run: TrainedRun) -> str:
    return (run.path / "report.html").read_text()


def test_the_summary_has_the_errors_that_pandas_has(run: TrainedRun) -> None:
    table: Any = run.predictions.to_pandas()
    columns = rows_of(1)[1]
    table["weather"], table["weight"] = columns["weather"], columns["weight"]
    kinds = dict(zip(run.targets, run.types, strict=True))
    found: Any = pd.DataFrame(run.summary["slices"])
    assert set(found["by"]) == {"target", "group", "weather", "fold", "weight"}
    for (name, by), own in found.groupby(["target", "by"]):
        column = {"group": "unit", "target": None}.get(str(by), by)
        pair = table[[f"prediction.{name}"]].to_numpy(), table[[f"target.{name}"]].to_numpy()
        error: Any = pd.Series(difference([kinds[str(name)]], *pair)[:, 0])
        if column is None:
            assert own["rows"].sum() == len(table)
            continue
        groups = error.abs().groupby(table[column].astype(str))
        lines = own.set_index("value")
        assert lines["rows"].to_dict() == groups.count().to_dict()
        assert lines["mae"].to_dict() == pytest.approx(groups.mean().to_dict())
        times = groups.mean() / error.abs().mean()
        assert lines["times"].to_dict() == pytest.approx(times.to_dict())
        total, counts = error.abs().sum(), groups.count()
        rest = (total - groups.sum()) / (len(table) - counts)
        assert lines["rest_mae"].to_dict() == pytest.approx(rest.to_dict())
        weighted = (error.abs() * table["weight"]).groupby(table[column].astype(str)).sum()
        weighted /= table["weight"].groupby(table[column].astype(str)).sum()
        assert lines["weighted_mae"].to_dict() == pytest.approx(weighted.to_dict())
    assert found["times"].is_monotonic_decreasing


def test_coverage_by_group_is_that_of_the_intervals(run: TrainedRun) -> None:
    """The table of units measures the same rows in another way."""
    for name in run.targets:
        lines = {one["value"]: one for one in run.summary["slices"]
                 if (one["target"], one["by"]) == (name, "group")}  # fmt: skip
        worst = run.summary["intervals"]["by_target"][name]["worst_unit"]
        assert lines[worst["unit"]]["coverage"] == pytest.approx(worst["coverage"])
        assert min(one["coverage"] for one in lines.values()) == pytest.approx(worst["coverage"])
        mean = np.mean([one["coverage"] for one in lines.values()])
        its = run.summary["intervals"]["by_target"][name]["coverage"]
        assert mean == pytest.approx(its)


def test_the_slope_is_that_of_scipy_and_an_angle_has_none(run: TrainedRun) -> None:
    table: Any = run.predictions.to_pandas()
    slopes = run.summary["slope"]
    for name in ("y", "speed"):
        fitted: Any = linregress(table[f"target.{name}"], table[f"prediction.{name}"])
        expected = fitted.slope
        assert slopes[name]["slope"] == pytest.approx(expected)
        assert slopes[name]["low"] < expected < slopes[name]["high"]
        assert slopes[name]["units"] == 12
    assert slopes["heading"] is None


def test_a_planted_bad_group_is_named_in_the_terminal_and_on_the_page(tmp_path: Path) -> None:
    import evaluated

    usual = evaluated.rows_of

    def with_noise(seed: int) -> Any:
        x, columns = usual(seed)
        noise = np.random.default_rng(3).normal(0, 3, len(x))
        columns["y"] = columns["y"] + np.where(np.array(columns["drive"]) == "1-5", noise, 0)
        return x, columns

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluated, "rows_of", with_noise)
        run = train(tmp_path, "bad", folds=4)
    (worst,) = run.summary["worst_slices"]
    assert (worst["by"], worst["value"], worst["rows"]) == ("group", "1-5", 20)
    assert worst["mae"] > 3 * worst["rest_mae"]
    line = f"worst slice: group 1-5 (20 rows): MAE {worst['mae']:.3g}, {worst['rest_mae']:.3g} on"
    assert _slices_lines(Summary.from_json(run.summary))[0].startswith(line)
    assert line.replace("worst", "Worst", 1) in page_of(run)[: page_of(run).index("<h2>")]
    below = [one["value"] for one in run.summary["slices"] if one["below_level"]]
    assert "1-5" in below


def test_a_run_from_before_has_no_slices(run: TrainedRun) -> None:
    without = {"slices", "worst_slices", "slope"}
    old = Summary.from_json({k: v for k, v in run.summary.items() if k not in without})
    assert (old.slices, old.worst_slices, old.slope) == ([], [], {})
    assert _slices_lines(old) == []


def test_a_diverged_head_has_no_slices(planted: Path) -> None:
    store = Cache(planted)
    experiment = load_experiment(resolve(store, read_dataset(store, "planted"), {"split": "hash"}))
    own = experiment.y.copy()
    own[experiment.rows("validation")[5]] = np.nan
    found = slice_run(experiment, RunPredictions(experiment.y, own, (own,), {}), None)
    assert found.to_json() == {"slices": [], "worst_slices": [], "slope": {"angle": None}}


def test_brightness_and_recordings(planted: Path) -> None:
    """The pictures of the planted rows are rising greys, and its two groups are recordings."""
    run = run_quick(planted, folds=3, head="ridge")
    light = {one["value"]: one["rows"] for one in run.summary["slices"]
             if one["by"] == "brightness"}  # fmt: skip
    assert sum(light.values()) == 240
    assert len(light) == 5
    blocks = [one for one in run.summary["slices"] if one["by"] == "block"]
    units = run.predictions.to_pandas()["unit"].value_counts().to_dict()
    assert {one["value"]: one["rows"] for one in blocks} == units
    charts = sorted(path.name for path in (run.path / "plots").glob("over-time-*"))
    assert charts == ["over-time-angle-1.png", "over-time-angle-2.png"]
    for name in charts:
        assert picture_size((run.path / "plots" / name).read_bytes()) == (896, 736)
    assert "Error over time" in page_of(run)


def test_rows_without_an_order_have_no_chart(planted: Path) -> None:
    edit_dataset(planted, sequential=False)
    run = run_quick(planted, head="ridge")
    assert not list((run.path / "plots").glob("over-time-*"))
    assert "Error over time" not in page_of(run)


def test_a_gap_in_a_target_is_in_no_slice(planted: Path) -> None:
    run = run_quick(planted, target=("angle", "gaps"), folds=3, head="ridge")
    for name in ("angle", "gaps"):
        own = [one for one in run.summary["slices"] if (one["target"], one["by"]) == (name, "fold")]
        have = run.predictions.to_pandas()[f"target.{name}"].notna().sum()
        assert sum(one["rows"] for one in own) == have


def test_a_moving_mean_is_that_of_pandas() -> None:
    values = np.random.default_rng(0).exponential(size=50)
    expected: Any = pd.Series(values).rolling(7, center=True, min_periods=1).mean()
    np.testing.assert_allclose(moving_mean(values, 7), expected)


# --- the page


def made_slice(value: str, **changes: Any) -> RunSlice:
    fields: dict[str, Any] = {
        "target": ATTACK, "by": ATTACK, "value": value, "rows": 1_234, "mae": 0.5, "times": 2.0,
        "bias": -0.1, "rest_mae": 0.2, "weighted_mae": 0.6, "coverage": 0.55, "below_level": True,
    }  # fmt: skip
    return RunSlice(**fields | changes)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    one = made_slice(ATTACK)
    line = SliceLine(f"{ATTACK} {ATTACK}", one, 100.0, True)
    chart = TimeChart(ATTACK, 0.5, 1_234, made_plots()["curves"])
    content = report_content() | {
        "stds": {ATTACK: 1.0, "user/angle": 1.0, "user/throttle": 1.0},
        "slices": [SliceTable(ATTACK, [line], True, True)],
        "intervals": Measured(0.8, "group", (), {}, {}, None, np.zeros((0, 1))),
        "interval_command": "jaxreg predict",
        "worst_slices": worst_lines([json.loads(json.dumps(one.__dict__))], 2),
        "slopes": {"user/angle": ATTACK},
        "over_time": [TargetCharts(ATTACK, 3, [chart, chart]), TargetCharts(ATTACK, 1, [chart])],
    }
    write_page(tmp_path / "report.html", "report/run.html.jinja", **content)
    return tmp_path / "report.html"


def test_categories_are_text_and_the_page_fits(hostile: Path, tmp_path: Path) -> None:
    """In a browser: nothing of a category runs, and no window is too narrow."""
    with started(tmp_path / "profile") as browser:
        for width in (1100, 400):
            browser.open(hostile, width=width)
            assert "hacked" not in browser.run("document.title")
            assert browser.run("document.querySelectorAll('script').length") == 1
            wide = "document.documentElement.scrollWidth"
            assert browser.run(wide) <= width
            browser.picture(tmp_path / f"{width}.png")
        text = browser.run("document.body.textContent")
        assert f"{ATTACK} (1,234 rows): MAE 0.5, 0.2 on the other rows" in text
        assert "below 55.0%" in text
        words = [event["params"] for event in browser.events if event["method"] == "Log.entryAdded"]
        assert words == []


def test_a_chart_is_drawn_of_any_numbers() -> None:
    from jaxreg.report.error_over_time import error_over_time

    order = np.r_[0:30, 500:530]
    flat = np.full(60, 5.4e6)
    picture = error_over_time("$x_{$ name", order, flat, flat, np.zeros(60), PLAIN)
    assert picture_size(picture) == (896, 736)
