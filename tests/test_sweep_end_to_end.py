"""A sweep by its command, and all that takes its run: the head is the mean of several."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import jaxreg
from jaxreg import bundle, diagnose, evaluate, extract, predict, remove, runs, sweep, train, verify
from jaxreg.errors import InputError
from jaxreg.trained_run import TrainedRun

ROWS, NEW = 150, 30


def write_table(path: Path, rows: Sequence[int], y: np.ndarray) -> None:
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "y", "place"])
        lines.writerows((f"row-{row}", repr(float(y[row])), f"place-{row % 12}") for row in rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors and a noisy number for each, extracted, and a sweep of them in `sweep`."""
    found = tmp_path_factory.mktemp("end-to-end")
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(ROWS + NEW, 4))
    vectors = hidden @ rng.normal(size=(4, 12)) + 0.3 * rng.normal(size=(ROWS + NEW, 12))
    y = hidden[:, 0] + np.tanh(2 * hidden[:, 1]) + 0.5 * rng.normal(size=ROWS + NEW)
    np.save(found / "vectors.npy", vectors[:ROWS].astype(np.float32))
    np.save(found / "new.npy", vectors[ROWS:].astype(np.float32))
    write_table(found / "labels.csv", range(ROWS), y)
    write_table(found / "new.csv", range(ROWS, ROWS + NEW), y)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(found)
        words = ["--embeddings", "vectors.npy", "--embeddings-name", "own"]
        assert extract.main(["labels.csv", "--id-column", "id", *words]) == 0
        words = ["--target", "y", "--split", "group:place", "--folds", "3", "--run", "sweep"]
        words += ["--search", "learning_rate=1e-3..3e-2", "dropout=0..0.5"]
        assert sweep.main(["labels", *words, "--trials", "6", "--epochs", "10",
                           "--hidden", "16"]) == 0  # fmt: skip
    return found


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(here: Path) -> TrainedRun:
    found = jaxreg.load_run("ckpts/sweep")
    assert len(found.config["finalists"]) > 1  # of noisy numbers a mean of heads knows more
    return found


def test_new_rows_get_the_mean_of_all_heads(run: TrainedRun, capsys: pytest.CaptureFixture) -> None:
    words = ["new.csv", "--id-column", "id", "--embeddings", "new.npy", "--out"]
    assert predict.main(["sweep", *words, "one.parquet", "--interval", "0.6"]) == 0
    assert bundle.main(["sweep", "--out", "sweep.zip"]) == 0
    assert predict.main(["sweep.zip", *words, "two.parquet"]) == 0
    one, two = (pq.read_table(name) for name in ("one.parquet", "two.parquet"))
    assert one["prediction.y"].equals(two["prediction.y"])
    assert len(run.params) == 3 * len(run.config["finalists"])
    each = [
        TrainedRun(**{**vars(run), "params": (params,), "scalers": (scalers,)})
        for params, scalers in zip(run.params, run.scalers, strict=True)
    ]
    told = [head.predict_features(np.load("new.npy"))[:, 0] for head in each]
    predicted = one["prediction.y"].to_numpy()
    np.testing.assert_allclose(predicted, np.mean(told, axis=0), rtol=1e-5)
    assert np.corrcoef(predicted, one["target.y"].to_numpy())[0, 1] > 0.7
    words = ["new.csv", "--id-column", "id", "--embeddings", "new.npy"]
    capsys.readouterr()
    assert evaluate.main(["sweep", *words, "--json"]) == 0
    told_of_new = json.loads(capsys.readouterr().out.splitlines()[-1])
    error = np.abs(predicted - one["target.y"].to_numpy())  # NumPy's
    assert told_of_new["metrics"]["mae"] == pytest.approx(error.mean(), rel=1e-5)
    # an interval is as wide as the outer errors are: they are in predictions.parquet
    widths = one["high.y"].to_numpy() - one["low.y"].to_numpy()
    table = run.predictions
    errors = np.abs(table["prediction.y"].to_numpy() - table["target.y"].to_numpy())
    assert 2 * np.quantile(errors, 0.4) < widths[0] < 2 * errors.max()


def test_it_is_diagnosed_verified_and_compared(
    run: TrainedRun, capsys: pytest.CaptureFixture
) -> None:
    assert diagnose.main(["sweep"]) == 0
    assert "diagnosing the first of its" in capsys.readouterr().err
    assert verify.main(["ckpts/sweep"]) == 0
    words = ["labels", "--target", "y", "--split", "group:place", "--folds", "3"]
    assert train.main([*words, "--head", "ridge", "--run", "ridge"]) == 0
    capsys.readouterr()
    assert runs.main(["--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["runs"]
    (own,) = [one for one in told if one["run"].endswith("sweep")]
    assert own["mae"] == run.metrics["mae"]
    # the folds of both are the same rows
    assert len({one["comparable"] for one in told}) == 1


def test_a_changed_trial_is_found_and_train_starts_from_the_settings(
    run: TrainedRun, capsys: pytest.CaptureFixture
) -> None:
    trials = run.path / "trials.csv"
    content = trials.read_text()
    trials.write_text(content.replace(",done,", ",stopped,", 1))
    assert verify.main(["ckpts/sweep"]) == 6
    assert "trials.csv is damaged" in capsys.readouterr().err
    trials.write_text(content)
    with pytest.raises(InputError) as caught:
        train.main(["--run", "sweep", "--resume"])
    command = caught.value.remedy
    assert command == "jaxreg train labels --config ckpts/sweep/config.json"
    assert train.main([*command.split()[2:], "--run", "alone"]) == 0
    alone = jaxreg.load_run("ckpts/alone")
    assert alone.settings.folds == 3
    assert "finalists" not in alone.config
    assert remove.main(["alone", "--yes"]) == 0


def test_a_sweep_of_python_is_the_same(run: TrainedRun) -> None:
    again = jaxreg.sweep_heads(
        "labels",
        run="again",
        search={"learning_rate": "1e-3..3e-2", "dropout": "0..0.5"},
        trials=6,
        target="y",
        split="group:place",
        folds=3,
        epochs=10,
        hidden=16,
    )
    assert again.run.predictions.equals(run.predictions)
    assert again.metrics == run.metrics
    assert again.chosen["finalists"] == run.config["finalists"]
    assert {"done", "stopped"} == set(again.trials["status"].to_pylist())
