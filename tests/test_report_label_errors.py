"""Suspected label errors of runs: planted ones, those of several targets, the nearest rows."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from cleanlab.regression.rank import get_label_quality_scores
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

import jaxreg
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.experiment.arrays import Experiment, load_experiment
from jaxreg.experiment.resolve import resolve
from jaxreg.extract_config import SourceOptions
from jaxreg.head.scaling import identity_scaler
from jaxreg.report.label_errors import LEAST, LISTED, NEAREST, find_suspects
from jaxreg.report.summary import Summary
from jaxreg.trained_run import TrainedRun
from planted_runs import run_quick

ROWS, WIDTH, SHARE = 600, 16, 0.05
STRENGTHS = {"weak": 0.5, "medium": 1.0, "strong": 2.0}  # std of the target


class Planted(NamedTuple):
    """A run on labels of which some are wrong."""

    run: TrainedRun
    wrong: dict[str, list[str]]  # ids by strength
    x: np.ndarray


def table_of(run: TrainedRun) -> Any:  # a DataFrame
    return pd.read_parquet(run.path / "predictions.parquet").set_index("id")


def page_of(run: TrainedRun) -> str:
    text = re.sub(r"<[^>]*>", " ", (run.path / "report.html").read_text())
    return " ".join(text.split())


def experiment_of(run: TrainedRun, **options: Any) -> Experiment:
    cache = Cache(run.path.parent / "cache")
    return load_experiment(resolve(cache, read_dataset(cache, "labels"), options))


def plant(folder: Path, seed: int, **options: Any) -> Planted:
    """Features decide y, with noise; of 5% of the rows the label is wrong, in turn by a strength.

    `turn` is the same as an angle around 0 and 360.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    y = x[:, 0] - 0.5 * x[:, 1] + 0.5 * np.tanh(x[:, 2]) + 0.3 * rng.normal(size=ROWS)
    wrong = rng.permutation(ROWS)[: round(SHARE * ROWS)]
    kinds = np.array(list(STRENGTHS))[np.arange(len(wrong)) % 3]
    size = np.array([STRENGTHS[kind] for kind in kinds]) * y.std()
    y[wrong] += size * rng.choice([-1, 1], len(wrong))
    turn = (20 * y) % 360
    half = np.where(np.arange(ROWS) % 2, "", [f"{one:.6f}" for one in y])
    lines = [f"r{i},{y[i]:.6f},{turn[i]:.6f},{half[i]}" for i in range(ROWS)]
    (folder / "labels.csv").write_text("\n".join(["name,y,turn,half", *lines]) + "\n")
    np.save(folder / "x.npy", x)
    jaxreg.extract_features(
        folder / "labels.csv",
        cache=folder / "cache",
        options=SourceOptions(id_column="name"),
        embeddings=str(folder / "x.npy"),
        embeddings_name="v",
    )
    usual = {"target": ("y",), "head": "ridge", "folds": 5, "split": "hash", "run": "one"}
    given = {**usual, **options}
    run = jaxreg.train_head("labels", cache=folder / "cache", ckpts=folder, **given)
    of = {kind: [f"r{i}" for i in wrong[kinds == kind]] for kind in STRENGTHS}
    return Planted(run, of, x)


@pytest.fixture(scope="module")
def planted_errors(tmp_path_factory: pytest.TempPathFactory) -> list[Planted]:
    """Seeds 0 and 1."""
    return [plant(tmp_path_factory.mktemp(f"seed{seed}"), seed) for seed in (0, 1)]


