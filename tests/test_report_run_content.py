"""What the page of a run shows: errors by group, the worst rows, settings, seconds, captions."""

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mean_absolute_error

from jaxreg.common.files import file_sha256
from jaxreg.diagnosis import run_diagnosis
from jaxreg.report import run_content
from jaxreg.report.row_pictures import RowPictures
from jaxreg.report.worst_rows import WorstRows
from jaxreg.train_config import TrainConfig
from planted_runs import edit_dataset, run_quick

PLACES = 30


def with_places(planted: Path) -> None:
    """A column `place` of 30 values; one of them is a missing value."""
    numbers = np.random.default_rng(1).integers(0, PLACES, 240)
    values = [None if n == 3 else f"place {n}" for n in numbers]
    column = pa.array(values, pa.string())
    edit_dataset(planted, table=lambda dataset: dataset.table.append_column("place", column))


def page_of(path: Path) -> str:
    """The text of a report, a space for each run of tags."""
    text = re.sub(
        r"<(style|script)>.*?</\1>", "", (path / "report.html").read_text(), flags=re.DOTALL
    )
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_the_errors_by_group_are_those_of_the_predictions(planted: Path) -> None:
    with_places(planted)
    run = run_quick(planted, head="ridge", split="group:place", folds=5, target=("angle", "speed"))
    table = pq.read_table(run.path / "predictions.parquet").to_pandas()
    rows = pq.read_table(planted / "datasets" / "planted.parquet").to_pandas()
    table["place"] = rows["place"].where(rows["place"].notna(), "no value").to_numpy()
    page = page_of(run.path)
    for name in ("angle", "speed"):
        table["error"] = (table[f"prediction.{name}"] - table[f"target.{name}"]).abs()
        each = table.groupby("place")["error"].agg(["size", "mean"])
        each = each.sort_values("mean", ascending=False).head(20)
        shown = f"{name}, validation rows: the 20 of {PLACES} groups with the largest MAE"
        assert shown in page
        start = page.index(f"{shown} place rows this model training median")
        at = start
        for place, (size, mean) in each.iterrows():
            at = page.index(f"{place} {size:.0f} {mean:.4g}", at)  # in this order
        assert at - start < 1500


def test_the_groups_of_the_dataset_are_shown_with_every_split_and_side(planted: Path) -> None:
    run = run_quick(planted, split="hash", test=0.2, epochs=2)
    page = page_of(run.path)
    for side in ("validation", "test"):
        assert f"{side} rows: the MAE of 2 groups group rows this model ridge training" in page
    median = run.summary["baselines"]["median"]["mae"]
    table = pq.read_table(run.path / "predictions.parquet").to_pandas()
    known = table[table["split"] == "validation"]
    constant = np.full(len(known), table.loc[table["split"] == "train", "target.angle"].median())
    assert median == pytest.approx(mean_absolute_error(known["target.angle"], constant), rel=1e-5)


def test_a_side_of_one_group_or_of_rows_alone_has_no_table(planted: Path) -> None:
    one = run_quick(planted, head="ridge", split="group:group", run="one")
    assert "Error by group" not in page_of(one.path)
    alone = run_quick(planted, head="ridge", split="group:frame", run="alone")
    assert "Error by group" not in page_of(alone.path)


def test_the_worst_rows_are_of_each_target_and_side(planted: Path) -> None:
    both = ("angle", "speed")
    run = run_quick(planted, head="ridge", split="hash", test=0.3, target=both)
    table = pq.read_table(run.path / "predictions.parquet").to_pandas()
    page = page_of(run.path).partition("Images with the largest errors")[2]
    for name in both:
        for side in ("validation", "test"):
            known = table[table["split"] == side]
            error = (known[f"prediction.{name}"] - known[f"target.{name}"]).abs()
            worst = known.loc[error.sort_values(ascending=False).index[:12], "id"].tolist()
            shown = page.partition(f"{name}, {side} rows")[2]
            assert re.findall(r"row-\d+", shown)[:12] == worst


def test_a_ridge_shows_no_setting_of_steps_and_no_ridge_beside_itself(planted: Path) -> None:
    run = run_quick(planted, head="ridge")
    page = page_of(run.path)
    settings = page.partition(" Settings ")[2].partition(" Seconds ")[0]
    for absent in ("dropout", "learning_rate", "batch_size", "epochs", "patience", "hidden"):
        assert absent not in settings
    assert "gap 0.01" in settings
    assert "this model" in page
    assert "ridge" not in page.partition(" Scores ")[2].partition("MAE, RMSE")[0]
    # what the facts tell is not told again
    mlp = run_content.settings_of(TrainConfig())
    assert not {"target", "columns", "split", "hidden"} & mlp.keys()
    assert mlp["dropout"] == 0.25


def test_the_page_has_all_seconds_and_they_are_those_of_the_summary(planted: Path) -> None:
    run = run_quick(planted, head="ridge")
    shown = page_of(run.path).partition(" Seconds ")[2].partition(" How to ")[0]
    seconds = run.summary["seconds"]
    assert shown == " ".join(f"{name} {value}" for name, value in seconds.items())
    parts = sum(value for name, value in seconds.items() if name != "total")
    assert parts <= seconds["total"] + 0.01
    assert {"verdict", "report", "total"} <= seconds.keys()


def test_report_and_diagnosis_link_to_each_other_and_the_report_stays_as_it_is(
    planted: Path,
) -> None:
    run = run_quick(planted, head="ridge")
    report = run.path / "report.html"
    assert '<a href="diagnosis.html">' in report.read_text()
    assert f"jaxreg diagnose {run.path}" in page_of(run.path)
    run_diagnosis.diagnose(
        str(run.path), cache=None, ckpts=planted.parent, images=None, say=lambda text: None
    )
    assert '<a href="report.html">' in (run.path / "diagnosis.html").read_text()
    assert file_sha256(report) == run.summary["files"]["report.html"]


def test_a_caption_says_which_head_each_curve_is_of() -> None:
    caption = run_content.curves_caption
    plain = caption(TrainConfig(), 1, 7)
    assert "Grey: the mean loss of the epoch's updates on the training rows, with dropout" in plain
    assert "Blue: the loss on the validation rows after each epoch, without dropout" in plain
    assert plain.endswith("The dashed line marks epoch 7, whose weights are the run's")
    blend = caption(TrainConfig(head="blend"), 5, None)
    assert "Both are of the MLP alone" in blend
    assert "Each of the 5 trainings" in blend
    assert "dropout" not in caption(TrainConfig(dropout=0.0), 1, None)


def test_a_row_of_a_diverged_head_is_among_the_worst(planted: Path) -> None:
    from jaxreg.cache.datasets import read_dataset
    from jaxreg.cache.store import Cache
    from jaxreg.experiment.arrays import load_experiment
    from jaxreg.experiment.resolve import resolve

    store = Cache(planted)
    experiment = load_experiment(resolve(store, read_dataset(store, "planted"), {"split": "hash"}))
    predictions = experiment.y.copy()
    broken = experiment.rows("validation")[5]
    predictions[broken] = np.nan
    worst = WorstRows(experiment, predictions)
    [(caption, target, rows)] = worst.lists(RowPictures(experiment, worst.rows))
    assert (caption, target) == ("validation rows", "angle")
    assert rows[0].id == experiment.dataset.ids[broken]
    assert pd.isna(rows[0].predicted)