def test_strong_errors_are_among_the_lowest_tenth(planted_errors: list[Planted]) -> None:
    found: dict[str, list[bool]] = {kind: [] for kind in STRENGTHS}
    for planted in planted_errors:
        scores = table_of(planted.run)["label_score.y"]
        lowest = set(scores.nsmallest(ROWS // 10).index)
        for kind, ids in planted.wrong.items():
            found[kind] += [one in lowest for one in ids]
    assert np.mean(found["strong"]) >= 0.8
    assert np.mean(found["strong"]) >= np.mean(found["medium"]) >= np.mean(found["weak"])
    assert np.mean(found["weak"]) > 0.1  # the share that chance would find


def test_the_scores_are_those_of_cleanlab_on_the_out_of_fold_predictions(
    planted_errors: list[Planted],
) -> None:
    run = planted_errors[0].run
    table = table_of(run)
    y, told = (table[f"{part}.y"].to_numpy(np.float64) for part in ("target", "prediction"))
    expected = get_label_quality_scores(y, told)
    np.testing.assert_allclose(table["label_score.y"], expected, atol=1e-6)  # kept as float32
    listed = run.summary["label_errors"]
    assert [one["id"] for one in listed] == table.index[np.argsort(expected)[:LISTED]].tolist()
    for one in listed:
        row = table.loc[one["id"]]
        assert one["target"] == "y"
        assert one["label"] == row["target.y"]
        assert one["prediction"] == row["prediction.y"]
        assert one["score"] == pytest.approx(row["label_score.y"], rel=1e-5)
    assert {one["id"] for one in listed} <= {
        id for ids in planted_errors[0].wrong.values() for id in ids
    }


def test_the_nearest_rows_are_the_nearest_of_those_that_trained_the_fold(
    planted_errors: list[Planted],
) -> None:
    """By scikit-learn: standardized by the training rows of the first fold, clipped at 4 std."""
    run, _, x = planted_errors[0]
    experiment = experiment_of(run, head="ridge", folds=5, split="hash", target=("y",))
    ids = np.array(experiment.dataset.ids)
    z = StandardScaler().fit(x[experiment.folds[0].labels == "train"]).transform(x)
    z = np.clip(z, -4, 4)
    for one in run.summary["label_errors"]:
        own = int(np.flatnonzero(ids == one["id"])[0])
        [fold] = (fold for fold in experiment.folds if fold.labels[own] == "test")
        others = np.flatnonzero(fold.labels == "train")
        found = NearestNeighbors(n_neighbors=NEAREST).fit(z[others]).kneighbors(z[own, None])[1]
        assert one["nearest"] == ids[others[found[0]]].tolist()


def test_the_page_shows_them_without_calling_them_errors(planted_errors: list[Planted]) -> None:
    page = page_of(planted_errors[0].run)
    told = page.partition("Rows whose label looks least like the others")[2]
    assert "10 of 600 rows" in told
    for one in planted_errors[0].run.summary["label_errors"]:
        assert re.search(rf"score [\d.e-]+ {one['id']} ", told)
    assert "Only validation rows have a score" not in told
    assert "mean little" not in told
    assert "no picture" not in told  # embeddings have none, and the page does not repeat it


def test_without_folds_only_validation_rows_have_a_score(planted: Path) -> None:
    run = run_quick(planted, head="ridge", test=0.2)
    table = table_of(run)
    known = table["label_score.angle"].notna()
    assert table.loc[known, "split"].unique().tolist() == ["validation"]
    assert known.sum() == (table["split"] == "validation").sum()
    listed = run.summary["label_errors"]
    assert len(listed) == np.ceil(known.sum() / 10)  # fewer than a hundred: a tenth
    trained = set(table.index[table["split"] == "train"])
    assert all(set(one["nearest"]) <= trained and len(one["nearest"]) == 3 for one in listed)
    page = page_of(run)
    assert "Only validation rows have a score" in page
    assert f"{known.sum()} rows are few, so the scores mean little" in page
    shown = (run.path / "report.html").read_text().partition("label looks least")[2]
    assert shown.count("<img") == 4 * len(listed)


def test_each_target_has_its_own_on_the_rows_that_have_it(tmp_path: Path) -> None:
    targets = ("y", "turn", "half")
    types = ("plain", "circular:360", "plain")
    planted = plant(tmp_path, 2, target=targets, target_type=types)
    table, listed = table_of(planted.run), planted.run.summary["label_errors"]
    assert [one["target"] for one in listed] == [name for name in targets for _ in range(10)]
    assert table["label_score.half"].notna().sum() == ROWS // 2
    has = set(table.index[table["target.half"].notna()])
    for one in listed[20:]:
        assert {one["id"], *one["nearest"]} <= has
    # 20 degrees for each unit of y: the seam between 359 and 0 tears no rows apart
    lowest = [set(table[f"label_score.{name}"].nsmallest(60).index) for name in ("y", "turn")]
    assert len(lowest[0] & lowest[1]) > 40
    strong = planted.wrong["strong"]
    assert np.mean([one in lowest[1] for one in strong]) >= 0.8
    assert "y, 10 of 600 rows" in page_of(planted.run)


def test_a_run_that_does_not_learn_says_that_scores_mean_little(planted: Path) -> None:
    run = run_quick(planted, head="ridge", target=("frame",), split="hash")
    assert not run.summary["verdict"]["healthy"]
    assert "The run is not healthy, so its predictions say little" in page_of(run)


def test_of_few_rows_none_is_listed(planted_errors: list[Planted]) -> None:
    experiment = experiment_of(planted_errors[0].run, target=("y",))
    scores = np.full((ROWS, 1), np.nan)
    for known, listed in ((LEAST - 1, 0), (LEAST, 1), (LEAST + 1, 2), (5 * LEAST, 5), (300, 10)):
        scores[:known, 0] = np.arange(known, 0, -1)
        found = find_suspects(experiment, identity_scaler(WIDTH), scores)
        assert [one.row for one in found] == list(range(known - 1, known - 1 - listed, -1))


def test_a_summary_of_an_older_run_has_none(planted_errors: list[Planted]) -> None:
    content = json.loads((planted_errors[0].run.path / "summary.json").read_text())
    del content["label_errors"]
    assert Summary.from_json(content).label_errors == []
